"""Who may do what, as a page: each route, and the status with which it answers each persona.
Derived from the policy: `python -m abaca.api.access`.

Further checks that a handler makes (public shares, other projects) are not included.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from oslo_policy.policy import Enforcer

from abaca import config
from abaca.api.declaration import Route
from abaca.api.policy import Policy
from abaca.api.reference import span, title
from abaca.api.routing import DEFAULTS, ROUTES
from abaca.values import SYSTEM, Caller

_INTRODUCTION = """# Who may do what

Made by `make api-reference` from the routes and the rules in code; do not edit it. A row is a
request, a column a persona, and a cell the status of an answer that went well (it may still be
about something that is not there, or not the caller's), 403 or 401. Personas have their role in a
project; *system* ones have it in a token for the whole system. A role includes those that Keystone
says it implies: admin, manager, member, reader, from left to right. *another role* stands for any
role that the rules do not name, *service* among them. `policy.yaml` changes the rules
([administrator guide](../how-to/administrator-guide.md)); versions, bodies and answers are in the
[API reference](api-reference.md)."""

_MEMBER = ("member", "reader")
PERSONAS: dict[str, Caller | None] = {
    "no credentials": None,
    "another role": Caller(user_id="u", project_id="p", roles=("service",)),
    "reader": Caller(user_id="u", project_id="p", roles=("reader",)),
    "member": Caller(user_id="u", project_id="p", roles=_MEMBER),
    "manager": Caller(user_id="u", project_id="p", roles=("manager", *_MEMBER)),
    "admin": Caller(
        user_id="u", project_id="p", roles=("admin", "manager", *_MEMBER), is_admin=True
    ),
    "system reader": Caller(user_id="u", project_id=SYSTEM, roles=("reader",)),
    "system admin": Caller(
        user_id="u", project_id=SYSTEM, roles=("admin", "manager", *_MEMBER), is_admin=True
    ),
}


def rules_in_code() -> Policy:
    """The policy without a file."""
    conf = config.load([])
    Enforcer(conf)  # which registers the option
    conf.set_override("policy_file", os.devnull, group="oslo_policy")
    return Policy(conf, DEFAULTS)


def answers(policy: Policy, route: Route) -> dict[str, int]:
    """Persona → status: that of success, 403 or 401."""
    if route.policy is None:
        return dict.fromkeys(PERSONAS, route.status)
    rule = route.policy
    return {
        name: 401 if caller is None else route.status if policy.permits(caller, rule) else 403
        for name, caller in PERSONAS.items()
    }


def page(routes: Iterable[Route]) -> str:
    """The whole page, in Markdown."""
    groups: dict[str, list[Route]] = {}
    for route in routes:
        groups.setdefault(route.name.partition(".")[0], []).append(route)
    policy = rules_in_code()
    return (
        "\n\n".join(
            [
                _INTRODUCTION,
                *("\n".join(_group(policy, name, of_group)) for name, of_group in groups.items()),
            ]
        )
        + "\n"
    )


def _group(policy: Policy, name: str, routes: list[Route]) -> Iterator[str]:
    yield f"## {title(name)}"
    yield ""
    yield f"| request | versions | rule | {' | '.join(PERSONAS)} |"
    yield f"|---|---|---|{'---|' * len(PERSONAS)}"
    for route in routes:
        url = f"`{route.method} {route.path}`" + (f" `{route.action}`" if route.action else "")
        rule = f"`{route.policy}`" if route.policy else ""
        yield (
            f"| {url} | {span(route)} | {rule} | "
            f"{' | '.join(str(status) for status in answers(policy, route).values())} |"
        )


if __name__ == "__main__":
    print(page(ROUTES), end="")
