// Networks: the share networks, the local networks that they stand on, and security services.

import { Component } from "./vendor/preact.mjs";

import { Doing } from "./doing.js";
import { html } from "./html.js";
import {
  createNetwork, createShareNetwork, createSubnet, deleteNetwork, deleteSubnet, offerNetwork,
} from "./network_actions.js";
import { nameOf, Status } from "./parts.js";
import { createSecurityService, deleteSecurityService } from "./service_actions.js";
import { t } from "./text.js";

/** Holds which action is open, and in which place: one at a time. */
export class Acting extends Component {
  state = { place: null, action: null, opened: 0 };

  act = (place, action) => this.setState(({ opened }) => ({ place, action, opened: opened + 1 }));
  close = () => this.setState({ place: null, action: null });

  render({ state, view }, { place, action, opened }) {
    // keyed: what was typed and confirmed for one action is not for the next
    const doing = (where) =>
      where === place && html`<${Doing} key=${opened} action=${action} close=${this.close} />`;
    return html`<${view} state=${state} act=${this.act} doing=${doing} />`;
  }
}

/** A button that opens an action's form in a place. */
export function Act({ act, place, action, text, label }) {
  return html`<button type="button" aria-label=${label} onClick=${() => act(place, action())}>${text}</button>`;
}

export function Networks({ state }) {
  return html`<${Acting} state=${state} view=${All} />`;
}

function All({ state: { lists }, act, doing }) {
  const { shareNetworks, localNetworks, localSubnets, securityServices } = lists;
  if (!shareNetworks || !localNetworks || !securityServices) return html`<p class="quiet">${t("loading")}</p>`;
  return html`
    <h1>${t("networks")}</h1>
    <section>
      <h2>${t("share_networks")}</h2>
      ${shareNetworks.length
        ? html`<${ShareNetworks} networks=${shareNetworks} />`
        : html`<p class="quiet">${t("share_networks_none")}</p>`}
      <p class="buttons"><${Act} act=${act} place="share_networks" action=${() => createShareNetwork(localSubnets)}
        text=${t("share_network_create")} /></p>
      ${doing("share_networks")}
    </section>
    <section>
      <h2>${t("local_networks")}</h2>
      <p class="quiet">${t(localNetworks.length ? "local_networks_about" : "local_networks_none")}</p>
      ${localNetworks.length > 0 && html`<table class="list">
        <thead><tr>
          <th scope="col">${t("name")}</th><th scope="col">${t("subnets")}</th>
          <th scope="col" class="wide">${t("project")}</th>
        </tr></thead>
        <tbody>${localNetworks.map((network) => html`<tr key=${network.id}>
          <td><a href="#/local/${network.id}">${nameOf(network)}</a></td>
          <td>${localSubnets.filter((one) => one.network_id === network.id)
            .map(({ id, cidr }) => html`<code key=${id} class="each">${cidr}</code> `)}</td>
          <td class="wide"><bdi>${network.project_id}</bdi>${network.shared && html` <span class="tag">${t("shared")}</span>`}</td>
        </tr>`)}</tbody>
      </table>`}
      <p class="buttons"><${Act} act=${act} place="local" action=${createNetwork} text=${t("network_create")} /></p>
      ${doing("local")}
    </section>
    <section>
      <h2>${t("security_services")}</h2>
      ${securityServices.length
        ? html`<${SecurityServices} services=${securityServices} act=${act} />`
        : html`<p class="quiet">${t("security_services_none")}</p>`}
      <p class="buttons"><${Act} act=${act} place="services" action=${createSecurityService} text=${t("service_create")} /></p>
      ${doing("services")}
    </section>
  `;
}

function ShareNetworks({ networks }) {
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("name")}</th><th scope="col">${t("status")}</th><th scope="col">${t("subnets")}</th>
      <th scope="col" class="wide">${t("project")}</th>
    </tr></thead>
    <tbody>${networks.map((network) => html`<tr key=${network.id}>
      <td><a href="#/network/${network.id}">${nameOf(network)}</a></td>
      <td><${Status} of=${network.status} /></td>
      <td>${network.share_network_subnets.map(({ id, cidr }) => html`<code key=${id} class="each">${cidr ?? "–"}</code> `)}</td>
      <td class="wide">${network.project_id}</td>
    </tr>`)}</tbody>
  </table>`;
}

function SecurityServices({ services, act }) {
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("name")}</th><th scope="col">${t("service_type")}</th><th scope="col">${t("actions")}</th>
    </tr></thead>
    <tbody>${services.map((service) => html`<tr key=${service.id}>
      <td>${nameOf(service)}</td><td>${service.type}</td>
      <td><${Act} act=${act} place="services" action=${() => deleteSecurityService(service)} text=${t("delete")}
        label=${t("service_delete_one", { name: nameOf(service) })} /></td>
    </tr>`)}</tbody>
  </table>`;
}

/** One local network, with its subnets. */
export function Local({ state }) {
  return html`<${Acting} state=${state} view=${LocalNetwork} />`;
}

function LocalNetwork({ state: { lists, route }, act, doing }) {
  if (!lists.localNetworks) return html`<p class="quiet">${t("loading")}</p>`;
  const back = html`<p><a href="#/networks">← ${t("back_to_networks")}</a></p>`;
  const network = lists.localNetworks.find(({ id }) => id === route.id);
  if (!network) return html`${back}<p>${t("network_gone")}</p>`;
  const subnets = lists.localSubnets.filter((one) => one.network_id === network.id);
  return html`
    ${back}
    <div class="bar"><h1>${nameOf(network)}</h1><span class="tag">${t("local_network")}</span></div>
    <p class="buttons">
      <${Act} act=${act} place="network" action=${() => offerNetwork(network)} text=${t("network_offer")} />
      <${Act} act=${act} place="network" action=${() => deleteNetwork(network)} text=${t("network_delete")} />
    </p>
    ${doing("network")}
    <section>
      <h2>${t("subnets")}</h2>
      ${subnets.length
        ? html`<table class="list">
          <thead><tr>
            <th scope="col">${t("subnet")}</th><th scope="col" class="wide">${t("name")}</th>
            <th scope="col">${t("gateway")}</th><th scope="col" class="wide">${t("pools")}</th>
            <th scope="col">${t("actions")}</th>
          </tr></thead>
          <tbody>${subnets.map((subnet) => html`<tr key=${subnet.id}>
            <td><code>${subnet.cidr}</code></td><td class="wide">${subnet.name}</td>
            <td>${subnet.gateway_ip ?? "–"}</td>
            <td class="wide">${subnet.allocation_pools.map(({ start, end }) => html`<code class="each" key=${start}>${start} – ${end}</code> `)}</td>
            <td><${Act} act=${act} place="subnets" action=${() => deleteSubnet(subnet)} text=${t("delete")}
              label=${t("subnet_delete_one", { subnet: subnet.cidr })} /></td>
          </tr>`)}</tbody>
        </table>`
        : html`<p class="quiet">${t("subnets_none")}</p>`}
      <p class="buttons"><${Act} act=${act} place="subnets" action=${() => createSubnet(network)} text=${t("subnet_create")} /></p>
      ${doing("subnets")}
    </section>
  `;
}
