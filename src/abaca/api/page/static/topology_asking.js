// What the picture shows on demand, clients and export locations: asked of what is drawn, a few at a
// time, again from time to time, and only while somebody wants to know.

import { get, getInTheBackground } from "./api.js";
import { loggedOutBy } from "./data.js";
import { showError } from "./parts.js";

export const MOST_ASKED = 40; // of the first that are drawn
const AT_ONCE = 4;
const ASKED_AGAIN = 15000; // milliseconds
const TOGETHER = 300; // milliseconds in which answers are drawn together

/** `things()`: what is drawn now, by which `answerOf` is asked; each has an id. `draw(known)` is given
 * a map of ids to answers, and null when nobody wants to know any more. */
export class Asking {
  constructor({ things, answerOf, draw }) {
    Object.assign(this, { things, answerOf, draw, known: null });
  }

  toggle = () => (this.known ? this.stop() : this.start());

  start() {
    this.draw((this.known = new Map()));
    const turn = this.known;
    const isWanted = () => this.known === turn;
    const ask = async (get) => {
      try {
        if (!document.hidden) await this.askAll(isWanted, get);
        if (isWanted()) this.timer = setTimeout(ask, ASKED_AGAIN, getInTheBackground);
      } catch (error) {
        if (isWanted()) this.stop();
        if (!loggedOutBy(error)) showError(error);
      }
    };
    ask(get);
  }

  stop() {
    clearTimeout(this.timer);
    this.draw((this.known = null));
  }

  async askAll(isWanted, get) {
    const waiting = this.things().slice(0, MOST_ASKED);
    const ask = async () => {
      while (waiting.length && isWanted()) {
        const thing = waiting.shift();
        const answer = await this.answerOf(thing, get);
        if (isWanted()) this.answered(thing.id, answer);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
  }

  /** Answers come one by one; the picture is drawn anew for several of them. */
  answered(id, answer) {
    this.known.set(id, answer);
    this.drawing ??= setTimeout(() => {
      this.drawing = null;
      if (this.known) this.draw(this.known);
    }, TOGETHER);
  }
}

/** How many clients a share server or a share has; null if it cannot be known now. Throws Refused for
 * who may not ask. In the background nobody would wait for the file server's answer. */
export async function countClients({ kind, id }) {
  const found = await orNull(get(`/v2/${kind}/${encodeURIComponent(id)}/clients`));
  // one with connections to two addresses of the server is one; who is masked cannot be told apart
  return found && new Set(found.clients.map(({ address }, at) => address ?? at)).size;
}

/** The export locations of a share. Throws Refused. */
export async function exportLocations({ id }, get) {
  const found = await orNull(get(`/v2/shares/${encodeURIComponent(id)}/export_locations`));
  return found?.export_locations ?? [];
}

/** Null for what is gone, cannot tell, or cannot be asked now. */
async function orNull(answer) {
  try {
    return await answer;
  } catch (error) {
    if ([404, 409, 503].includes(error.status)) return null;
    throw error;
  }
}
