// The picture: which share servers stand on which subnets, and which shares they serve.

import { Component } from "./vendor/preact.mjs";

import { html } from "./html.js";
import { nameOf, shortId, Status } from "./parts.js";
import { groupsOf, isOpen } from "./topology_layout.js";
import { t } from "./text.js";

const HEIGHTS = [20, 26, 34]; // of a row, in pixels
const STEP = 22; // between two columns
const SHARES = 8; // named in a row

export class Topology extends Component {
  state = { query: "", chosen: new Map(), zoom: 1 };

  choose(groups, open) {
    this.setState({ chosen: new Map([...this.state.chosen, ...groups.map(({ id }) => [id, open])]) });
  }

  render({ state }, { query, chosen, zoom }) {
    const { lists, isAdmin } = state;
    if (!lists.shareServers) return html`<p class="quiet">${t("loading")}</p>`;
    const groups = groupsOf(lists, query, isAdmin);
    const servers = lists.shareServers.length;
    return html`
      <div class="bar">
        <h1>${t("topology")}</h1>
        <input type="search" aria-label=${t("search")} placeholder=${t("search")} value=${query}
          onInput=${(event) => this.setState({ query: event.currentTarget.value })} />
        <span class="buttons">
          <button type="button" onClick=${() => this.choose(groups, true)}>${t("open_all")}</button>
          <button type="button" onClick=${() => this.choose(groups, false)}>${t("close_all")}</button>
          <button type="button" aria-label=${t("smaller")} disabled=${zoom === 0}
            onClick=${() => this.setState({ zoom: zoom - 1 })}>−</button>
          <button type="button" aria-label=${t("larger")} disabled=${zoom === HEIGHTS.length - 1}
            onClick=${() => this.setState({ zoom: zoom + 1 })}>+</button>
        </span>
        <span class="quiet">${isAdmin
          ? t("counted_servers", { networks: lists.shareNetworks.length, servers, shares: lists.sharesInAll ?? lists.shares.length })
          : t("counted", { networks: lists.shareNetworks.length, shares: lists.sharesInAll ?? lists.shares.length })}</span>
      </div>
      ${lists.shares.length < lists.sharesInAll && html`<p class="quiet">${t("newest_only", { n: lists.shares.length })}</p>`}
      ${!groups.length && html`<p class="quiet">${t(query ? "no_match" : "topology_none")}</p>`}
      ${groups.map((group) => {
        const open = isOpen(chosen, group.id, groups, query);
        return html`<${Group} key=${group.id} group=${group} isOpen=${open} seesServers=${isAdmin}
          height=${HEIGHTS[zoom]} toggle=${() => this.choose([group], !open)} />`;
      })}
    `;
  }
}

function Group({ group, isOpen, seesServers, height, toggle }) {
  const { network, subnets, rows } = group;
  const servers = rows.filter(({ server }) => server).length;
  return html`<section class="group">
    <h2>
      <button type="button" class="bare" aria-expanded=${String(isOpen)} onClick=${toggle}>
        <span class="arrow" aria-hidden="true">${isOpen ? "▾" : "▸"}</span>
        ${network ? nameOf(network) : t("no_share_network")}
      </button>
      ${network && html`<${Status} of=${network.status} />`}
      <span class="quiet">${t(seesServers ? "of_group_servers" : "of_group", { subnets: subnets.length, servers, shares: group.shares })}</span>
    </h2>
    ${isOpen && html`<ul class="graph zoom-${height}">
      ${subnets.map((subnet, at) => html`<li key=${subnet.id}>
        <${Lines} group=${group} height=${height} from=${at} dots=${[at]} isSubnet />
        <span><code>${subnet.cidr ?? shortId(subnet.id)}</code>
          <span class="quiet"> ${subnet.ip_version ? `IPv${subnet.ip_version}` : ""}
            ${subnet.availability_zone ? ` · ${subnet.availability_zone}` : ""}</span></span>
      </li>`)}
      ${rows.map((row, at) => html`<li key=${row.server?.id ?? "shares"}>
        <${Lines} group=${group} height=${height} row=${at} dots=${row.columns} />
        <${Row} row=${row} />
      </li>`)}
    </ul>`}
  </section>`;
}

function Row({ row: { server, shares } }) {
  const more = shares.length - SHARES;
  return html`<span class="row">
    ${server && html`<code title=${`${server.id} ${server.host ?? ""}`}>${shortId(server.id)}</code>
      <${Status} of=${server.status} />`}
    ${shares.length
      ? html`<span>${shares.slice(0, SHARES).map((share) => html`<a key=${share.id} href="#/share/${share.id}"
          class=${share.status.includes("error") ? "bad" : null}>${nameOf(share)}</a> `)}
          ${more > 0 && html`<span class="quiet">${t("and_more", { n: more })}</span>`}</span>`
      : html`<span class="quiet">${t("no_shares_here")}</span>`}
  </span>`;
}

/** The columns in one line of a group: those of the subnets so far (`from`: this one begins here),
 * or of the rows that go on below. */
function Lines({ group, height, from, row, dots, isSubnet }) {
  const middle = height / 2;
  const x = (at) => 9 + at * STEP;
  const columns = group.subnets.map((_, at) => at);
  const upright = columns.flatMap((at) => {
    if (isSubnet && at > from) return [];
    const top = isSubnet && at === from ? middle : 0;
    const isLast = isSubnet ? group.last[at] < 0 : at in group.last && group.last[at] === row;
    if (isSubnet ? group.last[at] < 0 : group.last[at] < row) return [];
    return [`M${x(at)} ${top}V${isLast ? middle : height}`];
  });
  const across = dots.length > 1 ? `M${x(dots[0])} ${middle}H${x(dots.at(-1))}` : "";
  return html`<svg width=${Math.max(1, columns.length) * STEP} height=${height} aria-hidden="true">
    <path d=${upright.join("")} />
    ${across && html`<path d=${across} class="across" />`}
    ${dots.map((at) => html`<circle key=${at} cx=${x(at)} cy=${middle} r=${isSubnet ? 3 : 5}
      class=${isSubnet ? "subnet" : null} />`)}
  </svg>`;
}
