// What can be done with security services; see actions.js.

import { known, option, visible } from "./commands.js";
import { watch } from "./network_actions.js";
import { nameOf } from "./parts.js";
import { t } from "./text.js";

const one = encodeURIComponent;
const called = (thing) => visible(nameOf(thing));
const choices = (services) => services.map((service) => [service.id, `${visible(nameOf(service))} (${service.type})`]);
const SERVICE_TYPES = ["ldap", "kerberos", "active_directory"];

export function createSecurityService() {
  const text = (name, more) => ({ name, label: t(`service_${name}`), ...more });
  return {
    title: t("service_create"),
    fields: [
      { name: "type", label: t("service_type"), value: "ldap", options: SERVICE_TYPES.map((type) => [type, type]) },
      { name: "name", label: t("name") },
      text("server"), text("domain"), text("dns_ip"), text("user"),
      text("password", { kind: "password" }),
    ],
    request: ({ type, name, server, domain, dns_ip, user, password }) => ({
      words: [
        "share", "security", "service", "create", type, ...option("--name", name), ...option("--server", server),
        ...option("--domain", domain), ...option("--dns-ip", dns_ip), ...option("--user", user),
        ...(password ? ["--password", t("the_password")] : []), // nobody copies it unseen
      ],
      method: "POST",
      path: "/v2/security-services",
      body: { security_service: given({ type, name, server, domain, dns_ip, user, password }) },
    }),
  };
}

export function deleteSecurityService(service) {
  return {
    title: t("service_delete_one", { name: called(service) }),
    final: t("service_delete_final", { name: called(service) }),
    fields: [],
    request: () => ({
      words: ["share", "security", "service", "delete", known(service.id)],
      method: "DELETE",
      path: `/v2/security-services/${one(service.id)}`,
    }),
  };
}

export function attachService(network, services) {
  return {
    title: t("service_attach"),
    fields: [
      {
        name: "service", label: t("security_service"), value: services[0].id, options: choices(services),
      },
    ],
    request: ({ service }) => ({
      words: ["share", "network", "set", known(network.id), "--new-security-service", known(service)],
      method: "POST",
      path: `/v2/share-networks/${one(network.id)}/action`,
      body: { add_security_service: { security_service_id: service } },
    }),
  };
}

/** Checked first where share servers are: all back ends of the network are asked. */
export function exchangeService(network, service, others) {
  const words = (chosen) => [
    "share", "network", "set", known(network.id), "--current-security-service", known(service.id), "--new-security-service", known(chosen),
  ];
  const ids = (chosen) => ({ current_service_id: service.id, new_service_id: chosen });
  const path = `/v2/share-networks/${one(network.id)}/action`;
  return {
    title: t("service_exchange_one", { name: called(service) }),
    fields: [{ name: "service", label: t("security_service"), value: others[0].id, options: choices(others) }],
    check: ({ service: chosen }) => ({
      words: [...words(chosen), "--check-only"], path, body: { update_security_service_check: ids(chosen) },
    }),
    said: { yes: t("check_exchange_yes"), no: t("check_exchange_no") },
    request: ({ service: chosen }) => ({
      words: words(chosen), method: "POST", path, body: { update_security_service: ids(chosen) },
    }),
    done: (answer) => answer.share_network.status !== "active" && watch("exchange", network),
  };
}

export function detachService(network, service) {
  return {
    title: t("service_detach_one", { name: called(service) }),
    fields: [],
    request: () => ({
      words: ["share", "network", "unset", known(network.id), "--security-service", known(service.id)],
      method: "POST",
      path: `/v2/share-networks/${one(network.id)}/action`,
      body: { remove_security_service: { security_service_id: service.id } },
    }),
  };
}

function given(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value));
}
