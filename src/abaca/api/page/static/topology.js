// The picture: which share servers stand on which subnets, with how many free addresses, which shares
// they serve, and how many clients are connected.

import { Component } from "./vendor/preact.mjs";

import { html } from "./html.js";
import { loggedOutBy } from "./data.js";
import { nameOf, shortId, showError, Status } from "./parts.js";
import { askedIn, count, MOST_ASKED } from "./topology_clients.js";
import { groupsOf, isOpen } from "./topology_layout.js";
import { t } from "./text.js";

const HEIGHTS = [20, 26, 34]; // of a row, in pixels
const STEP = 22; // between two columns
const SHARES = 8; // named in a row
const ASKED_AGAIN = 15000; // milliseconds until clients are counted again
const TOGETHER = 300; // milliseconds in which counts are drawn together
const MANY = 1_000_000; // free addresses that nobody counts

export class Topology extends Component {
  state = { query: "", chosen: new Map(), zoom: 1, clients: null };

  componentWillUnmount() {
    this.stop();
  }

  /** Clients are counted from now on, in the groups that are open then. */
  start = () => {
    this.setState({ clients: (this.known = new Map()) });
    const turn = (this.turn = {});
    const isWanted = () => this.turn === turn;
    const ask = async () => {
      try {
        if (!document.hidden) await count(this.asked, this.counted, isWanted);
        if (isWanted()) this.timer = setTimeout(ask, ASKED_AGAIN);
      } catch (error) {
        this.stop();
        if (!loggedOutBy(error)) showError(error);
      }
    };
    ask();
  };

  stop = () => {
    clearTimeout(this.timer);
    this.turn = null;
    this.setState({ clients: null });
  };

  /** Answers come one by one; the picture is drawn anew for several of them. */
  counted = (id, n) => {
    this.known.set(id, n);
    this.drawing ??= setTimeout(() => {
      this.drawing = null;
      if (this.turn) this.setState({ clients: this.known });
    }, TOGETHER);
  };

  choose(groups, open) {
    this.setState({ chosen: new Map([...this.state.chosen, ...groups.map(({ id }) => [id, open])]) });
  }

  render({ state }, { query, chosen, zoom, clients }) {
    const { lists, isAdmin } = state;
    if (!lists.free) return html`<p class="quiet">${t("loading")}</p>`;
    const groups = groupsOf(lists, query, isAdmin);
    const servers = lists.shareServers.length;
    const isDrawn = groups.map((group) => isOpen(chosen, group.id, groups, query));
    this.asked = askedIn(groups.filter((_, at) => isDrawn[at]), isAdmin, SHARES);
    return html`
      <div class="bar">
        <h1>${t("topology")}</h1>
        <input type="search" aria-label=${t("search")} placeholder=${t("search")} value=${query}
          onInput=${(event) => this.setState({ query: event.currentTarget.value })} />
        <span class="buttons">
          <button type="button" onClick=${() => this.choose(groups, true)}>${t("open_all")}</button>
          <button type="button" onClick=${() => this.choose(groups, false)}>${t("close_all")}</button>
          <button type="button" aria-pressed=${String(clients !== null)} onClick=${clients ? this.stop : this.start}>
            ${t("clients_count")}</button>
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
      ${clients && this.asked.length === MOST_ASKED && html`<p class="quiet">${t("clients_first_only", { n: MOST_ASKED })}</p>`}
      ${clients && !this.asked.length && groups.length > 0 && html`<p class="quiet">${t("clients_open_first")}</p>`}
      ${hasUncounted(groups, lists.free) && html`<p class="quiet">${t("free_not_told")}</p>`}
      ${groups.map((group, at) => html`<${Group} key=${group.id} group=${group} isOpen=${isDrawn[at]} seesServers=${isAdmin}
        free=${lists.free} clients=${clients} height=${HEIGHTS[zoom]} toggle=${() => this.choose([group], !isDrawn[at])} />`)}
    `;
  }
}

/** Whether there is a subnet whose free addresses the API does not tell: it is no local one. */
function hasUncounted(groups, free) {
  return groups.some(({ subnets }) => subnets.some(({ neutron_subnet_id: id }) => !free.has(id)));
}

function Group({ group, isOpen, seesServers, free, clients, height, toggle }) {
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
            ${subnet.availability_zone ? ` · ${subnet.availability_zone}` : ""}
            ${freeOn(subnet, free)}</span></span>
      </li>`)}
      ${rows.map((row, at) => html`<li key=${row.server?.id ?? "shares"}>
        <${Lines} group=${group} height=${height} row=${at} dots=${row.columns} />
        <${Row} row=${row} clients=${clients} />
      </li>`)}
    </ul>`}
  </section>`;
}

function freeOn({ neutron_subnet_id: id }, free) {
  if (!free.has(id)) return "";
  const n = free.get(id);
  return ` · ${n > MANY ? t("free_many") : t("free_some", { n })}`;
}

/** How many clients of a share or a server, once they are counted. */
function Count({ of, clients }) {
  if (!clients?.has(of)) return null;
  const n = clients.get(of);
  return html` <span class="tag">${n === null ? t("clients_not_known") : t("clients_n", { n })}</span>`;
}

function Row({ row: { server, shares }, clients }) {
  const more = shares.length - SHARES;
  return html`<span class="row">
    ${server && html`<code title=${`${server.id} ${server.host ?? ""}`}>${shortId(server.id)}</code>
      <${Status} of=${server.status} /><${Count} of=${server.id} clients=${clients} />`}
    ${shares.length
      ? html`<span>${shares.slice(0, SHARES).map((share) => html`<a key=${share.id} href="#/share/${share.id}"
          class=${share.status.includes("error") ? "bad" : null}>${nameOf(share)}</a><${Count} of=${share.id} clients=${clients} /> `)}
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
