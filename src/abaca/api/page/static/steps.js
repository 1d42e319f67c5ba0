// A change of a share network in the steps that can be seen of it: one that was begun here, or one
// that goes on when somebody opens the page, as far as the API tells what it is.

import { html } from "./html.js";
import { addressOf, subnetOf } from "./locations.js";
import { nameOfSubnet } from "./network_actions.js";
import { shortId } from "./parts.js";
import { t } from "./text.js";

const LATE = 5000; // milliseconds after which a removal has at least begun
const CHANGING = "network_change";
const WORK = { share_server_add_subnet: "addition", share_server_remove_subnet: "removal", share_server_update_security_service: "exchange" };
const ALLOCATED = "store_allocations"; // the step of an addition after which a server has its addresses

/** What is watched, once a network was loaded: {kind, network, subnet, since, isOver}, or null. What
 * was begun here, or seen before, stays until another change goes on. Only administrators are
 * told by `operations` what it is: to others it is just a "change". */
export function watchOf(watch, network, operations) {
  const isChanging = network.status === CHANGING;
  const known = watch?.network === network.id ? watch : null;
  if (known && !(known.isOver && isChanging)) return { ...known, isOver: !isChanging };
  if (!isChanging) return watch;
  const work = operations.find(({ name }) => Object.hasOwn(WORK, name));
  // ids of work: its name, the server, then the subnet or the security service
  const subject = work?.id.split(":")[2];
  return { kind: subject ? WORK[work.name] : "change", network: network.id, subnet: subject, since: Date.now(), isOver: false };
}

export function Steps({ watch, open }) {
  const steps = { addition, removal, exchange: change, change }[watch.kind](watch, open);
  return html`<section class="steps" aria-live="polite">
    <h2>${t(`watch_${watch.kind}`)}</h2>
    <ol>${steps.map(({ text, state }) => html`<li key=${text} class=${state}>
      <span aria-hidden="true">${{ good: "✓", busy: "…", bad: "✗" }[state]}</span> ${text}
      <span class="hidden"> (${t(`step_${state}`)})</span></li>`)}</ol>
  </section>`;
}

function addition({ subnet: id }, open) {
  const subnet = open.subnets.find((one) => one.id === id); // undefined: it was added after what is shown
  const isDone = subnet !== undefined && open.network.status === "active";
  const there = exportedOn(open, subnet);
  return [
    { text: t("step_checked"), state: "good" },
    { text: t("step_accepted", { subnet: subnet ? nameOfSubnet(subnet) : shortId(id) }), state: subnet ? "good" : "busy" },
    ...allocations(id, open),
    ...serverSteps(open, (server) => server.share_network_subnet_ids.includes(id)),
    { text: t("step_locations", there), state: there.n === there.all ? "good" : isDone ? "bad" : "busy" },
    { text: t("step_active"), state: isDone ? "good" : "busy" },
  ];
}

/** Of each server whose addition is under way, whether it has its addresses. */
function allocations(id, { operations }) {
  return operations
    .filter((work) => work.name === "share_server_add_subnet" && work.id.split(":")[2] === id)
    .map(({ about, state, last_step: step }) => ({
      text: t("step_allocated", { server: shortId(about) }),
      state: step === ALLOCATED ? "good" : state === "parked" || state === "given up" ? "bad" : "busy",
    }));
}

function removal({ subnet: id, since }, open) {
  const isThere = open.subnets.some((one) => one.id === id);
  const isLate = Date.now() - since > LATE && open.network.status === "active";
  return [
    { text: t("step_removal_accepted"), state: "good" },
    ...serverSteps(open, (server) => !server.share_network_subnet_ids.includes(id)),
    { text: t("step_gone"), state: !isThere ? "good" : isLate ? "bad" : "busy" },
    { text: t("step_active"), state: !isThere && open.network.status === "active" ? "good" : "busy" },
  ];
}

/** What everybody is told of a change, whatever it is. */
function change(_, open) {
  const isDone = open.network.status === "active";
  const onEach = open.subnets.map((subnet) => ({ subnet, ...exportedOn(open, subnet) }));
  return [
    ...serverSteps(open, () => true),
    ...onEach.filter(({ n, all }) => n < all).map(({ subnet, n, all }) => (
      { text: t("step_locations_on", { subnet: nameOfSubnet(subnet), n, all }), state: "busy" })),
    { text: t("step_active"), state: isDone ? "good" : "busy" },
  ];
}

function serverSteps({ servers }, isAsWanted) {
  return servers.map((server) => ({
    text: t("step_server", { server: shortId(server.id), status: server.status }),
    state: server.status.includes("error") ? "bad" : server.status === "active" && isAsWanted(server) ? "good" : "busy",
  }));
}

/** How many of the shares that were looked at have an export location on the subnet. */
function exportedOn({ locations, subnets }, subnet) {
  const all = [...(locations ?? new Map()).values()].filter((of) => of.length);
  const on = all.filter((of) => of.some((location) => addressOf(location) && subnetOf(location, subnets)?.id === subnet?.id));
  return { n: on.length, all: all.length };
}
