// What the picture of the networks shows, and where: pure, so that it can be tried by itself.
//
// A share network is a group. Its subnets are columns, its share servers are rows: a server stands
// on the subnets on whose columns it has a dot. Who is shown no servers gets one row a zone.

import { subnetOf } from "./locations.js";

const OPEN_UP_TO = 40; // rows in all groups; with more they begin closed
const NAMED = 8; // shares in a row

/** [{network, subnets, rows: [{server, zone, shares, columns}], last}]: `columns` are indexes of subnets;
 * `last` says for each subnet the last row that stands on it. Groups that have nothing that matches
 * all words of `query` are left out, and so are such rows of the others. */
export function groupsOf({ shareNetworks, shareServers, shares, zones }, query, seesServers) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const serversOf = groupBy(shareServers, (server) => server.share_network_id);
  const sharesOf = groupBy(shares, (share) => share.share_network_id ?? null);
  const networks = sharesOf.has(null) ? [...shareNetworks, null] : shareNetworks;
  return networks
    .map((network) => {
      const own = sharesOf.get(network?.id ?? null) ?? [];
      const servers = (network && serversOf.get(network.id)) ?? [];
      return group(network, servers, own, seesServers && { zones }, words);
    })
    .filter(Boolean);
}

/** Whether a group is open: as somebody chose, or by how much there is. */
export function isOpen(chosen, id, groups, query) {
  const rows = groups.reduce((sum, { rows }) => sum + rows.length, 0);
  return chosen.get(id) ?? (query !== "" || rows <= OPEN_UP_TO);
}

/** The shares of a row that are named in it. */
export const namedIn = ({ shares }) => shares.slice(0, NAMED);

/** What clients are asked about in these groups, {kind, id}. Administrators are told by servers,
 * others, who see none, by shares. */
export function havingClients(groups, seesServers) {
  const rows = groups.flatMap(({ rows }) => rows);
  return seesServers
    ? rows.filter(({ server }) => server).map(({ server: { id } }) => ({ kind: "share-servers", id }))
    : rows.flatMap(namedIn).map(({ id }) => ({ kind: "shares", id }));
}

/** The export locations of a row's shares as far as they are known, [{share, path, columns}]: on the
 * columns of their subnets. */
export function locationsIn(row, subnets, known) {
  return namedIn(row).flatMap((share) => (known?.get(share.id) ?? []).map((location) => {
    const at = subnets.indexOf(subnetOf(location, subnets));
    return { share, path: location.path, columns: at < 0 ? [] : [at] };
  }));
}

function group(network, servers, shares, seen, words) {
  const subnets = network?.share_network_subnets ?? [];
  const ofNetwork = network ? [network.name, network.id, network.status, ...subnets.map(({ cidr }) => cidr)] : [];
  const index = new Map(subnets.map((subnet, at) => [subnet.id, at]));
  let rows = seen && network ? serverRows(servers, shares, index, seen.zones) : zoneRows(subnets, shares);
  if (!matches(ofNetwork, words)) {
    rows = rows.filter((row) => matches([...ofNetwork, ...textsOf(row)], words));
    if (!rows.length) return null;
  }
  const last = subnets.map((_, at) => rows.findLastIndex(({ columns }) => columns.includes(at)));
  return { id: network?.id ?? "none", network, subnets, rows, last, shares: shares.length };
}

function serverRows(servers, shares, index, zones) {
  const byServer = groupBy(shares, (share) => share.share_server_id ?? null);
  const rows = servers.map((server) => ({
    server,
    zone: zones.get(server.host) ?? null,
    shares: byServer.get(server.id) ?? [],
    columns: server.share_network_subnet_ids
      .map((id) => index.get(id))
      .filter((at) => at !== undefined)
      .sort((a, b) => a - b),
  }));
  const known = new Set(servers.map(({ id }) => id));
  const waiting = shares.filter(({ share_server_id }) => !known.has(share_server_id));
  return waiting.length ? [...rows, { server: null, zone: null, shares: waiting, columns: [] }] : rows;
}

/** A zone's servers stand on its own subnets, or on the default ones if it has none. */
function zoneRows(subnets, shares) {
  const byZone = groupBy(shares, (share) => share.availability_zone ?? null);
  if (!byZone.size) return [{ server: null, zone: null, shares, columns: [] }];
  return [...byZone].map(([zone, shares]) => {
    const at = (wanted) => subnets.flatMap(({ availability_zone }, at) => ((availability_zone ?? null) === wanted ? [at] : []));
    const own = zone === null ? [] : at(zone);
    return { server: null, zone, shares, columns: own.length ? own : at(null) };
  });
}

function textsOf({ server, zone, shares }) {
  return [server?.id, server?.host, server?.status, zone, ...shares.flatMap(({ name, id }) => [name, id])];
}

function matches(texts, words) {
  const all = texts.filter(Boolean).join("\n").toLowerCase();
  return words.every((word) => all.includes(word));
}

function groupBy(things, key) {
  const groups = new Map();
  for (const thing of things) {
    const name = key(thing);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(thing);
  }
  return groups;
}
