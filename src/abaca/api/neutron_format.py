"""Answers in Neutron's format: what handlers below `/network` have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from msgspec import UNSET, Struct, structs
from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.wire import bodies
from abaca.api.wire import local_networks as wire
from abaca.api.wire.fields import View
from abaca.db.session import begin, read
from abaca.errors import Invalid

MOST_AT_ONCE = 100  # networks or subnets that one request may make

_S = TypeVar("_S", bound=Struct)
Rows = list[dict[str, Any]]


def body(call: Call, member: str, struct: type[_S]) -> _S:
    return call.body(member, struct, Invalid(f"Unable to find '{member}' in request body"))


def given(body: Struct) -> dict[str, Any]:
    """The members that the body has."""
    return {name: value for name, value in structs.asdict(body).items() if value is not UNSET}


def created(
    call: Call,
    member: str,
    struct: type[_S],
    new: Callable[..., dict[str, Any]],
    view: View,
    hold: Callable[[Connection, Call, list[_S]], None],
) -> dict[str, Any]:
    """What `{member: …}` or `{members: […]}` asks for: all of it or, when one is refused, nothing.

    `hold` takes the locks that making several needs, in an order that does not depend on the
    request.
    """
    many = f"{member}s"
    wanted = call.json.get(many) if isinstance(call.json, dict) else None
    if wanted is None:
        asked = body(call, member, struct)
        with begin(call.engine) as conn:
            return shown(call, member, view, new(conn, call, asked))
    listed = bodies.shape(wanted, list[struct])  # type: ignore[valid-type]
    if not 0 < len(listed) <= MOST_AT_ONCE:
        raise Invalid(f"A request makes 1 to {MOST_AT_ONCE} {many}, not {len(listed)}.")
    with begin(call.engine) as conn:
        hold(conn, call, listed)
        made = [new(conn, call, body) for body in listed]
    return {many: view.render_all(made, 0, is_admin=call.caller.is_admin)}


def listed(
    call: Call, members: str, known: Sequence[str], find: Callable[..., Rows], view: View
) -> dict[str, Any]:
    wanted = wire.filters(call.query_values, known)
    page = call.page()
    rows: Rows = []
    if wanted is not None:
        with read(call.engine) as conn:
            rows = find(
                conn, call.caller, wanted, limit=page.limit, marker=call.query.get("marker")
            )
    rendered = view.render_all(rows, 0, is_admin=call.caller.is_admin)
    answer: dict[str, Any] = {members: [_selected(call, row) for row in rendered]}
    if rows and len(rows) == page.limit:
        following = {**call.query_values, "limit": page.limit, "marker": rows[-1]["id"]}
        answer[f"{members}_links"] = [
            {"rel": "next", "href": f"{call.url}?{urlencode(following, doseq=True)}"}
        ]
    return answer


def shown(call: Call, member: str, view: View, row: Mapping[str, Any]) -> dict[str, Any]:
    return {member: _selected(call, view.render(row, 0, is_admin=call.caller.is_admin))}


def _selected(call: Call, rendered: dict[str, Any]) -> dict[str, Any]:
    """The members that `?fields=` names; all of them when it is not there."""
    names = call.query_values.get("fields")
    return {name: value for name, value in rendered.items() if name in names} if names else rendered
