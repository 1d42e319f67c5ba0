// What is loaded from the API, and when it is loaded again.

import * as api from "./api.js";
import { showError } from "./parts.js";
import { change, forget, state } from "./store.js";

const SOON = 2000; // milliseconds, while something is in progress
const LATER = 10000;
const SETTLED = /^(available|active|inactive|.*error.*)$/;

let timer = null;
let round = 0; // which one's answers still count

/** Tries the credentials, and begins to load. Throws Refused. */
export async function logIn(credentials, user) {
  api.useCredentials(credentials);
  try {
    await api.get("/v2/shares?limit=1");
  } catch (error) {
    api.useCredentials(null);
    throw error;
  }
  change({ isLoggedIn: true, isAdmin: await isAdmin(), user, notice: null });
  await refresh();
}

export function logOut() {
  round += 1;
  clearTimeout(timer);
  api.useCredentials(null);
  forget();
}

/** Loads again what is shown, now; after that from time to time. */
export async function refresh() {
  const mine = (round += 1);
  clearTimeout(timer);
  try {
    const [lists, share] = await Promise.all([loadLists(), loadShare(state.route)]);
    if (mine !== round) return;
    change({ lists, share, listsAsOf: Date.now() });
  } catch (error) {
    if (mine !== round) return;
    if (loggedOutBy(error)) return;
    showError(error);
  }
  timer = setTimeout(refresh, isInProgress() && !document.hidden ? SOON : LATER);
}

/** Logs out if the error says that the credentials are not accepted (any more). */
export function loggedOutBy(error) {
  if (error.status !== 401) return false;
  logOut();
  return true;
}

export function watchVisibility() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && state.isLoggedIn) refresh();
  });
}

function isInProgress() {
  const { share, rules = [], snapshots = [] } = state.share ?? {};
  return [share, ...rules, ...snapshots, ...Object.values(state.lists).flat()]
    .map((thing) => thing?.status ?? thing?.state)
    .some((status) => status && !SETTLED.test(status));
}

/** Whether the caller may list the services, which administrators may. */
async function isAdmin() {
  try {
    await api.get("/v2/services");
    return true;
  } catch (error) {
    if (error.status === 403) return false;
    throw error;
  }
}

async function loadLists() {
  const everybodys = state.isAdmin ? "?all_tenants=1" : "";
  const [shares, networks, servers] = await Promise.all([
    api.get(`/v2/shares/detail${everybodys}`),
    api.get(`/v2/share-networks/detail${everybodys}`),
    state.isAdmin ? api.get("/v2/share-servers") : { share_servers: [] },
  ]);
  return {
    shares: shares.shares,
    shareNetworks: networks.share_networks,
    shareServers: servers.share_servers,
  };
}

/** The share that a view is about, with its export locations, rules and snapshots; null without
 * one. */
async function loadShare({ view, id }) {
  if (view !== "share" || !id) return null;
  const path = `/v2/shares/${encodeURIComponent(id)}`;
  try {
    const ofShare = `share_id=${encodeURIComponent(id)}`;
    const everybodys = state.isAdmin ? "&all_tenants=1" : "";
    const [share, locations, rules, snapshots] = await Promise.all([
      api.get(path),
      api.get(`${path}/export_locations`),
      api.get(`/v2/share-access-rules?${ofShare}`),
      api.get(`/v2/snapshots/detail?${ofShare}${everybodys}`),
    ]);
    return {
      id,
      share: share.share,
      locations: locations.export_locations,
      rules: rules.access_list,
      snapshots: snapshots.snapshots,
    };
  } catch (error) {
    if (error.status === 404) return { id, share: null, locations: [], rules: [], snapshots: [] };
    throw error;
  }
}
