// What only administrators see: work that has not ended well, services, share servers, types, quotas.

import { Component } from "./vendor/preact.mjs";

import {
  createType, deleteServer, deleteType, disableService, enableService, endNetworkUpdate, ensureShares, QUOTAS,
  resetQuotas, resumeOperation, setQuotas,
} from "./admin_actions.js";
import { get } from "./api.js";
import { commandLine } from "./commands.js";
import { html } from "./html.js";
import { Act, Acting } from "./networks.js";
import { CopyText, nameOf, shortId, showError, Status, Time } from "./parts.js";
import { t } from "./text.js";

const GIB = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function Administration({ state }) {
  if (!state.isAdmin) return html`<p>${t("admin_only")}</p>`;
  return html`<${Acting} state=${state} view=${All} />`;
}

function All({ state: { lists }, act, doing }) {
  const { operations, services, pools, types, shareServers } = lists;
  if (!operations || !services) return html`<p class="quiet">${t("loading")}</p>`;
  const parked = operations.filter(({ state }) => state === "parked" || state === "given up");
  return html`
    <h1>${t("administration")}</h1>
    <section>
      <h2>${t("operations")}</h2>
      <p class="quiet">${t("operations_counted", { parked: parked.length, going: operations.length - parked.length })}</p>
      ${parked.map((operation) => html`<${Parked} key=${operation.id} operation=${operation} act=${act} />`)}
      ${doing("operations")}
      ${operations.length > parked.length && html`<details>
        <summary>${t("operations_going")}</summary>
        <ul class="plain">${operations.filter((one) => !parked.includes(one)).slice(0, 100).map((operation) => html`
          <li key=${operation.id}><code class="break">${operation.id}</code> <span class="tag">${operation.state}</span>
            <${Time} of=${operation.since} /></li>`)}</ul>
        <${CopyText} label=${t("operation_abandon")} text=${commandLine("abaca-manage", "operations", "abandon", "ID")} />
      </details>`}
    </section>
    <section><h2>${t("services")}</h2><${Services} services=${services} pools=${pools} act=${act} />${doing("services")}</section>
    <section><h2>${t("share_servers")}</h2>
      ${shareServers.length
        ? html`<${Servers} servers=${shareServers} act=${act} />`
        : html`<p class="quiet">${t("share_servers_none")}</p>`}
      ${doing("servers")}
    </section>
    <section><h2>${t("share_types")}</h2>
      ${types.length
        ? html`<${Types} types=${types} act=${act} />`
        : html`<p class="quiet">${t("share_types_none")}</p>`}
      <p class="buttons"><${Act} act=${act} place="types" action=${createType} text=${t("type_create")} /></p>
      ${doing("types")}
    </section>
    <${Quotas} act=${act} doing=${doing} />
  `;
}

function Parked({ operation, act }) {
  return html`<div class="parked">
    <p><span class="status bad">${operation.state}</span> <code class="break">${operation.id}</code>
      <span class="quiet"> · ${operation.worker_host} · <${Time} of=${operation.since} /></span></p>
    ${operation.reason && html`<p class="break">${operation.reason}</p>`}
    ${operation.request_id && html`<p class="quiet">${t("request_id")} <code class="break">${operation.request_id}</code></p>`}
    <p class="buttons"><${Act} act=${act} place="operations" action=${() => resumeOperation(operation)} text=${t("resume")}
      label=${t("operation_resume_one", { operation: operation.name })} /></p>
  </div>`;
}

