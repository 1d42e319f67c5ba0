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
const BUSY = 503;
const SPREAD = 700; // in which the pages that see the same new version load it: not all at once

let timer = null;
let round = 0; // which one's answers still count
let tag = null; // of the version that is shown
let loadedAt = 0;
let background = new AbortController(); // of what is loaded there

/** Tries the credentials, and begins to load. Throws Refused. */
export async function logIn(credentials, user) {
  api.useCredentials(credentials);
  try {
    await api.get("/v2/shares?limit=1");
  } catch (error) {
    api.useCredentials(null);
    throw error;
  }
  change({ isLoggedIn: true, isAdmin: await isAdmin(), user, hasEnded: false, notice: null });
  await refresh();
}

export function logOut() {
  round += 1;
  clearTimeout(timer);
  background.abort();
  tag = null;
  api.useCredentials(null);
  forget();
}

/** Loads again what is shown, now. */
export const refresh = () => load(api.get);

/** The same, for a change that somebody else has made, or for what may be old; given up when something
 * else is to be loaded. Where the service is too busy for it, the next look tries again. */
async function catchUp() {
  await load((path) => api.getInTheBackground(path, background.signal), (error) => error.status === BUSY);
}

async function load(get, isNothing) {
  await inRound(async (isCurrent) => {
    // the version first: what is loaded may be newer than it, which costs one more load
    const asked = await ask(null);
    const loaded = await LOADS[state.route.view](state, get);
    if (!isCurrent()) return;
    tag = asked.tag;
    loadedAt = Date.now();
    change({ ...loaded, lists: { ...state.lists, ...loaded.lists } });
  }, isNothing);
}

/** Logs out if the error says that the credentials are not accepted (any more). */
export function loggedOutBy(error) {
  if (error.status !== 401) return false;
  logOut();
  change({ hasEnded: true });
  return true;
}

export function watchVisibility() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && state.isLoggedIn) look();
  });
}

/** Asks for the version, and loads soon if there is a new one. */
async function look() {
  await inRound(async () => {
    const { isNew } = await ask(tag);
    const age = Date.now() - loadedAt;
    if (!isNew && age < WITHOUT_VERSION) return undefined;
    return [catchUp, Math.max(APART - age, Math.random() * SPREAD)];
  });
}

/** `work` may say what comes after it, and in how many milliseconds. `isNothing`: of which errors
 * nobody is told. */
async function inRound(work, isNothing = () => false) {
  const mine = (round += 1);
  const isCurrent = () => mine === round;
  let next;
  clearTimeout(timer);
  background.abort();
  background = new AbortController();
  try {
    next = await work(isCurrent);
  } catch (error) {
    if (!isCurrent() || loggedOutBy(error)) return;
    if (!isNothing(error)) showError(error);
  }
  if (isCurrent()) timer = setTimeout(...(next ?? [look, document.hidden ? HIDDEN : ASKED]));
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
