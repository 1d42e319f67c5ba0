// When what is shown is loaded again: at once after something was done here; as soon as the version
// of the project says that something has changed; and from time to time, for what has none.

import * as api from "./api.js";
import { LOADS } from "./loads.js";
import { showError } from "./parts.js";
import { change, forget, state } from "./store.js";

const ASKED = 1000; // milliseconds between two questions for the version
const HIDDEN = 15000; // where nobody looks
const WITHOUT_VERSION = 15000; // how long what no version covers may be old: public shares, services
const APART = 1500; // at least between two loads that nobody here has asked for

let timer = null;
let round = 0; // which one's answers still count
let tag = null; // of the version that is shown
let loadedAt = 0;

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
  tag = null;
  api.useCredentials(null);
  forget();
}

/** Loads again what is shown, now. */
export async function refresh() {
  await inRound(async (isCurrent) => {
    // the version first: what is loaded may be newer than it, which costs one more load
    const asked = await ask(null);
    const loaded = await LOADS[state.route.view](state);
    if (!isCurrent()) return;
    tag = asked.tag;
    loadedAt = Date.now();
    change({ ...loaded, lists: { ...state.lists, ...loaded.lists } });
  });
}

/** Logs out if the error says that the credentials are not accepted (any more). */
export function loggedOutBy(error) {
  if (error.status !== 401) return false;
  logOut();
  return true;
}

export function watchVisibility() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && state.isLoggedIn) look();
  });
}

/** Asks for the version, and loads if there is a new one. */
async function look() {
  let isNew = false;
  await inRound(async (isCurrent) => {
    const asked = await ask(tag);
    const age = Date.now() - loadedAt;
    isNew = isCurrent() && ((asked.isNew && age >= APART) || age >= WITHOUT_VERSION);
  });
  if (isNew) await refresh();
}

async function inRound(work) {
  const mine = (round += 1);
  const isCurrent = () => mine === round;
  clearTimeout(timer);
  try {
    await work(isCurrent);
  } catch (error) {
    if (!isCurrent() || loggedOutBy(error)) return;
    showError(error);
  }
  if (isCurrent()) timer = setTimeout(look, document.hidden ? HIDDEN : ASKED);
}

function ask(known) {
  return api.changedSince(`/v2/project-version${state.isAdmin ? "?all_tenants=1" : ""}`, known);
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
