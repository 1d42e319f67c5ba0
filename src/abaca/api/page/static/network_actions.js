// What can be done with networks and their subnets; see actions.js.

import { parseSubnet } from "./addresses.js";
import { known, option, positional, visible } from "./commands.js";
import { nameOf } from "./parts.js";
import { change } from "./store.js";
import { t } from "./text.js";

const NETWORKS = "/network/v2.0";
const called = (thing) => visible(nameOf(thing));
const one = (...parts) => parts.map(encodeURIComponent).join("/");
const subnetOf = (network, subnet) => `/v2/share-networks/${one(network.id)}/subnets/${one(subnet.id)}`;

// --- local networks -----------------------------------------------------------------------------

export function createNetwork() {
  return {
    title: t("network_create"),
    fields: [{ name: "name", label: t("name"), required: true }],
    request: ({ name }) => ({
      words: ["network", "create", ...positional(name)],
      method: "POST",
      path: `${NETWORKS}/networks`,
      body: { network: { name } },
    }),
  };
}

export function deleteNetwork(network) {
  return {
    title: t("network_delete_one", { name: called(network) }),
    final: t("network_delete_final", { name: called(network) }),
    fields: [],
    request: () => ({
      words: ["network", "delete", known(network.id)],
      method: "DELETE",
      path: `${NETWORKS}/networks/${one(network.id)}`,
    }),
  };
}

export function createSubnet(network) {
  return {
    title: t("subnet_create_on", { name: called(network) }),
    fields: [
      { name: "name", label: t("name") },
      { name: "cidr", label: t("cidr"), placeholder: "10.20.0.0/24", required: true },
      { name: "gateway", label: t("gateway"), placeholder: t("gateway_hint") },
      { name: "first", label: t("pool_first"), placeholder: t("pool_hint") },
      { name: "last", label: t("pool_last"), placeholder: t("pool_hint") },
    ],
    request: ({ name, cidr, gateway, first, last }) => {
      const pool = { start: first.trim(), end: last.trim() };
      const hasPool = Boolean(pool.start || pool.end);
      const version = parseSubnet(cidr.trim())?.family ?? 4;
      const chosen = gateway.trim();
      return {
        words: [
          "subnet", "create", "--network", known(network.id), ...option("--subnet-range", cidr.trim()),
          ...(version === 6 ? ["--ip-version", "6"] : []), ...option("--gateway", chosen),
          ...(hasPool ? ["--allocation-pool", `start=${pool.start},end=${pool.end}`] : []), ...positional(name || "subnet"),
        ],
        method: "POST",
        path: `${NETWORKS}/subnets`,
        body: {
          subnet: {
            network_id: network.id, cidr: cidr.trim(), ip_version: version, name: name || "subnet",
            ...(chosen && { gateway_ip: chosen === "none" ? null : chosen }),
            ...(hasPool && { allocation_pools: [pool] }),
          },
        },
      };
    },
  };
}

export function deleteSubnet(subnet) {
  return {
    title: t("subnet_delete_one", { subnet: subnet.cidr }),
    final: t("subnet_delete_final", { subnet: subnet.cidr }),
    fields: [],
    request: () => ({
      words: ["subnet", "delete", known(subnet.id)],
      method: "DELETE",
      path: `${NETWORKS}/subnets/${one(subnet.id)}`,
    }),
  };
}

export function offerNetwork(network) {
  return {
    title: t("network_offer_one", { name: called(network) }),
    fields: [{ name: "project", label: t("to_project"), required: true }],
    request: ({ project }) => ({
      words: [
        "network", "rbac", "create", "--type", "network", "--action", "access_as_shared",
        ...option("--target-project", project.trim()), known(network.id),
      ],
      method: "POST",
      path: `${NETWORKS}/rbac-policies`,
      body: {
        rbac_policy: {
          object_type: "network", object_id: network.id, action: "access_as_shared",
          target_tenant: project.trim(),
        },
      },
    }),
  };
}

// --- share networks -----------------------------------------------------------------------------

export function createShareNetwork(localSubnets) {
  return {
    title: t("share_network_create"),
    fields: [{ name: "name", label: t("name"), required: true }, ...placeFields(localSubnets)],
    request: (values) => {
      const { net, subnet } = placeOf(values);
      return {
        words: [
          "share", "network", "create", ...option("--name", values.name),
          ...option("--neutron-net-id", net), ...option("--neutron-subnet-id", subnet),
        ],
        method: "POST",
        path: "/v2/share-networks",
        body: {
          share_network: { name: values.name, neutron_net_id: net || null, neutron_subnet_id: subnet || null },
        },
      };
    },
  };
}

export function deleteShareNetwork(network) {
  return {
    title: t("share_network_delete"),
    final: t("share_network_delete_final", { name: called(network) }),
    fields: [],
    request: () => ({
      words: ["share", "network", "delete", known(network.id)],
      method: "DELETE",
      path: `/v2/share-networks/${one(network.id)}`,
    }),
  };
}

