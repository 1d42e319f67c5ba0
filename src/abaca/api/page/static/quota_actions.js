// What administrators can do with quotas; see actions.js. `of` says whose they are: {project, user,
// type}, of which only one of the last two is more than "".

import { known, option } from "./commands.js";
import { t } from "./text.js";

const LIMITED = ["shares", "gigabytes", "per_share_gigabytes", "snapshots", "snapshot_gigabytes", "share_networks"];

/** Those of our limits that a quota set has: share types have none for networks. */
export function limitedIn(quotaSet) {
  return LIMITED.filter((name) => name in quotaSet);
}

export function pathOf({ project, user, type }, more = "") {
  const part = user ? `?user_id=${encodeURIComponent(user)}` : type ? `?share_type=${encodeURIComponent(type)}` : "";
  return `/v2/quota-sets/${encodeURIComponent(project)}${more}${part}`;
}

const wordsOf = ({ project, user, type }) => [known(project), ...option("--user", user), ...option("--share-type", type)];

/** Only those that are changed are sent. */
export function setQuotas(of, limits) {
  const names = Object.keys(limits);
  const changed = (values) => Object.fromEntries(
    names.filter((name) => Number(values[name]) !== limits[name]).map((name) => [name, Number(values[name])]),
  );
  return {
    title: t("quota_set"),
    fields: names.map((name) => ({ name, label: t("quota_limit", { name }), kind: "integer", value: String(limits[name]), required: true })),
    request: (values) => ({
      words: [
        "share", "quota", "set", ...wordsOf(of),
        ...Object.entries(changed(values)).map(([name, limit]) => `--${name.replaceAll("_", "-")}=${limit}`),
      ],
      method: "PUT",
      path: pathOf(of),
      body: { quota_set: changed(values) },
    }),
  };
}

export function resetQuotas(of) {
  return {
    title: t("quota_reset"),
    fields: [],
    request: () => ({ words: ["share", "quota", "delete", ...wordsOf(of)], method: "DELETE", path: pathOf(of) }),
  };
}
