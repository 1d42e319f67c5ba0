// Starts the page: settings, the first drawing, and what is drawn for each URL.

import { render } from "./vendor/preact.mjs";

import { settings } from "./api.js";
import { refresh, watchVisibility } from "./data.js";
import { html } from "./html.js";
import { Administration } from "./administration.js";
import { Login } from "./login.js";
import { Network } from "./network.js";
import { Local, Networks } from "./networks.js";
import { apply } from "./preferences.js";
import { Share } from "./share.js";
import { Shares } from "./shares.js";
import { Shell } from "./shell.js";
import { change, NOTHING, onChange, state } from "./store.js";
import { Topology } from "./topology.js";

const VIEWS = {
  shares: Shares, share: Share, networks: Networks, network: Network, local: Local, topology: Topology,
  administration: Administration,
};

function Page({ state }) {
  if (!state.isLoggedIn) return html`<${Login} authStrategy=${state.authStrategy} hasEnded=${state.hasEnded} />`;
  const { view, id } = state.route;
  // keyed: what is open on the page of one thing does not stay open on that of another
  return html`<${Shell} state=${state}><${VIEWS[view]} key=${`${view}/${id}`} state=${state} /><//>`;
}

/** The part of the URL after `#`: /view/id. What was loaded before may be old: no form offers it. */
function readRoute() {
  const [, view, id = null] = location.hash.split("/");
  change({ ...NOTHING, route: { view: Object.hasOwn(VIEWS, view) ? view : "shares", id }, notice: null });
}

apply();
const page = document.getElementById("page");
onChange((current) => render(html`<${Page} state=${current} />`, page));
addEventListener("hashchange", () => {
  readRoute();
  if (state.isLoggedIn) refresh();
});
watchVisibility();
change(await settings().then(({ auth_strategy }) => ({ authStrategy: auth_strategy })));
readRoute();