/** Checked first: all back ends of the network are asked. What happens then is shown in steps. */
export function addSubnet(network, localSubnets, zones) {
  const place = (values) => {
    const { net, subnet } = placeOf(values);
    const zone = values.zone || null;
    return {
      words: [
        "share", "network", "subnet", "create", known(network.id),
        ...option("--neutron-net-id", net), ...option("--neutron-subnet-id", subnet),
        ...option("--availability-zone", zone),
      ],
      body: { neutron_net_id: net || null, neutron_subnet_id: subnet || null, availability_zone: zone },
    };
  };
  return {
    title: t("subnet_add"),
    fields: [
      ...placeFields(localSubnets),
      { name: "zone", label: t("zone"), options: [["", t("zone_default")], ...zones.map((zone) => [zone.name, zone.name])] },
    ],
    check: (values) => ({
      words: [...place(values).words, "--check-only"],
      path: `/v2/share-networks/${one(network.id)}/action`,
      body: { share_network_subnet_create_check: place(values).body },
    }),
    said: { yes: t("check_yes"), no: t("check_no") },
    request: (values) => ({
      words: place(values).words,
      method: "POST",
      path: `/v2/share-networks/${one(network.id)}/subnets`,
      body: { "share-network-subnet": place(values).body },
    }),
    done: (answer) => watch("addition", network, answer.share_network_subnet.id),
  };
}

export function drainSubnet(network, subnet) {
  return {
    title: t("drain_one", { subnet: nameOfSubnet(subnet) }),
    fields: [
      { name: "hours", label: t("drain_hours"), kind: "number", value: "24", required: true },
      {
        name: "then", label: t("at_deadline"), value: "cancel",
        options: [["cancel", t("at_deadline_cancel")], ["force", t("at_deadline_force")]],
      },
    ],
    request: ({ hours, then }) => ({
      words: [
        "share", "network", "subnet", "removal", "set", known(network.id), known(subnet.id),
        "--deadline", String(Number(hours) * 3600), "--at-deadline", then,
      ],
      method: "PUT",
      path: `${subnetOf(network, subnet)}/removal`,
      body: { deadline: Number(hours) * 3600, at_deadline: then },
    }),
  };
}

export function cancelDrain(network, subnet) {
  return {
    title: t("drain_cancel_one", { subnet: nameOfSubnet(subnet) }),
    fields: [],
    request: () => ({
      words: ["share", "network", "subnet", "removal", "unset", known(network.id), known(subnet.id)],
      method: "DELETE",
      path: `${subnetOf(network, subnet)}/removal`,
    }),
  };
}

export function removeSubnet(network, subnet) {
  return {
    title: t("subnet_remove_one", { subnet: nameOfSubnet(subnet) }),
    final: t("subnet_remove_final", { subnet: nameOfSubnet(subnet) }),
    fields: [],
    request: () => ({
      words: ["share", "network", "subnet", "delete", known(network.id), known(subnet.id)],
      method: "DELETE",
      path: subnetOf(network, subnet),
    }),
    done: () => watch("removal", network, subnet.id),
  };
}

/** For administrators, whoever is connected. Checked first: whom it would cut. */
export function forceRemoval(network, subnet) {
  const words = (what) => ["share", "network", "subnet", "removal", what, known(network.id), known(subnet.id)];
  const path = `${subnetOf(network, subnet)}/action`;
  return {
    title: t("subnet_force_one", { subnet: nameOfSubnet(subnet) }),
    final: t("subnet_force_final", { subnet: nameOfSubnet(subnet) }),
    fields: [],
    check: () => ({ words: words("check"), path, body: { share_network_subnet_delete_check: {} } }),
    said: { yes: t("check_removal_yes"), no: t("check_removal_no") },
    request: () => ({ words: words("force"), method: "POST", path, body: { force_delete: null } }),
    done: () => watch("removal", network, subnet.id),
  };
}

export const nameOfSubnet = (subnet) => subnet.cidr ?? subnet.id.slice(0, 8);

/** From now on the steps of a change are shown. */
export function watch(kind, network, subnet) {
  change({ watch: { kind, network: network.id, subnet, since: Date.now(), isOver: false } });
}

// --- shared -------------------------------------------------------------------------------------

/** Where networks are Abaca's own, one is chosen; Neutron's are named by their ids. */
function placeFields(localSubnets) {
  if (!localSubnets.length) {
    return [{ name: "net", label: t("neutron_net_id") }, { name: "subnet", label: t("neutron_subnet_id") }];
  }
  const options = localSubnets.map((subnet) => [
    `${subnet.network_id} ${subnet.id}`,
    `${visible(subnet.networkName)}: ${subnet.cidr} (IPv${subnet.ip_version})`,
  ]);
  return [{ name: "place", label: t("subnet"), value: options[0][0], options }];
}

function placeOf({ place, net = "", subnet = "" }) {
  if (place === undefined) return { net: net.trim(), subnet: subnet.trim() };
  const [chosenNet, chosenSubnet] = place.split(" ");
  return { net: chosenNet, subnet: chosenSubnet };
}
