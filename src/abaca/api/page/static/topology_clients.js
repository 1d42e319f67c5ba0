// How many clients are connected, in the picture: asked of the file servers, a few at a time and only
// while somebody wants to know.

import { get } from "./api.js";

export const MOST_ASKED = 40; // of the first that are drawn
const AT_ONCE = 4;

/** Path of who is connected to a share server or a share. */
const clientsOf = (kind, id) => `/v2/${kind}/${encodeURIComponent(id)}/clients`;

/** What is asked about in these groups: [kind, id]. Administrators are told by servers, others, who
 * see none, by shares. */
export function askedIn(groups, seesServers, sharesInRow) {
  const rows = groups.flatMap(({ rows }) => rows);
  const things = seesServers
    ? rows.filter(({ server }) => server).map(({ server }) => ["share-servers", server.id])
    : rows.flatMap(({ shares }) => shares.slice(0, sharesInRow).map(({ id }) => ["shares", id]));
  return things.slice(0, MOST_ASKED);
}

/** Tells `found(id, count)` of each: null if it cannot be known now. Ends early once `isWanted()` is
 * false. Throws Refused for who may not ask. */
export async function count(things, found, isWanted) {
  const waiting = [...things];
  const ask = async () => {
    while (waiting.length && isWanted()) {
      const [kind, id] = waiting.shift();
      found(id, await countOf(kind, id));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
}

async function countOf(kind, id) {
  try {
    const { clients } = await get(clientsOf(kind, id));
    // one with connections to two addresses of the server is one; who is masked cannot be told apart
    return new Set(clients.map(({ address }, at) => address ?? at)).size;
  } catch (error) {
    if ([404, 409, 503].includes(error.status)) return null; // gone, cannot tell, cannot be asked now
    throw error;
  }
}
