// One share network: its subnets, what drains, its security services and what goes on.

import { Component } from "./vendor/preact.mjs";

import { html } from "./html.js";
import { clientsOn } from "./loads.js";
import {
  addSubnet, cancelDrain, deleteShareNetwork, drainSubnet, forceRemoval, nameOfSubnet, removeSubnet,
} from "./network_actions.js";
import { Act, Acting } from "./networks.js";
import { Facts, nameOf, shortId, showError, Status, Time } from "./parts.js";
import { attachService, detachService, exchangeService } from "./service_actions.js";
import { Steps } from "./steps.js";
import { t } from "./text.js";

export function Network({ state }) {
  return html`<${Acting} state=${state} view=${Whole} />`;
}

function Whole({ state, act, doing }) {
  const { network: open, route, lists, watch } = state;
  if (!open || open.id !== route.id) return html`<p class="quiet">${t("loading")}</p>`;
  const back = html`<p><a href="#/networks">← ${t("back_to_networks")}</a></p>`;
  const { network, subnets, drains, services, otherServices, shares, messages } = open;
  if (!network) return html`${back}<p>${t("network_gone")}</p>`;
  return html`
    ${back}
    <div class="bar"><h1>${nameOf(network)}</h1><${Status} of=${network.status} /></div>
    <${Facts} rows=${facts(network, open)} />
    <p class="buttons">
      <${Act} act=${act} place="network" action=${() => deleteShareNetwork(network)} text=${t("share_network_delete")} />
    </p>
    ${doing("network")}
    ${watch?.network === network.id && html`<${Steps} watch=${watch} open=${open} />`}
    <section>
      <h2>${t("subnets")}</h2>
      <${Subnets} network=${network} subnets=${subnets} drains=${drains} act=${act} isAdmin=${state.isAdmin} />
      <p class="buttons"><${Act} act=${act} place="subnets" text=${t("subnet_add")}
        action=${() => addSubnet(network, unused(lists.localSubnets, subnets), open.zones)} /></p>
      ${doing("subnets")}
    </section>
    ${[...drains].map(([id, drain]) => html`<${Drain} key=${id} drain=${drain} shares=${shares}
      subnet=${subnets.find((subnet) => subnet.id === id)} />`)}
    <section>
      <h2>${t("shares")}</h2>
      ${shares.length
        ? html`<ul class="plain">${shares.map((share) => html`<li key=${share.id}>
            <a href="#/share/${share.id}">${nameOf(share)}</a> <${Status} of=${share.status} /></li>`)}</ul>`
        : html`<p class="quiet">${t("shares_none")}</p>`}
    </section>
    <section>
      <h2>${t("security_services")}</h2>
      ${services.length
        ? html`<ul class="plain">${services.map((service) => html`<li key=${service.id}>
            <bdi>${nameOf(service)}</bdi> <span class="tag">${service.type}</span>
            ${alike(service, otherServices).length > 0 && html`<${Act} act=${act} place="services"
              action=${() => exchangeService(network, service, alike(service, otherServices))} text=${t("exchange")}
              label=${t("service_exchange_one", { name: nameOf(service) })} /> `}
            <${Act} act=${act} place="services" action=${() => detachService(network, service)} text=${t("remove")}
              label=${t("service_detach_one", { name: nameOf(service) })} /></li>`)}</ul>`
        : html`<p class="quiet">${t("none_yet")}</p>`}
      ${otherServices.length > 0 && html`<p class="buttons"><${Act} act=${act} place="services"
        action=${() => attachService(network, otherServices)} text=${t("service_attach")} /></p>`}
      ${doing("services")}
    </section>
    ${messages.length > 0 && html`<section>
      <h2>${t("messages")}</h2>
      <ul class="plain">${messages.slice(0, 10).map((message) => html`<li key=${message.id}>
        <${Time} of=${message.created_at} /> <span class="break">${message.user_message}</span>
        ${message.request_id && html` <code class="quiet break">${message.request_id}</code>`}</li>`)}</ul>
    </section>`}
  `;
}

/** The local subnets that the share network is not on, or all when it is on all. */
function unused(localSubnets, subnets) {
  const used = new Set(subnets.map(({ neutron_subnet_id }) => neutron_subnet_id));
  const others = localSubnets.filter(({ id }) => !used.has(id));
  return others.length ? others : localSubnets;
}

/** The services that one can be exchanged for. */
function alike(service, others) {
  return others.filter(({ type, project_id }) => type === service.type && (project_id ?? service.project_id) === service.project_id);
}

