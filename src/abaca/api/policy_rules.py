"""The rules of the policy as oslo.policy's tools show them: with what they are for, and the
requests that they decide about."""

from __future__ import annotations

from oslo_policy import policy

from abaca.api.declaration import Rule
from abaca.api.policy import PERSONAS
from abaca.api.routing import ROUTES, RULES

_PERSONA = "Who may do what is said by five personas; this is one of them: "
DESCRIPTIONS = {
    "admin": f"{_PERSONA}administrators, in all projects.",
    "in_project": f"{_PERSONA}somebody whose token or password is for the project.",
    "member": f"{_PERSONA}administrators, and members of the project.",
    "reader": f"{_PERSONA}whoever is a member, and readers of the project.",
    "creator": f"{_PERSONA}a member whose credentials are for a project, not for the whole system.",
}
"""Of the personas. What a rule is for is said where it is declared, or by the requests of its
routes."""


def list_rules() -> list[policy.RuleDefault]:
    """Every rule, with its default."""
    personas = [
        policy.RuleDefault(name, check, DESCRIPTIONS[name]) for name, check in PERSONAS.items()
    ]
    return [*personas, *map(_described, RULES.values())]


def _described(rule: Rule) -> policy.RuleDefault:
    if rule.says:
        return policy.RuleDefault(rule.name, rule.default, rule.says)
    decided = [route for route in ROUTES if route.rule == rule]
    routes = [route for route in decided if route.until is None] or decided
    operations: list[policy.Operation] = [
        {
            "method": route.method,
            "path": f"{route.path} ({route.action})" if route.action else route.path,
        }
        for route in routes
    ]
    noun, _, action = rule.name.replace("_", " ").rpartition(":")
    return policy.DocumentedRuleDefault(
        rule.name, rule.default, f"{noun.replace(':', ', ').capitalize()}: {action}.", operations
    )
