// The list of shares.

import { Component } from "./vendor/preact.mjs";

import { commandLine } from "./commands.js";
import { html } from "./html.js";
import { CopyText, nameOf, shortId, Status, Time } from "./parts.js";
import { t } from "./text.js";

const AT_FIRST = 200; // rows; more are drawn on demand

export class Shares extends Component {
  state = { filter: "", isWhole: false };

  render({ state }, { filter, isWhole }) {
    const { shares, shareNetworks } = state.lists;
    if (!shares) return html`<p class="quiet">${t("loading")}</p>`;
    if (!shares.length) return html`<${NoShares} />`;
    const found = shares.filter((share) => matches(share, filter));
    const shown = isWhole ? found : found.slice(0, AT_FIRST);
    const networks = new Map(shareNetworks.map((network) => [network.id, network]));
    return html`
      <div class="bar">
        <h1>${t("shares")}</h1>
        <input type="search" aria-label=${t("filter")} placeholder=${t("filter")} value=${filter}
          onInput=${(event) => this.setState({ filter: event.currentTarget.value })} />
        <span class="quiet">${t("shown_of", { shown: shown.length, all: shares.length })}</span>
      </div>
      ${found.length
        ? html`<${Table} shares=${shown} networks=${networks} isAdmin=${state.isAdmin} />`
        : html`<p class="quiet">${t("no_match")}</p>`}
      ${shown.length < found.length &&
      html`<button type="button" onClick=${() => this.setState({ isWhole: true })}>
        ${t("show_all", { n: found.length })}
      </button>`}
    `;
  }
}

/** Whether all words of the filter are in the share's name, id or status. */
function matches(share, filter) {
  const text = `${share.name ?? ""} ${share.id} ${share.status}`.toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function Table({ shares, networks, isAdmin }) {
  return html`<table class="list">
    <thead>
      <tr>
        <th scope="col">${t("name")}</th>
        <th scope="col">${t("status")}</th>
        <th scope="col" class="number">${t("size")}</th>
        <th scope="col" class="wide">${t("protocol")}</th>
        <th scope="col" class="wide">${t("share_network")}</th>
        ${isAdmin && html`<th scope="col" class="wide">${t("project")}</th>`}
        <th scope="col" class="wide">${t("created")}</th>
      </tr>
    </thead>
    <tbody>
      ${shares.map(
        (share) => html`<tr key=${share.id}>
          <td><a href="#/share/${share.id}">${nameOf(share)}</a>
            ${share.name && html` <code class="quiet wide">${shortId(share.id)}</code>`}</td>
          <td><${Status} of=${share.status} /></td>
          <td class="number">${share.size} GiB</td>
          <td class="wide">${share.share_proto}</td>
          <td class="wide">${networkName(networks, share)}</td>
          ${isAdmin && html`<td class="wide">${share.project_id}</td>`}
          <td class="wide"><${Time} of=${share.created_at} /></td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

function networkName(networks, share) {
  const network = networks.get(share.share_network_id);
  return network ? nameOf(network) : (share.share_network_id && shortId(share.share_network_id)) || "–";
}

function NoShares() {
  const command = commandLine(
    "openstack", "share", "create", "NFS", "1", "--name", "first", "--share-network", "NETWORK",
  );
  return html`
    <h1>${t("shares")}</h1>
    <p>${t("about_shares")}</p>
    <${CopyText} label=${t("shares_none")} text=${command} />
  `;
}
