// The page's one state. A change draws everything anew; views are functions of the state.

const EMPTY = {
  isLoggedIn: false,
  isAdmin: false,
  user: "",
  lists: {}, // by name, what the API listed last
  listsAsOf: null,
  share: null, // the one that is open: {share, locations, rules, snapshots}
  notice: null, // {kind: "error" | "done", text, requestId}
  filter: "",
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
