// What can be done here: for each thing its request, and the `openstack` command that does the same.
//
// An action is {title, fields, request}: `request` makes {words, method, path, body} of the fields'
// values. `final` says what cannot be undone about it, and has to be confirmed. `check` makes
// {words, path, body} of a question that has to be answered with yes before, and `said` is what a yes
// and a no mean; `done` is given the answer to the request. `program`: what has the same command, if it is not openstack.

import { known, option, visible } from "./commands.js";
import { nameOf } from "./parts.js";
import { t } from "./text.js";

// Of a name only what is seen: it stands in sentences that people confirm.
const called = (thing) => visible(nameOf(thing));
const actionOf = (id) => `/v2/shares/${encodeURIComponent(id)}/action`;

export function createShare({ types, networks }) {
  const standard = types.find(({ is_default }) => is_default) ?? types[0];
  return {
    title: t("share_create"),
    fields: [
      { name: "name", label: t("name") },
      { name: "size", label: t("size_gib"), kind: "number", value: "1", required: true },
      {
        name: "type", label: t("share_type"), value: standard?.id ?? "",
        options: types.map((type) => [type.id, type.name]),
      },
      {
        name: "network", label: t("share_network"), value: networks[0]?.id ?? "",
        options: [...networks.map((network) => [network.id, nameOf(network)]), ["", t("none")]],
      },
    ],
    request: ({ name, size, type, network }) => ({
      words: [
        "share", "create", "NFS", size,
        ...option("--name", name), ...option("--share-type", type), ...option("--share-network", network),
      ],
      method: "POST",
      path: "/v2/shares",
      body: {
        share: {
          share_proto: "NFS", size: Number(size), name: name || null,
          share_type: type || null, share_network_id: network || null,
        },
      },
    }),
  };
}

export function deleteShare(share) {
  return {
    title: t("share_delete"),
    final: t("share_delete_final", { name: called(share) }),
    fields: [],
    request: () => ({
      words: ["share", "delete", known(share.id)],
      method: "DELETE",
      path: `/v2/shares/${encodeURIComponent(share.id)}`,
    }),
  };
}

/** For administrators, whatever its status. */
export function forceDeleteShare(share) {
  return {
    title: t("share_force"),
    final: t("share_delete_final", { name: called(share) }),
    fields: [],
    request: () => ({
      words: ["share", "delete", "--force", known(share.id)],
      method: "POST",
      path: actionOf(share.id),
      body: { force_delete: null },
    }),
  };
}

export function resizeShare(share) {
  return {
    title: t("resize"),
    fields: [
      { name: "size", label: t("size_gib"), kind: "number", value: String(share.size), required: true },
    ],
    request: ({ size }) => ({
      words: ["share", "resize", known(share.id), size],
      method: "POST",
      path: actionOf(share.id),
      body: { [Number(size) < share.size ? "shrink" : "extend"]: { new_size: Number(size) } },
    }),
  };
}

export function addRule(share) {
  return {
    title: t("rule_add"),
    fields: [
      { name: "client", label: t("rule_client"), placeholder: "10.0.0.0/24", required: true },
      {
        name: "level", label: t("access_level"), value: "rw",
        options: [["rw", t("level_rw")], ["ro", t("level_ro")]],
      },
    ],
    request: ({ client, level }) => ({
      words: ["share", "access", "create", known(share.id), "ip", known(client.trim()), "--access-level", level],
      method: "POST",
      path: actionOf(share.id),
      body: { allow_access: { access_type: "ip", access_to: client.trim(), access_level: level } },
    }),
  };
}

export function removeRule(share, rule) {
  return {
    title: t("rule_remove_one", { client: visible(rule.access_to) }),
    fields: [],
    request: () => ({
      words: ["share", "access", "delete", known(share.id), known(rule.id)],
      method: "POST",
      path: actionOf(share.id),
      body: { deny_access: { access_id: rule.id } },
    }),
  };
}

export function createSnapshot(share) {
  return {
    title: t("snapshot_create"),
    fields: [{ name: "name", label: t("name") }],
    request: ({ name }) => ({
      words: ["share", "snapshot", "create", known(share.id), ...option("--name", name)],
      method: "POST",
      path: "/v2/snapshots",
      body: { snapshot: { share_id: share.id, name: name || null } },
    }),
  };
}

export function deleteSnapshot(snapshot) {
  return {
    title: t("snapshot_delete_one", { name: called(snapshot) }),
    final: t("snapshot_delete_final", { name: called(snapshot) }),
    fields: [],
    request: () => ({
      words: ["share", "snapshot", "delete", known(snapshot.id)],
      method: "DELETE",
      path: `/v2/snapshots/${encodeURIComponent(snapshot.id)}`,
    }),
  };
}

/** For administrators, whatever its status. */
export function forceDeleteSnapshot(snapshot) {
  return {
    title: t("snapshot_force_one", { name: called(snapshot) }),
    final: t("snapshot_delete_final", { name: called(snapshot) }),
    fields: [],
    request: () => ({
      words: ["share", "snapshot", "delete", "--force", known(snapshot.id)],
      method: "POST",
      path: `/v2/snapshots/${encodeURIComponent(snapshot.id)}/action`,
      body: { force_delete: null },
    }),
  };
}

export function revertToSnapshot(share, snapshot) {
  return {
    title: t("revert_to", { name: called(snapshot) }),
    final: t("revert_final", { name: called(share) }),
    fields: [],
    request: () => ({
      words: ["share", "revert", known(snapshot.id)],
      method: "POST",
      path: actionOf(share.id),
      body: { revert: { snapshot_id: snapshot.id } },
    }),
  };
}
