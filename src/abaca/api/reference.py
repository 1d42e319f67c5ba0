"""The API reference as a page, made from what resources declare: `python -m abaca.api.reference`.

The same for machines, for the newest version only: `openapi`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from abaca.api import microversions
from abaca.api.declaration import VERSIONED, Gives, Route
from abaca.api.policy import ADMIN, ANY_ROLE, CREATOR, MEMBER, READER
from abaca.api.routing import ROUTES
from abaca.api.wire.fields import DETAIL, SHOW, SUMMARY, Field, View

_FIRST = microversions.text(microversions.MIN_VERSION)
_NEWEST = microversions.text(microversions.MAX_VERSION)
_INTRODUCTION = f"""# API reference

Made by `make api-reference` from the service's own tables; do not edit it. A running service
describes its newest version for machines at `/openapi.json`. What differs from Manila on purpose:
[compatibility](compatibility.md). Who fulfils which rule is set in `policy.yaml`
([administrator guide](../how-to/administrator-guide.md)).

Versions are asked for with the header `{microversions.HEADER}`, from {_FIRST} (also without the
header) to {_NEWEST}. A request outside of its versions is 404, as is an experimental one without
the header `{microversions.EXPERIMENTAL_HEADER}: True`, which Manila's clients send by themselves.
"For" names the least role in the project that the rules in code let in: reader, member, admin, or
*any role* for whoever has logged in. On each route: [who may do what](api-access.md). A project id
may follow `/v2` in every URL.
Errors are `{{"<fault>": {{"code": …, "message": …}}}}`. Requests marked as extension are
Abaca's own: Manila does not have them."""

_PERSONAS = {
    ADMIN: "admin",
    CREATOR: "member",
    MEMBER: "member",
    READER: "reader",
    ANY_ROLE: "any role",
}
_SHOWN = {SUMMARY: "everywhere", DETAIL: "not in short", SHOW: "in full only"}
_GIVEN = {SUMMARY: "in short", DETAIL: "in detail", SHOW: "in full"}


def page(routes: Iterable[Route]) -> str:
    """The whole page, in Markdown."""
    routes = list(routes)
    groups: dict[str, list[Route]] = {}
    for route in routes:
        groups.setdefault(route.name.partition(".")[0], []).append(route)
    names = _names(routes)
    parts = [
        _INTRODUCTION,
        "\n".join(["## What each version brought", "", "| version | |", "|---|---|", *_versions()]),
    ]
    parts += ["\n".join(_group(name, of_group, names)) for name, of_group in groups.items()]
    parts += ["# Resources\n\nA member that is listed twice changed its meaning with a version."]
    parts += ["\n".join(_resource(name, view)) for view, name in names.items()]
    parts += ["# Bodies\n\nMembers that a body has beside these are ignored."]
    parts += [
        "\n".join(_body(struct))
        for struct in sorted(_structs(routes), key=lambda struct: struct.__name__)
    ]
    return "\n\n".join(parts) + "\n"


def persona(route: Route) -> str:
    """Whom the rules in code let in: everyone, or those who have this role in the project, and all
    before it: admin, member, reader, any role."""
    return "everyone" if route.rule is None else _PERSONAS[route.rule.default]


def _versions() -> Iterator[str]:
    for minor, brought in microversions.HISTORY.items():
        yield f"| {microversions.text(minor)} | {brought} |"


def _group(name: str, routes: list[Route], names: dict[View, str]) -> Iterator[str]:
    yield f"## {title(name)}"
    yield ""
    yield "| request | versions | rule | for | takes | status | gives |"
    yield "|---|---|---|---|---|---|---|"
    for route in routes:
        url = f"`{route.method} {route.path}`" + (f" `{route.action}`" if route.action else "")
        url += " (extension)" if route.is_extension else ""
        rule = f"`{route.policy}`" if route.policy else "open to everyone"
        yield (
            f"| {url} | {span(route)} | {rule} | {persona(route)} | {_takes(route)} | "
            f"{route.status} | {_gives(route, names)} |"
        )
    queries = {route.name: route.query for route in routes if route.query}
    for handler, parameters in queries.items():
        of_handler = sorted({route.path for route in routes if route.name == handler})
        yield ""
        yield (
            f"Parameters of {', '.join(f'`{path}`' for path in of_handler)}: "
            f"{', '.join(f'`{parameter}`' for parameter in parameters)}."
        )


def span(route: Route) -> str:
    """The versions that a route lives in, as text."""
    if not route.path.startswith(VERSIONED):
        return ""
    versions = _between(route.since, route.until)
    if route.experimental_until is None:
        return versions
    return f"{versions}, experimental to {microversions.text(route.experimental_until)}"


def _between(since: int, until: int | None) -> str:
    if until is None:
        return "all" if since == microversions.MIN_VERSION else f"{microversions.text(since)} –"
    return f"{microversions.text(since)} – {microversions.text(until)}"


def _takes(route: Route) -> str:
    if route.takes is None:
        return ""
    member, struct = route.takes
    name = route.action or member
    content = (
        _link(struct.__name__) if _is_struct(struct) else "nothing" if struct is None else "pairs"
    )
    return f"`{name}`: {content}" if name else content


def _gives(route: Route, names: dict[View, str]) -> str:
    answer = route.gives or Gives("")
    members = ", ".join(f"`{member}`" for member in (answer.member, answer.also) if member)
    if answer.view is None:
        schema = answer.schema or {}
        described = ", ".join(f"`{member}`" for member in schema.get("properties", ()))
        return members or described or ("an object" if schema else "")
    beside = "".join(f"; `{member}`" for member in answer.more)
    return f"{members}: {_link(names[answer.view])}, {_GIVEN[answer.level]}{beside}"


def _resource(name: str, view: View) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield "| member | versions | shown | to |"
    yield "|---|---|---|---|"
    for field in view.fields:
        yield (
            f"| `{field.name}` | {_between(field.since, field.until)} | {_SHOWN[field.level]} | "
            f"{_audience(field)} |"
        )


def _audience(field: Field) -> str:
    return (
        "everyone" if field.admin is None else "administrators" if field.admin else "everyone else"
    )


def _body(struct: Any) -> Iterator[str]:
    yield f"## {struct.__name__}"
    yield ""
    yield str(struct.__doc__).partition("\n\n")[0].replace("\n", " ")
    yield ""
    yield "| member | |"
    yield "|---|---|"
    for field in msgspec.structs.fields(struct):
        yield f"| `{field.encode_name}` | {'required' if field.required else ''} |"


def _names(routes: Iterable[Route]) -> dict[View, str]:
    """Each view that an answer shows, with a name of its own: its member's in the singular."""
    names: dict[View, str] = {}
    for answer in sorted(
        (route.gives for route in routes if route.gives), key=lambda answer: answer.is_list
    ):
        if answer.view is not None and answer.view not in names:
            name = answer.member.removesuffix("s")
            names[answer.view] = f"{name} in detail" if name in names.values() else name
    return names


def _structs(routes: Iterable[Route]) -> set[Any]:
    return {
        route.takes.content for route in routes if route.takes and _is_struct(route.takes.content)
    }


def _is_struct(struct: Any) -> bool:
    return isinstance(struct, type) and issubclass(struct, msgspec.Struct)


def title(name: str) -> str:
    """A module's name as a heading."""
    return name.replace("_", " ").capitalize()


def _link(heading: str) -> str:
    """To a heading of this page."""
    anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
    return f"[{heading}](#{anchor})"


if __name__ == "__main__":
    print(page(ROUTES), end="")
