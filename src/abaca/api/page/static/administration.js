// What only administrators see: work that has not ended well, services, share servers, types, quotas.

import {
  allowProject, createType, deleteServer, deleteType, denyProject, disableService, enableService, endNetworkUpdate,
  ensureShares, resumeOperation,
} from "./admin_actions.js";
import { commandLine } from "./commands.js";
import { html } from "./html.js";
import { isPrivate } from "./loads.js";
import { Act, Acting } from "./networks.js";
import { CopyText, nameOf, shortId, Status, Time } from "./parts.js";
import { Quotas } from "./quotas.js";
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
            <${Time} of=${operation.since} />
            ${operation.last_step && html`<span class="quiet">${t("last_step", { step: operation.last_step })}</span>`}</li>`)}</ul>
        <p class="quiet">${t("operation_abandon_about")}</p>
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
        ? html`<${Types} types=${types} projects=${lists.typeProjects} act=${act} />`
        : html`<p class="quiet">${t("share_types_none")}</p>`}
      <p class="buttons"><${Act} act=${act} place="types" action=${createType} text=${t("type_create")} /></p>
      ${doing("types")}
    </section>
    <${Quotas} types=${types} act=${act} doing=${doing} />
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

function Types({ types, projects, act }) {
  return html`<table class="list">
    <thead><tr>
      <th scope="col">${t("name")}</th><th scope="col">${t("for_projects")}</th>
      <th scope="col" class="wide">${t("extra_specs")}</th><th scope="col">${t("actions")}</th>
    </tr></thead>
    <tbody>${types.map((type) => html`<tr key=${type.id}>
      <td><bdi>${type.name}</bdi>${type.is_default && html` <span class="tag">${t("default")}</span>`}</td>
      <td>${isPrivate(type) ? html`<${Projects} type=${type} projects=${projects.get(type.id)} act=${act} />` : t("all")}</td>
      <td class="wide">${Object.entries(type.extra_specs ?? {}).map(([key, value]) =>
        html`<code class="each" key=${key}>${key}=${value}</code> `)}</td>
      <td><${Act} act=${act} place="types" action=${() => deleteType(type)} text=${t("delete")}
        label=${t("type_delete_one", { name: nameOf(type) })} /></td>
    </tr>`)}</tbody>
  </table>`;
}

/** Who may use a private share type; undefined: there are so many such types that it was not asked. */
function Projects({ type, projects, act }) {
  const name = nameOf(type);
  return html`${projects === undefined && html`<span class="quiet">${t("not_known")}</span> `}
    ${(projects ?? []).map((project) => html`<span class="each" key=${project}><code class="break">${project}</code> <${Act}
      act=${act} place="types" action=${() => denyProject(type, project)} text=${t("remove")}
      label=${t("type_deny_one", { name, project })} /></span>`)}
    <${Act} act=${act} place="types" action=${() => allowProject(type)} text=${t("type_allow")}
      label=${t("type_allow_one", { name })} />`;
}
