// The page's one state. A change draws everything anew; views are functions of the state.

/** What a view shows, before it is loaded. */
export const NOTHING = {
  lists: {}, // by name, what the API listed last
  share: null, // the one that is open: {share, network, locations, rules, snapshots}
  network: null, // the share network that is open, with what stands on it
};

const FIRST = 50; // shares: each open page asks for them again with each change

const EMPTY = {
  ...NOTHING,
  isLoggedIn: false,
  hasEnded: false, // the credentials are accepted no more
  isAdmin: false,
  user: "",
  wanted: FIRST, // how many shares are listed
  filter: "", // what the service is asked to find, when there are more than are listed
  watch: null, // a change of a share network whose steps are shown: steps.js
  notice: null, // {kind: "error" | "done", text, requestId}
};

let draw = () => {};

export let state = {
  ...EMPTY,
  authStrategy: "http_basic",
  route: { view: "shares", id: null },
};

export function onChange(callback) {
  draw = callback;
}

export function change(part) {
  state = { ...state, ...part };
  draw(state);
}

/** Forgets all that was loaded. */
export function forget() {
  change(EMPTY);
}
