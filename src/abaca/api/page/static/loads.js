// What each view shows, as the API tells it: parts of the state. `get` asks the API: `api.get`, or
// `api.getInTheBackground` for what nobody has just asked for.

import * as api from "./api.js";
import { watchOf } from "./steps.js";

const MOST_LOOKED_AT = 20; // shares of a network whose export locations are looked at while it changes
const DRAIN = "abaca:drain"; // in the metadata of a subnet that drains

const one = (id) => encodeURIComponent(id);
const everybodys = ({ isAdmin }, sign) => (isAdmin ? `${sign}all_tenants=1` : "");

export const LOADS = { shares, share, topology, networks, network, local, administration };

const COUNTED_FOR = 15000; // milliseconds: to count ten thousand costs more than to list the newest
export const MORE = 200; // shares that are listed with each demand for more than FIRST
export const MOST = 1000; // at once, which is what a page of the API may have

/** The newest shares, as many as are wanted, and how many there are in all; of a filter that the
 * whole list is too long for, the service looks for names. */
async function shares(state, get) {
  return sharesOf(state, get, Math.min(state.wanted, MOST), state.filter, "");
}

/** `detail`: "/detail" for share networks with their subnets, which cost more. */
async function sharesOf(state, get, limit, filter, detail) {
  const which = `${filter ? `&name~=${encodeURIComponent(filter)}` : ""}${everybodys(state, "&")}`;
  const known = state.lists.counted;
  const isCounted = known?.which === which && Date.now() - known.at < COUNTED_FOR;
  const [listed, shareNetworks] = await Promise.all([
    get(`/v2/shares/detail?limit=${limit}${isCounted ? "" : "&with_count=True"}${which}`),
    get(`/v2/share-networks${detail}${everybodys(state, "?")}`),
  ]);
  const counted = isCounted ? known : { which, at: Date.now(), n: listed.count };
  const shares = listed.shares;
  const sharesInAll = shares.length < limit ? shares.length : Math.max(counted.n, shares.length);
  return { lists: { shares, sharesInAll, counted, shareNetworks: shareNetworks.share_networks } };
}

async function topology(state, get) {
  const [{ lists }, servers, services, free] = await Promise.all([
    sharesOf(state, get, MOST, "", "/detail"),
    state.isAdmin ? get("/v2/share-servers") : { share_servers: [] },
    state.isAdmin ? get("/v2/services") : { services: [] },
    freeAddresses(get),
  ]);
  const zones = new Map(services.services.map(({ host, zone }) => [host, zone]));
  return { lists: { ...lists, shareServers: servers.share_servers, zones, free } };
}

/** By local subnet: how many addresses may still be given out. Those of Neutron's subnets are not
 * told by this API. */
async function freeAddresses(get) {
  const found = await orNull(get("/network/v2.0/network-ip-availabilities"));
  const subnets = (found?.network_ip_availabilities ?? []).flatMap((network) => network.subnet_ip_availability);
  return new Map(subnets.map((subnet) => [subnet.subnet_id, subnet.total_ips - subnet.used_ips]));
}

/** A share with its export locations, rules, snapshots and share network. */
async function share(state, get) {
  const { id } = state.route;
  const path = `/v2/shares/${one(id)}`;
  const [found, locations, rules, snapshots] = await orNothing([
    get(path),
    get(`${path}/export_locations`),
    get(`/v2/share-access-rules?share_id=${one(id)}`),
    get(`/v2/snapshots/detail?share_id=${one(id)}${everybodys(state, "&")}`),
  ]);
  const networkId = found?.share.share_network_id;
  const network = networkId ? await orNull(get(`/v2/share-networks/${one(networkId)}`)) : null;
  return {
    share: {
      id,
      share: found?.share ?? null,
      network: network?.share_network ?? null,
      locations: locations?.export_locations ?? [],
      rules: rules?.access_list ?? [],
      snapshots: snapshots?.snapshots ?? [],
    },
  };
}

/** Share networks, local networks with their subnets, security services. */
async function networks(state, get) {
  const [shareNetworks, locals, services] = await Promise.all([
    get(`/v2/share-networks/detail${everybodys(state, "?")}`),
    localNetworks(get),
    get(`/v2/security-services${everybodys(state, "?")}`),
  ]);
  return {
    lists: {
      shareNetworks: shareNetworks.share_networks,
      ...locals,
      securityServices: services.security_services,
    },
  };
}

/** A local network is shown out of the lists. */
async function local(_, get) {
  return { lists: await localNetworks(get) };
}

async function localNetworks(get) {
  const [nets, subnets] = await orNothing([get("/network/v2.0/networks"), get("/network/v2.0/subnets")]);
  const named = new Map((nets?.networks ?? []).map((net) => [net.id, net.name || net.id]));
  return {
    localNetworks: nets?.networks ?? [],
    localSubnets: (subnets?.subnets ?? []).map((subnet) => ({ ...subnet, networkName: named.get(subnet.network_id) ?? subnet.network_id })),
  };
}

