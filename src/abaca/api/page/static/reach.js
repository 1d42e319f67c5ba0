// Whether a client with some address can mount a share, and why.

import { Component } from "./vendor/preact.mjs";

import { contains, parseAddress, parseSubnet } from "./addresses.js";
import { html } from "./html.js";
import { addressOf, subnetOf } from "./locations.js";
import { t } from "./text.js";

/** {verdict: "yes" | "routed" | "no", reasons: [{isGood, text}]} for an address that is one. */
export function judge(text, { share, locations, rules, subnets }) {
  const address = parseAddress(text);
  const admitting = rules.filter(
    (rule) => rule.access_type === "ip" && contains(parseSubnet(rule.access_to), address),
  );
  const ofFamily = locations.filter((one) => addressOf(one)?.family === address.family);
  const reasons = [
    served(share),
    ...admitted(admitting),
    ...exported(ofFamily, address, subnets),
  ];
  const isIn = reasons.every(({ isGood }) => isGood);
  const isDirect = reasons.some(({ isDirect }) => isDirect);
  return { verdict: isIn ? (isDirect ? "yes" : "routed") : "no", reasons };
}

function served(share) {
  const isGood = share.status === "available";
  return { isGood, text: t(isGood ? "reach_served" : "reach_not_served", { status: share.status }) };
}

function admitted(rules) {
  if (!rules.length) return [{ isGood: false, text: t("reach_no_rule") }];
  const active = rules.filter(({ state }) => state === "active");
  return (active.length ? active : rules).map(({ access_to, access_level, state }) => ({
    isGood: state === "active",
    text: t(state === "active" ? "reach_rule" : "reach_rule_not_active", {
      client: access_to, level: access_level, state,
    }),
  }));
}

function exported(locations, address, subnets) {
  if (!locations.length) {
    return [{ isGood: false, text: t("reach_no_location", { family: address.family }) }];
  }
  const placed = locations.map((location) => ({ location, subnet: subnetOf(location, subnets) }));
  const near = placed.filter(({ subnet }) => subnet && contains(parseSubnet(subnet.cidr), address));
  if (near.length) {
    return near.map(({ location, subnet }) => ({
      isGood: true,
      isDirect: true,
      text: t("reach_same_subnet", { subnet: subnet.cidr, path: location.path }),
    }));
  }
  const routed = placed.filter(({ subnet }) => subnet?.gateway);
  if (!routed.length) return [{ isGood: false, text: t("reach_no_way") }];
  return routed.map(({ location, subnet }) => ({
    isGood: true,
    text: t("reach_routed_way", { gateway: subnet.gateway, subnet: subnet.cidr, path: location.path }),
  }));
}

export class Reach extends Component {
  state = { text: "" };

  render({ open, subnets }, { text }) {
    const trimmed = text.trim();
    const isAddress = parseAddress(trimmed) !== null;
    return html`<section>
      <h2>${t("reach")}</h2>
      <label class="field">${t("address")}
        <input value=${text} placeholder="10.20.0.7" spellcheck=${false} autocomplete="off"
          onInput=${(event) => this.setState({ text: event.currentTarget.value })} />
      </label>
      <div aria-live="polite">
        ${trimmed && !isAddress && html`<p class="problem">${t("address_wrong")}</p>`}
        ${isAddress && html`<${Verdict} ...${judge(trimmed, { ...open, subnets })} />`}
      </div>
    </section>`;
  }
}

function Verdict({ verdict, reasons }) {
  return html`
    <p class="verdict ${verdict === "no" ? "bad" : "good"}">${t(`reach_${verdict}`)}</p>
    <ul class="reasons">
      ${reasons.map(({ isGood, text }) => html`<li class=${isGood ? "good" : "bad"}>
        <span aria-hidden="true">${isGood ? "✓" : "✗"}</span> <span>${text}</span>
      </li>`)}
    </ul>
  `;
}