function Services({ services, pools, act }) {
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("host")}</th><th scope="col">${t("state")}</th><th scope="col" class="wide">${t("zone")}</th>
      <th scope="col" class="wide">${t("room")}</th><th scope="col" class="wide">${t("seen")}</th>
      <th scope="col">${t("actions")}</th>
    </tr></thead>
    <tbody>${services.map((service) => html`<tr key=${`${service.binary} ${service.host}`}>
      <td><span class="break">${service.host}</span> <code class="quiet wide">${service.binary}</code></td>
      <td><${Status} of=${service.state} />
        ${service.status === "disabled" && html` <span class="tag" title=${service.disabled_reason}>${t("disabled")}</span>`}</td>
      <td class="wide">${service.zone}</td>
      <td class="wide">${pools.filter(({ name }) => name.startsWith(`${service.host}#`)).map(roomOf)}</td>
      <td class="wide"><${Time} of=${service.updated_at} /></td>
      <td>${service.binary === "manila-share" && html`<span class="buttons">
        ${service.status === "disabled"
          ? html`<${Act} act=${act} place="services" action=${() => enableService(service)} text=${t("enable")}
              label=${t("service_enable_one", { host: service.host })} />`
          : html`<${Act} act=${act} place="services" action=${() => disableService(service)} text=${t("disable")}
              label=${t("service_disable_one", { host: service.host })} />`}
        <${Act} act=${act} place="services" action=${() => ensureShares(service)} text=${t("ensure")}
          label=${t("ensure_one", { host: service.host })} />
      </span>`}</td>
    </tr>`)}</tbody>
  </table>`;
}

function roomOf({ pool, capabilities: { free_capacity_gb: free, total_capacity_gb: total } = {} }) {
  const gib = (value) => (typeof value === "number" ? GIB.format(value) : String(value ?? "–"));
  return html`<div key=${pool}><code>${pool}</code> ${t("free_of", { free: gib(free), total: gib(total) })}</div>`;
}

function Servers({ servers, act }) {
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("id")}</th><th scope="col">${t("status")}</th><th scope="col" class="wide">${t("share_network")}</th>
      <th scope="col" class="wide">${t("host")}</th><th scope="col">${t("actions")}</th>
    </tr></thead>
    <tbody>${servers.slice(0, 200).map((server) => html`<tr key=${server.id}>
      <td><code title=${server.id}>${shortId(server.id)}</code></td>
      <td><${Status} of=${server.status} /></td>
      <td class="wide"><a href="#/network/${server.share_network_id}">${server.share_network_name || shortId(server.share_network_id ?? "–")}</a></td>
      <td class="wide">${server.host}</td>
      <td><span class="buttons">
        ${server.status === "error" && ["retry", "abandon"].map((how) => html`<${Act} key=${how} act=${act} place="servers"
          action=${() => endNetworkUpdate(server, how)} text=${t(how)} label=${t(`update_${how}_one`, { server: shortId(server.id) })} />`)}
        <${Act} act=${act} place="servers" action=${() => deleteServer(server)} text=${t("delete")}
          label=${t("server_delete_one", { server: shortId(server.id) })} />
      </span></td>
    </tr>`)}</tbody>
  </table>`;
}

function Types({ types, act }) {
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("name")}</th><th scope="col" class="wide">${t("extra_specs")}</th><th scope="col">${t("actions")}</th>
    </tr></thead>
    <tbody>${types.map((type) => html`<tr key=${type.id}>
      <td>${type.name}${type.is_default && html` <span class="tag">${t("default")}</span>`}</td>
      <td class="wide">${Object.entries(type.extra_specs ?? {}).map(([key, value]) =>
        html`<code class="each" key=${key}>${key}=${value}</code> `)}</td>
      <td><${Act} act=${act} place="types" action=${() => deleteType(type)} text=${t("delete")}
        label=${t("type_delete_one", { name: nameOf(type) })} /></td>
    </tr>`)}</tbody>
  </table>`;
}

/** The quotas of a project, which is asked for by its id. */
class Quotas extends Component {
  state = { project: "", shown: null };

  show = async (event) => {
    event.preventDefault();
    const { project } = this.state;
    try {
      const { quota_set: found } = await get(`/v2/quota-sets/${encodeURIComponent(project.trim())}/detail`);
      this.setState({ shown: { project: project.trim(), found } });
    } catch (error) {
      showError(error);
    }
  };

  render({ act, doing }, { project, shown }) {
    const limits = shown && Object.fromEntries(QUOTAS.map((name) => [name, shown.found[name].limit]));
    return html`<section>
      <h2>${t("quotas")}</h2>
      <form class="field" onSubmit=${this.show}>
        <label>${t("project")} <input value=${project} required spellcheck=${false} autocomplete="off"
          onInput=${(event) => this.setState({ project: event.currentTarget.value, shown: null })} /></label>
        <button>${t("show")}</button>
      </form>
      ${shown && html`<table class="list">
        <thead><tr><th scope="col">${t("name")}</th><th scope="col" class="number">${t("used")}</th>
          <th scope="col" class="number">${t("limit")}</th></tr></thead>
        <tbody>${QUOTAS.map((name) => html`<tr key=${name}><td>${name}</td>
          <td class="number">${shown.found[name].in_use}</td>
          <td class="number">${limits[name] === -1 ? t("unlimited") : limits[name]}</td></tr>`)}</tbody>
      </table>
      <p class="buttons">
        <${Act} act=${act} place="quotas" action=${() => setQuotas(shown.project, limits)} text=${t("quota_set")} />
        <${Act} act=${act} place="quotas" action=${() => resetQuotas(shown.project)} text=${t("quota_reset")} />
      </p>`}
      ${doing("quotas")}
    </section>`;
  }
}
