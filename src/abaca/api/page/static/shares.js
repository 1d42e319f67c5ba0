// The list of shares.

import { Component } from "./vendor/preact.mjs";

import { createShare } from "./actions.js";
import { get } from "./api.js";
import { Doing } from "./doing.js";
import { refresh } from "./data.js";
import { html } from "./html.js";
import { MORE, MOST } from "./loads.js";
import { nameOf, shortId, showError, Status, Time } from "./parts.js";
import { change } from "./store.js";
import { t } from "./text.js";

const PAUSE = 300; // milliseconds without a key before the service is asked

export class Shares extends Component {
  state = { filter: this.props.state.filter, creates: null };

  create = async () => {
    try {
      const { share_types: types } = await get("/v2/types");
      this.setState({ creates: createShare({ types, networks: this.props.state.lists.shareNetworks }) });
    } catch (error) {
      showError(error);
    }
  };

  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  /** Here, among what is listed; of a longer list also by the service, which looks for names. */
  find = (filter) => {
    this.setState({ filter });
    const { lists, filter: asked } = this.props.state;
    if (!asked && lists.shares.length === lists.sharesInAll) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load({ filter: filter.trim() }), PAUSE);
  };

  load = (what) => {
    change(what);
    refresh();
  };

  render({ state }, { filter, creates }) {
    const { shares, sharesInAll, shareNetworks } = state.lists;
    if (!shares) return html`<p class="quiet">${t("loading")}</p>`;
    const creation = html`<p><button type="button" onClick=${this.create}>${t("share_create")}</button></p>
      ${creates && html`<${Doing} action=${creates} close=${() => this.setState({ creates: null })} />`}`;
    if (!shares.length && !state.filter) return html`<${NoShares} />${creation}`;
    const shown = shares.filter((share) => matches(share, filter));
    const networks = new Map(shareNetworks.map((network) => [network.id, network]));
    return html`
      <div class="bar">
        <h1>${t("shares")}</h1>
        <input type="search" aria-label=${t("filter")} placeholder=${t("filter")} value=${filter}
          onInput=${(event) => this.find(event.currentTarget.value)} />
        <span class="quiet">${t("shown_of", { shown: shown.length, all: sharesInAll })}</span>
      </div>
      ${creation}
      ${shown.length
        ? html`<${Table} shares=${shown} networks=${networks} isAdmin=${state.isAdmin} />`
        : html`<p class="quiet">${t("no_match")}</p>`}
      ${shares.length < sharesInAll && (state.wanted < MOST
        ? html`<button type="button" onClick=${() => this.load({ wanted: state.wanted + MORE })}>${t("show_more")}</button>`
        : html`<p class="quiet">${t("narrow")}</p>`)}
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
  return html`
    <h1>${t("shares")}</h1>
    <p>${t("about_shares")} ${t("shares_none")}</p>
  `;
}