function facts(network, { servers, shares }) {
  return [
    [t("id"), html`<code>${network.id}</code>`],
    [t("project"), network.project_id],
    [t("created"), html`<${Time} of=${network.created_at} />`],
    [t("shares"), shares.length],
    ...(servers.length ? [[t("share_servers"), servers.map((server) => html`<div key=${server.id}>
      <code title=${server.id}>${shortId(server.id)}</code> <${Status} of=${server.status} /></div>`)]] : []),
    ...(network.description ? [[t("description"), network.description]] : []),
  ];
}

function Subnets({ network, subnets, drains, act, isAdmin }) {
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("subnet")}</th><th scope="col">${t("family")}</th>
      <th scope="col" class="wide">${t("zone")}</th><th scope="col" class="wide">${t("gateway")}</th>
      <th scope="col" class="wide number">MTU</th><th scope="col">${t("actions")}</th>
    </tr></thead>
    <tbody>${subnets.map((subnet) => html`<tr key=${subnet.id}>
      <td><code>${nameOfSubnet(subnet)}</code>${drains.has(subnet.id) && html` <span class="tag">${t("drains")}</span>`}</td>
      <td>${subnet.ip_version ? `IPv${subnet.ip_version}` : "–"}</td>
      <td class="wide">${subnet.availability_zone ?? t("zone_default")}</td>
      <td class="wide">${subnet.gateway ?? "–"}</td>
      <td class="wide number">${subnet.mtu ?? "–"}</td>
      <td><span class="buttons">
        ${drains.has(subnet.id)
          ? html`<${Act} act=${act} place="subnets" action=${() => cancelDrain(network, subnet)} text=${t("drain_cancel")}
              label=${t("drain_cancel_one", { subnet: nameOfSubnet(subnet) })} />`
          : html`<${Act} act=${act} place="subnets" action=${() => drainSubnet(network, subnet)} text=${t("drain")}
              label=${t("drain_one", { subnet: nameOfSubnet(subnet) })} />`}
        <${Act} act=${act} place="subnets" action=${() => removeSubnet(network, subnet)} text=${t("remove")}
          label=${t("subnet_remove_one", { subnet: nameOfSubnet(subnet) })} />
        ${isAdmin && html`<${Act} act=${act} place="subnets" action=${() => forceRemoval(network, subnet)} text=${t("force")}
          label=${t("subnet_force_one", { subnet: nameOfSubnet(subnet) })} />`}
      </span></td>
    </tr>`)}</tbody>
  </table>`;
}

/** A subnet that drains: who is still there, and what is against its removal. */
class Drain extends Component {
  state = { clients: null };

  ask = async () => {
    try {
      this.setState({ clients: await clientsOn(this.props.subnet.id, this.props.shares) });
    } catch (error) {
      showError(error);
    }
  };

  render({ drain, subnet }, { clients }) {
    return html`<section class="drain">
      <h2>${t("drain_of", { subnet: nameOfSubnet(subnet) })}</h2>
      <${Facts} rows=${[
        [t("drain_clients"), drain.clients ?? t("not_known")],
        [t("drain_refuses"), t(drain.refuses_new_clients ? "yes" : "no")],
        [t("drain_ends"), html`<${Time} of=${drain.ends_at} />`],
        [t("at_deadline"), t(`at_deadline_${drain.at_deadline}`)],
        ...(drain.obstacle ? [[t("obstacle"), html`<span class="problem">${drain.obstacle}</span>`]] : []),
      ]} />
      <p class="buttons"><button type="button" onClick=${this.ask}>${t("clients_ask")}</button></p>
      ${clients && html`<${Clients} clients=${clients} />`}
    </section>`;
  }
}

/** Who is connected, by the addresses of both ends. */
export function Clients({ clients }) {
  if (!clients.length) return html`<p class="quiet">${t("clients_none")}</p>`;
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("client")}</th><th scope="col">${t("server_address")}</th>
      <th scope="col" class="wide">${t("protocol")}</th><th scope="col" class="wide">${t("last_active")}</th>
      <th scope="col" class="wide number">${t("open_files")}</th>
    </tr></thead>
    <tbody>${clients.map((client) => html`<tr key=${`${client.address} ${client.server_address}`}>
      <td><code class="break">${client.address ?? t("not_known")}</code>
        ${client.is_routed && html` <span class="tag">${t("routed")}</span>`}</td>
      <td><code class="break">${client.server_address}</code></td>
      <td class="wide">${client.protocol} ${client.protocol_version ?? ""}</td>
      <td class="wide"><${Time} of=${client.last_active_at} /></td>
      <td class="wide number">${client.open_files ?? "–"}</td>
    </tr>`)}</tbody>
  </table>`;
}
