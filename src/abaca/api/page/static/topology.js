// The picture: which share servers stand on which subnets, with how many free addresses, which shares
// they serve and by which export locations, and how many clients are connected.

import { Component } from "./vendor/preact.mjs";

import { html } from "./html.js";
import { nameOf, shortId, Status } from "./parts.js";
import { Asking, countClients, exportLocations, MOST_ASKED } from "./topology_asking.js";
import { groupsOf, havingClients, isOpen, locationsIn, namedIn } from "./topology_layout.js";
import { t } from "./text.js";

const HEIGHTS = [20, 26, 34]; // of a row, in pixels
const STEP = 22; // between two columns
const MANY = 1_000_000; // free addresses that nobody counts

export class Topology extends Component {
  state = { query: "", chosen: new Map(), zoom: 1, clients: null, locations: null };

  clients = new Asking({
    things: () => this.havingClients, answerOf: countClients, draw: (clients) => this.setState({ clients }),
  });

  locations = new Asking({
    things: () => this.shares, answerOf: exportLocations, draw: (locations) => this.setState({ locations }),
  });

  componentWillUnmount() {
    this.clients.stop();
    this.locations.stop();
  }

  choose(groups, open) {
    this.setState({ chosen: new Map([...this.state.chosen, ...groups.map(({ id }) => [id, open])]) });
  }

  render({ state }, { query, chosen, zoom, clients, locations }) {
    const { lists, isAdmin } = state;
    if (!lists.free) return html`<p class="quiet">${t("loading")}</p>`;
    const groups = groupsOf(lists, query, isAdmin);
    const servers = lists.shareServers.length;
    const isDrawn = groups.map((group) => isOpen(chosen, group.id, groups, query));
    const drawn = groups.filter((_, at) => isDrawn[at]);
    this.havingClients = havingClients(drawn, isAdmin);
    this.shares = drawn.flatMap(({ rows }) => rows).flatMap(namedIn);
    return html`
      <div class="bar">
        <h1>${t("topology")}</h1>
        <input type="search" aria-label=${t("search")} placeholder=${t("search")} value=${query}
          onInput=${(event) => this.setState({ query: event.currentTarget.value })} />
        <span class="buttons">
          <button type="button" onClick=${() => this.choose(groups, true)}>${t("open_all")}</button>
          <button type="button" onClick=${() => this.choose(groups, false)}>${t("close_all")}</button>
          <button type="button" aria-pressed=${String(locations !== null)} onClick=${this.locations.toggle}>
            ${t("locations_show")}</button>
          <button type="button" aria-pressed=${String(clients !== null)} onClick=${this.clients.toggle}>
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
      ${clients && this.havingClients.length > MOST_ASKED && html`<p class="quiet">${t("clients_first_only", { n: MOST_ASKED })}</p>`}
      ${locations && this.shares.length > MOST_ASKED && html`<p class="quiet">${t("locations_first_only", { n: MOST_ASKED })}</p>`}
      ${(clients || locations) && !drawn.length && groups.length > 0 && html`<p class="quiet">${t("open_first")}</p>`}
      ${hasUncounted(groups, lists.free) && html`<p class="quiet">${t("free_not_told")}</p>`}
      ${groups.map((group, at) => html`<${Group} key=${group.id} group=${group} isOpen=${isDrawn[at]} seesServers=${isAdmin}
        free=${lists.free} clients=${clients} locations=${locations} height=${HEIGHTS[zoom]} toggle=${() => this.choose([group], !isDrawn[at])} />`)}
    `;
  }
}

/** Whether there is a subnet whose free addresses the API does not tell: it is no local one. */
function hasUncounted(groups, free) {
  return groups.some(({ subnets }) => subnets.some(({ neutron_subnet_id: id }) => !free.has(id)));
}

function Group({ group, isOpen, seesServers, free, clients, locations, height, toggle }) {
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
      ${rows.map((row, at) => {
        const found = locationsIn(row, subnets, locations);
        return [
          html`<li key=${row.server?.id ?? `zone ${row.zone}`}>
            <${Lines} group=${group} height=${height} row=${at} dots=${row.columns} goesOn=${found.length > 0} />
            <${Row} row=${row} clients=${clients} />
          </li>`,
          ...found.map(({ share, path, columns }, number) => html`<li key=${`${share.id} ${path}`}>
            <${Lines} group=${group} height=${height} row=${at} dots=${columns} isSmall goesOn=${number < found.length - 1} />
            <span class="row"><code class="break">${path}</code> <span class="quiet"><bdi>${nameOf(share)}</bdi></span></span>
          </li>`),
        ];
      })}
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

function Row({ row: { server, zone, shares }, clients }) {
  const more = shares.length - namedIn({ shares }).length;
  return html`<span class="row">
    ${server && html`<code title=${`${server.id} ${server.host ?? ""}`}>${shortId(server.id)}</code>
      <${Status} of=${server.status} /><${Count} of=${server.id} clients=${clients} />`}
    ${zone !== null && html`<span class="quiet" title=${t("zone")}><bdi>${zone}</bdi></span>`}
    ${shares.length
      ? html`<span>${namedIn({ shares }).map((share) => html`<a key=${share.id} href="#/share/${share.id}"
          class=${share.status.includes("error") ? "bad" : null}>${nameOf(share)}</a><${Count} of=${share.id} clients=${clients} /> `)}
          ${more > 0 && html`<span class="quiet">${t("and_more", { n: more })}</span>`}</span>`
      : html`<span class="quiet">${t("no_shares_here")}</span>`}
  </span>`;
}

/** The columns in one line of a group: those of the subnets so far (`from`: this one begins here),
 * or of the rows that go on below. `goesOn`: the next line is of this row, too. */
function Lines({ group, height, from, row, dots, isSubnet, isSmall = isSubnet, goesOn = false }) {
  const middle = height / 2;
  const x = (at) => 9 + at * STEP;
  const columns = group.subnets.map((_, at) => at);
  const upright = columns.flatMap((at) => {
    if (isSubnet && at > from) return [];
    const top = isSubnet && at === from ? middle : 0;
    const isLast = isSubnet ? group.last[at] < 0 : group.last[at] === row && !goesOn;
    if (isSubnet ? group.last[at] < 0 : group.last[at] < row) return [];
    return [`M${x(at)} ${top}V${isLast ? middle : height}`];
  });
  const across = dots.length > 1 ? `M${x(dots[0])} ${middle}H${x(dots.at(-1))}` : "";
  return html`<svg width=${Math.max(1, columns.length) * STEP} height=${height} aria-hidden="true">
    <path d=${upright.join("")} />
    ${across && html`<path d=${across} class="across" />`}
    ${dots.map((at) => html`<circle key=${at} cx=${x(at)} cy=${middle} r=${isSmall ? 3 : 5}
      class=${isSubnet ? "subnet" : null} />`)}
  </svg>`;
}
