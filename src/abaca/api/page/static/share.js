// One share: where it is exported, whom it admits, and what to copy to mount it.

import { commandLine, fstabLine, kubernetesVolume, mountCommand, parts } from "./commands.js";
import { html } from "./html.js";
import { addressOf, subnetOf } from "./locations.js";
import { CopyText, Facts, nameOf, Status, Time } from "./parts.js";
import { Reach } from "./reach.js";
import { t } from "./text.js";

export function Share({ state }) {
  const { share: open, route, lists } = state;
  if (!open || open.id !== route.id) return html`<p class="quiet">${t("loading")}</p>`;
  const { share, locations, rules } = open;
  if (!share) return html`<p>${t("share_gone")} <a href="#/shares">${t("back_to_shares")}</a></p>`;
  const network = lists.shareNetworks?.find((one) => one.id === share.share_network_id);
  const subnets = network?.share_network_subnets ?? [];
  return html`
    <p><a href="#/shares">← ${t("back_to_shares")}</a></p>
    <div class="bar"><h1>${nameOf(share)}</h1><${Status} of=${share.status} /></div>
    <${Facts} rows=${facts(share, network)} />
    <section>
      <h2>${t("export_locations")}</h2>
      ${locations.length
        ? html`<${Locations} locations=${locations} subnets=${subnets} />`
        : html`<p class="quiet">${t("export_none")}</p>`}
    </section>
    <section>
      <h2>${t("access")}</h2>
      ${rules.length ? html`<${Rules} rules=${rules} />` : html`<${NoRules} share=${share} />`}
    </section>
    <${Reach} open=${open} subnets=${subnets} />
    <section>
      <h2>${t("copy_this")}</h2>
      ${mounts(locations).map(([label, text]) => html`<${CopyText} label=${label} text=${text} />`)}
      ${locations.length > 0 && html`<${ForFiles} share=${share} location=${first(locations).path} />`}
      <${CopyText} label=${t("same_command")} text=${commandLine("openstack", "share", "show", share.id)} />
    </section>
  `;
}

function facts(share, network) {
  const metadata = Object.entries(share.metadata ?? {});
  return [
    [t("id"), html`<code>${share.id}</code>`],
    [t("size"), `${share.size} GiB`],
    [t("protocol"), share.share_proto],
    [t("share_type"), share.share_type_name ?? "–"],
    [t("share_network"), network ? nameOf(network) : (share.share_network_id ?? "–")],
    [t("zone"), share.availability_zone ?? "–"],
    [t("project"), share.project_id],
    [t("created"), html`<${Time} of=${share.created_at} />`],
    ...(share.description ? [[t("description"), share.description]] : []),
    ...(metadata.length
      ? [[t("metadata"), metadata.map(([key, value]) => html`<div><code>${key}</code> ${value}</div>`)]]
      : []),
  ];
}

function Locations({ locations, subnets }) {
  return html`<table class="list">
    <thead>
      <tr>
        <th scope="col">${t("path")}</th>
        <th scope="col">${t("family")}</th>
        <th scope="col" class="wide">${t("subnet")}</th>
      </tr>
    </thead>
    <tbody>
      ${locations.map((location) => {
        const family = addressOf(location)?.family;
        return html`<tr key=${location.id}>
          <td><code class="break">${location.path}</code>
            ${location.preferred && html` <span class="tag">${t("preferred")}</span>`}</td>
          <td>${family ? `IPv${family}` : "–"}</td>
          <td class="wide">${subnetOf(location, subnets)?.cidr ?? "–"}</td>
        </tr>`;
      })}
    </tbody>
  </table>`;
}

function Rules({ rules }) {
  return html`<table class="list">
    <thead>
      <tr>
        <th scope="col">${t("access_to")}</th>
        <th scope="col">${t("access_level")}</th>
        <th scope="col">${t("access_state")}</th>
        <th scope="col" class="wide">${t("created")}</th>
      </tr>
    </thead>
    <tbody>
      ${rules.map(
        (rule) => html`<tr key=${rule.id}>
          <td><code class="break">${rule.access_to}</code>
            ${rule.access_type !== "ip" && html` <span class="tag">${rule.access_type}</span>`}</td>
          <td>${rule.access_level}</td>
          <td><${Status} of=${rule.state} /></td>
          <td class="wide"><${Time} of=${rule.created_at} /></td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

function NoRules({ share }) {
  const command = commandLine("openstack", "share", "access", "create", share.id, "ip", "10.0.0.0/24");
  return html`<${CopyText} label=${t("access_none")} text=${command} />`;
}

/** The preferred location, or the first one. */
function first(locations) {
  return locations.find((location) => location.preferred) ?? locations[0];
}

/** A mount command for each family: [label, text]. */
function mounts(locations) {
  return [[4, t("mount_v4")], [6, t("mount_v6")]].flatMap(([family, label]) => {
    const ofFamily = locations.filter((location) => addressOf(location)?.family === family);
    return ofFamily.length ? [[label, mountCommand(first(ofFamily).path)]] : [];
  });
}

function ForFiles({ share, location }) {
  return html`
    <${CopyText} label=${t("fstab")} text=${fstabLine(location)} />
    ${parts(location) &&
    html`<${CopyText} label=${t("kubernetes")} text=${kubernetesVolume(share, location)} />`}
  `;
}
