// What administrators can do; see actions.js.

import { known, option, positional, visible } from "./commands.js";
import { nameOf, shortId } from "./parts.js";
import { t } from "./text.js";

const one = encodeURIComponent;
const called = (thing) => visible(nameOf(thing));
const SPECS = ["snapshot_support", "create_share_from_snapshot_support", "revert_to_snapshot_support", "mount_snapshot_support"];

export function createType() {
  const yesOrNo = (name, value) => ({ name, label: name, value, options: [["True", t("yes")], ["False", t("no")]] });
  return {
    title: t("type_create"),
    fields: [
      { name: "name", label: t("name"), required: true },
      { name: "is_public", label: t("for_projects"), value: "True", options: [["True", t("all")], ["False", t("type_private")]] },
      yesOrNo("driver_handles_share_servers", "True"),
      ...SPECS.map((spec) => yesOrNo(spec, "False")),
    ],
    request: ({ name, is_public, driver_handles_share_servers, ...specs }) => ({
      words: [
        "share", "type", "create", ...SPECS.flatMap((spec) => [`--${spec.replaceAll("_", "-")}`, specs[spec]]),
        ...(is_public === "False" ? ["--public", "False"] : []), ...positional(name), driver_handles_share_servers,
      ],
      method: "POST",
      path: "/v2/types",
      body: {
        share_type: {
          name, extra_specs: { driver_handles_share_servers, ...specs }, "share_type_access:is_public": is_public === "True",
        },
      },
    }),
  };
}

export function deleteType(type) {
  return {
    title: t("type_delete_one", { name: called(type) }),
    final: t("type_delete_final", { name: called(type) }),
    fields: [],
    request: () => ({
      words: ["share", "type", "delete", known(type.id)], method: "DELETE", path: `/v2/types/${one(type.id)}`,
    }),
  };
}

/** A private share type for one more project. */
export function allowProject(type) {
  return {
    title: t("type_allow_one", { name: called(type) }),
    fields: [{ name: "project", label: t("to_project"), required: true }],
    request: ({ project }) => projectAccess(type, "create", "addProjectAccess", project.trim()),
  };
}

export function denyProject(type, project) {
  return {
    title: t("type_deny_one", { name: called(type), project: visible(project) }),
    fields: [],
    request: () => projectAccess(type, "delete", "removeProjectAccess", project),
  };
}

function projectAccess(type, what, action, project) {
  return {
    words: ["share", "type", "access", what, known(type.id), ...positional(project)],
    method: "POST",
    path: `/v2/types/${one(type.id)}/action`,
    body: { [action]: { project } },
  };
}

export function enableService({ host, binary }) {
  return {
    title: t("service_enable_one", { host: visible(host) }),
    fields: [],
    request: () => ({
      words: ["share", "service", "set", known(host), known(binary), "--enable"],
      method: "PUT",
      path: "/v2/services/enable",
      body: { host, binary },
    }),
  };
}

export function disableService({ host, binary }) {
  return {
    title: t("service_disable_one", { host: visible(host) }),
    fields: [{ name: "reason", label: t("reason") }],
    request: ({ reason }) => ({
      words: ["share", "service", "set", known(host), known(binary), "--disable", ...option("--disable-reason", reason)],
      method: "PUT",
      path: "/v2/services/disable",
      body: { host, binary, disabled_reason: reason || null },
    }),
  };
}

export function ensureShares({ host }) {
  return {
    title: t("ensure_one", { host: visible(host) }),
    fields: [],
    request: () => ({
      words: ["share", "service", "ensure", "shares", known(host)],
      method: "POST",
      path: "/v2/services/ensure-shares",
      body: { host },
    }),
  };
}

export function deleteServer(server) {
  return {
    title: t("server_delete_one", { server: shortId(server.id) }),
    final: t("server_delete_final", { server: shortId(server.id) }),
    fields: [],
    request: () => ({
      words: ["share", "server", "delete", known(server.id)], method: "DELETE", path: `/v2/share-servers/${one(server.id)}`,
    }),
  };
}

/** `retry` or `abandon` a change of a server's subnets that has failed. */
export function endNetworkUpdate(server, how) {
  return {
    title: t(`update_${how}_one`, { server: shortId(server.id) }),
    final: how === "abandon" ? t("update_abandon_final", { server: shortId(server.id) }) : undefined,
    fields: [],
    program: "abaca-manage",
    request: () => ({
      words: ["share_server", `${how}_network_update`, known(server.id)],
      method: "POST",
      path: `/v2/share-servers/${one(server.id)}/action`,
      body: { [`${how}_network_update`]: null },
    }),
  };
}

export function resumeOperation(operation) {
  return {
    title: t("operation_resume_one", { operation: visible(operation.name) }),
    fields: [],
    program: "abaca-manage",
    request: () => ({
      words: ["operations", "resume", known(operation.id)],
      method: "POST",
      path: `/v2/operations/${one(operation.id)}/action`,
      body: { resume: null },
    }),
  };
}
