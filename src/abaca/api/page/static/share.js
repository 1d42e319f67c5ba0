// One share: where it is exported, whom it admits, and what to copy to mount it.

import { Component } from "./vendor/preact.mjs";

import {
  addRule, createSnapshot, deleteShare, deleteSnapshot, forceDeleteShare, forceDeleteSnapshot, removeRule,
  resizeShare, revertToSnapshot,
} from "./actions.js";
import { commandLine, fstabLine, known, kubernetesVolume, mountCommand, parts, visible } from "./commands.js";
import { html } from "./html.js";
import { clientsOn } from "./loads.js";
import { addressOf, subnetOf } from "./locations.js";
import { Clients } from "./network.js";
import { Acting } from "./networks.js";
import { CopyText, Facts, nameOf, showError, Status, Time } from "./parts.js";
import { Reach } from "./reach.js";
import { t } from "./text.js";

export function Share({ state }) {
  return html`<${Acting} state=${state} view=${Whole} />`;
}

function Whole({ state, act, doing }) {
  const { share: open, route } = state;
  if (!open || open.id !== route.id) return html`<p class="quiet">${t("loading")}</p>`;
  const { share, network, locations, rules, snapshots } = open;
  if (!share) return html`<p>${t("share_gone")} <a href="#/shares">${t("back_to_shares")}</a></p>`;
  const subnets = network?.share_network_subnets ?? [];
  return html`
    <p><a href="#/shares">← ${t("back_to_shares")}</a></p>
    <div class="bar"><h1>${nameOf(share)}</h1><${Status} of=${share.status} /></div>
    <${Facts} rows=${facts(share, network)} />
    <p class="buttons">
      <button type="button" onClick=${() => act("share", resizeShare(share))}>${t("resize")}</button>
      <button type="button" onClick=${() => act("share", deleteShare(share))}>${t("share_delete")}</button>
      ${state.isAdmin && html`<button type="button" onClick=${() => act("share", forceDeleteShare(share))}>${t("share_force")}</button>`}
    </p>
    ${doing("share")}
    <section>
      <h2>${t("export_locations")}</h2>
      ${locations.length
        ? html`<${Locations} locations=${locations} subnets=${subnets} />`
        : html`<p class="quiet">${t("export_none")}</p>`}
    </section>
    <section>
      <h2>${t("access")}</h2>
      ${rules.length
        ? html`<${Rules} rules=${rules} remove=${(rule) => act("rules", removeRule(share, rule))} />`
        : html`<p class="quiet">${t("access_none")}</p>`}
      <p class="buttons">
        <button type="button" onClick=${() => act("rules", addRule(share))}>${t("rule_add")}</button>
      </p>
      ${doing("rules")}
    </section>
    <section>
      <h2>${t("snapshots")}</h2>
      ${snapshots.length
        ? html`<${Snapshots} snapshots=${snapshots}
            revert=${(snapshot) => act("snapshots", revertToSnapshot(share, snapshot))}
            remove=${(snapshot) => act("snapshots", deleteSnapshot(snapshot))}
            force=${state.isAdmin && ((snapshot) => act("snapshots", forceDeleteSnapshot(snapshot)))} />`
        : html`<p class="quiet">${t("snapshots_none")}</p>`}
      <p class="buttons">
        <button type="button" onClick=${() => act("snapshots", createSnapshot(share))}>${t("snapshot_create")}</button>
      </p>
      ${doing("snapshots")}
    </section>
    <${Connected} key=${share.id} share=${share} />
    <${Reach} open=${open} subnets=${subnets} />
    <section>
      <h2>${t("copy_this")}</h2>
      ${ways(locations, subnets).map(({ way, path }, at) => html`<${CopyText} key=${path} label=${t("mount", { way })} text=${mountCommand(path)} />
        <details key=${`${path} more`} open=${at === 0}>
          <summary>${t("for_files", { way })}</summary>
          <${CopyText} label=${t("fstab", { way })} text=${fstabLine(path)} />
          <${CopyText} label=${t("kubernetes", { way })} text=${kubernetesVolume(share, path)} />
        </details>`)}
      <${CopyText} label=${t("same_command")} text=${commandLine("openstack", "share", "show", known(share.id))} />
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
      ? [[t("metadata"), metadata.map(([key, value]) => html`<div><code>${key}</code> <bdi>${value}</bdi></div>`)]]
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

function Rules({ rules, remove }) {
  return html`<table class="list">
    <thead>
      <tr>
        <th scope="col">${t("access_to")}</th>
        <th scope="col">${t("access_level")}</th>
        <th scope="col">${t("access_state")}</th>
        <th scope="col" class="wide">${t("created")}</th>
        <th scope="col">${t("actions")}</th>
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
          <td><button type="button" aria-label=${t("rule_remove_one", { client: rule.access_to })}
            onClick=${() => remove(rule)}>${t("remove")}</button></td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

function Snapshots({ snapshots, revert, remove, force }) {
  return html`<table class="list">
    <thead>
      <tr>
        <th scope="col">${t("name")}</th>
        <th scope="col">${t("status")}</th>
        <th scope="col" class="wide number">${t("size")}</th>
        <th scope="col" class="wide">${t("created")}</th>
        <th scope="col">${t("actions")}</th>
      </tr>
    </thead>
    <tbody>
      ${snapshots.map(
        (snapshot) => html`<tr key=${snapshot.id}>
          <td>${nameOf(snapshot)}</td>
          <td><${Status} of=${snapshot.status} /></td>
          <td class="wide number">${snapshot.size} GiB</td>
          <td class="wide"><${Time} of=${snapshot.created_at} /></td>
          <td><span class="buttons">
            <button type="button" aria-label=${t("revert_to", { name: nameOf(snapshot) })}
              onClick=${() => revert(snapshot)}>${t("revert")}</button>
            <button type="button" aria-label=${t("snapshot_delete_one", { name: nameOf(snapshot) })}
              onClick=${() => remove(snapshot)}>${t("delete")}</button>
            ${force && html`<button type="button" aria-label=${t("snapshot_force_one", { name: nameOf(snapshot) })}
              onClick=${() => force(snapshot)}>${t("force")}</button>`}
          </span></td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

/** The ways to mount it, one for each family and client network: [{way, path}]. */
function ways(locations, subnets) {
  const known = locations.filter(({ path }) => parts(path)).map((location) => {
    const family = addressOf(location)?.family ?? 7; // a name comes last
    return { family, isLess: !location.preferred, path: location.path, subnet: subnetOf(location, subnets)?.cidr };
  });
  known.sort((a, b) => a.family - b.family || a.isLess - b.isLess);
  return known.map(({ family, path, subnet }) => {
    if (family === 7) return { way: t("way_name", { name: visible(parts(path).host) }), path };
    const isOne = known.filter((other) => other.family === family).length === 1;
    return { way: isOne || !subnet ? t("way", { family }) : t("way_from", { family, subnet }), path };
  });
}

/** Who is connected: asked of the file server, so only when somebody wants to know. */
class Connected extends Component {
  state = { clients: null, isBusy: false };

  ask = async () => {
    this.setState({ isBusy: true });
    try {
      this.setState({ clients: await clientsOn(null, [this.props.share]) });
    } catch (error) {
      showError(error);
    }
    this.setState({ isBusy: false });
  };

  render(_, { clients, isBusy }) {
    return html`<section>
      <h2>${t("connected")}</h2>
      <p class="buttons"><button type="button" aria-disabled=${isBusy ? "true" : undefined} onClick=${this.ask}>
        ${t("clients_ask")}</button></p>
      <div aria-live="polite">${clients && html`<${Clients} clients=${clients} />`}</div>
    </section>`;
  }
}
