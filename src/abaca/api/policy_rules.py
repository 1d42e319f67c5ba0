"""The rules of the policy as oslo.policy's tools show them: with what they are for, and the requests that they decide about."""

from __future__ import annotations

from oslo_policy import policy

from abaca.api.policy import PERSONAS, RULES
from abaca.api.routing import ROUTES

_PERSONA = "Who may do what is said by five personas; this is one of them: "
DESCRIPTIONS = {
    "admin": f"{_PERSONA}administrators, in all projects.",
    "in_project": f"{_PERSONA}somebody whose token or password is for the project.",
    "member": f"{_PERSONA}administrators, and members of the project.",
    "reader": f"{_PERSONA}whoever is a member, and readers of the project.",
    "creator": f"{_PERSONA}a member whose credentials are for a project, not for the whole system.",
    "resource_lock:bypass_locked_show_action": "See what a lock on showing hides: the clients and keys of access rules.",
    "resource_lock:get_all_projects": "List the resource locks of all projects.",
    "security_service:get_all_security_services": "List the security services of all projects.",
    "security_service:show_password": "See the password of a security service.",
    "share:create_public_share": "Create a share that all projects see.",
    "share:force_extend": "Extend a share past its project's quotas.",
    "share:list_all_projects": "List the shares of all projects.",
    "share:list_by_host": "List shares by the back end that they are on.",
    "share:list_by_share_server_id": "List shares by the share server that they are on.",
    "share:set_public_share": "Make a share public, so that all projects see it, or private again.",
    "share:update_admin_only_metadata": "Change metadata of shares whose keys [DEFAULT] admin_only_metadata lists.",
    "share_export_location:update_admin_only_metadata": "Change metadata of export locations whose keys [DEFAULT] admin_only_el_metadata lists.",
    "share_network:get_all_share_networks": "List the share networks of all projects.",
    "share_snapshot:list_all_projects": "List the snapshots of all projects.",
}
"""Of the rules that no route names. Those of routes are described by their requests."""


def list_rules() -> list[policy.RuleDefault]:
    """Every rule, with its default."""
    return [_rule(name, check) for name, check in (PERSONAS | RULES).items()]


def _rule(name: str, check: str) -> policy.RuleDefault:
    if name in DESCRIPTIONS:
        return policy.RuleDefault(name, check, DESCRIPTIONS[name])
    decided = [route for route in ROUTES if route.policy == name]
    routes = [route for route in decided if route.until is None] or decided
    operations: list[policy.Operation] = [
        {"method": route.method, "path": f"{route.path} ({route.action})" if route.action else route.path} for route in routes
    ]
    noun, _, action = name.replace("_", " ").rpartition(":")
    return policy.DocumentedRuleDefault(name, check, f"{noun.replace(':', ', ').capitalize()}: {action}.", operations)