/** A share network with what stands on it, what drains, what was said about it. */
async function network(state, get) {
  const { id } = state.route;
  const [locals, found, shares, services, own, servers, messages, zones] = await Promise.all([
    localNetworks(get),
    orNull(get(`/v2/share-networks/${one(id)}`)),
    get(`/v2/shares/detail?share_network_id=${one(id)}${everybodys(state, "&")}`),
    get(`/v2/security-services${everybodys(state, "?")}`),
    orNull(get(`/v2/security-services?share_network_id=${one(id)}${everybodys(state, "&")}`)),
    state.isAdmin ? get(`/v2/share-servers?share_network_id=${one(id)}`) : { share_servers: [] },
    get("/v2/messages?sort_key=created_at&sort_dir=desc&limit=50"),
    get("/v2/availability-zones"),
  ]);
  const shown = found?.share_network ?? null;
  const subnets = shown?.share_network_subnets ?? [];
  const about = new Set([id, ...subnets.map((subnet) => subnet.id)]);
  const operations = await operationsOn(state, get, shown, servers.share_servers);
  const watch = shown ? watchOf(state.watch, shown, operations) : state.watch;
  return {
    lists: locals,
    watch,
    network: {
      id,
      network: shown,
      subnets,
      shares: shares.shares,
      servers: servers.share_servers,
      services: own?.security_services ?? [],
      otherServices: services.security_services.filter(({ id }) => !own?.security_services.some((one) => one.id === id)),
      zones: zones.availability_zones,
      messages: messages.messages.filter(({ resource_id }) => about.has(resource_id)),
      drains: await drainsOf(id, subnets),
      operations,
      locations: watch?.network === id ? await locationsOf(get, shares.shares) : null,
    },
  };
}

/** By subnet: how it drains. File servers are asked for that, and in the background nothing waits for
 * their answers. */
async function drainsOf(network, subnets) {
  const draining = subnets.filter(({ metadata }) => metadata?.[DRAIN]);
  const found = await Promise.all(
    draining.map(({ id }) => orNull(api.get(`/v2/share-networks/${one(network)}/subnets/${one(id)}/removal`))),
  );
  return new Map(draining.flatMap(({ id }, at) => (found[at] ? [[id, found[at].removal]] : [])));
}

/** Work on the network's servers, while it is being changed. Only administrators are told. */
async function operationsOn({ isAdmin }, get, network, servers) {
  if (!isAdmin || network?.status !== "network_change") return [];
  const ids = new Set(servers.map(({ id }) => id));
  const { operations } = await get("/v2/operations");
  return operations.filter(({ about }) => ids.has(about));
}

/** While a change of the network is watched: the export locations of its first shares, by share. */
async function locationsOf(get, shares) {
  const looked = shares.slice(0, MOST_LOOKED_AT);
  const found = await Promise.all(looked.map(({ id }) => orNull(get(`/v2/shares/${one(id)}/export_locations`))));
  return new Map(looked.map(({ id }, at) => [id, found[at]?.export_locations ?? []]));
}

/** What administrators look after. */
async function administration({ isAdmin }, get) {
  if (!isAdmin) return { lists: {} };
  const [operations, services, pools, types, servers] = await Promise.all([
    get("/v2/operations"),
    get("/v2/services"),
    get("/v2/scheduler-stats/pools/detail"),
    get("/v2/types?is_public=all"),
    get("/v2/share-servers"),
  ]);
  return {
    lists: {
      typeProjects: await projectsOf(get, types.share_types),
      operations: operations.operations,
      services: services.services,
      pools: pools.pools,
      types: types.share_types,
      shareServers: servers.share_servers,
    },
  };
}

/** By private share type: the projects that may use it. */
async function projectsOf(get, types) {
  const own = types.filter(isPrivate).slice(0, MOST_LOOKED_AT);
  const found = await Promise.all(own.map(({ id }) => orNull(get(`/v2/types/${one(id)}/share_type_access`))));
  return new Map(own.map(({ id }, at) => [id, (found[at]?.share_type_access ?? []).map(({ project_id }) => project_id)]));
}

export const isPrivate = (type) => type["share_type_access:is_public"] === false;

/** Who is connected to these shares by a subnet. Throws Refused. */
export async function clientsOn(subnetId, shares) {
  const found = await Promise.all(
    shares.slice(0, MOST_LOOKED_AT).map(({ id }) => api.get(`/v2/shares/${one(id)}/clients`)),
  );
  const all = found.flatMap(({ clients }) => clients);
  const there = all.filter(({ share_network_subnet_id }) => subnetId === null || share_network_subnet_id === subnetId);
  // a client of a server is named by each of its shares that it may use
  const named = new Map(there.map((client) => [`${client.address} ${client.server_address}`, client]));
  return [...named.values()];
}

/** All of them, or undefined for each when one is not there. */
async function orNothing(answers) {
  try {
    return await Promise.all(answers);
  } catch (error) {
    if (error.status === 404) return [];
    throw error;
  }
}

async function orNull(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}
