"""…/metadata: key-value pairs that its owner sets on a resource. One piece of code for shares,
snapshots, share network subnets and access rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import Route, Rule, Takes, plain
from abaca.api.wire import bodies
from abaca.api.wire.schemas import MAP
from abaca.db.session import begin, read
from abaca.domain.network_changes import subnet_drains, subnet_metadata
from abaca.domain.rows.draining import METADATA_KEY
from abaca.domain.share_networks import share_network_subnets
from abaca.domain.shares import (
    access_rules,
    dns_names,
    share_export_locations,
    share_metadata,
    shares,
)
from abaca.domain.snapshots import snapshots
from abaca.errors import Invalid, Missing

Pairs = dict[str, str]

ALL = plain("metadata", MAP)
PAIRS = Takes("metadata", Pairs)
_ONE = plain("meta", MAP)
_PAIR = Takes("meta", Pairs)

_DRIVERS_SINCE = 89


class Metadata:
    """The handlers of one kind of resource. `get` and `change` are the domain's, given the path's
    ids by name.

    `change` is given what is there, with the row held, and returns what shall be there. `guarded`:
    the rule that a caller needs to touch the keys of the option `guarded_keys`; without it they
    stay as they are when everything is replaced. `ruled`: further keys, each with the rule that a
    caller needs to change it. `hand_over(call, conn, given, dropped, **ids)`: told in the same
    transaction which keys were set and which are gone. `starts_work`: a change may put work into a
    queue, so `change` is given the limits, too.
    """

    def __init__(
        self,
        get: Callable[..., dict[str, Any]],
        change: Callable[..., Pairs],
        guarded: str | None = None,
        guarded_keys: str = "admin_only_metadata",
        ruled: Mapping[str, str] | None = None,
        hand_over: Callable[..., None] | None = None,
        *,
        starts_work: bool = False,
    ) -> None:
        self._get = get
        self._change = change
        self._guarded = guarded
        self._guarded_keys = guarded_keys
        self._ruled = ruled or {}
        self._hand_over = hand_over
        self._starts_work = starts_work

    def routes(
        self, path: str, get: Rule, update: Rule, delete: Rule, since: int = 0
    ) -> list[Route]:
        """The routes below the resource's URL `path`."""
        everything, one = f"{path}/metadata", f"{path}/metadata/{{key}}"
        return [
            Route("GET", everything, self.index, get, gives=ALL, since=since),
            Route("POST", everything, self.merge, update, PAIRS, ALL, since=since),
            Route("PUT", everything, self.replace, update, PAIRS, ALL, since=since),
            Route("GET", one, self.show, get, gives=_ONE, since=since),
            Route("PUT", one, self.set_one, update, _PAIR, _ONE, since=since),
            Route("POST", one, self.set_one, update, _PAIR, _ONE, since=since),
            Route("DELETE", one, self.delete, delete, since=since),
        ]

    def index(self, call: Call, **ids: str) -> dict[str, Any]:
        """GET …/metadata"""
        with read(call.engine) as conn:
            return {"metadata": self._get(conn, call.caller, **ids)["metadata"]}

    def merge(self, call: Call, **ids: str) -> dict[str, Any]:
        """POST …/metadata (PUT, for access rules): the pairs given are added to those that are
        there."""
        new = _pairs(call, "metadata")
        return {"metadata": self._apply(call, ids, lambda old: old | new, new)}

    def replace(self, call: Call, **ids: str) -> dict[str, Any]:
        """PUT …/metadata: the pairs given take the place of all that are there."""
        new = _pairs(call, "metadata")
        closed = self._closed(call)
        return {
            "metadata": self._apply(
                call, ids, lambda old: {key: old[key] for key in closed if key in old} | new, new
            )
        }

    def show(self, call: Call, key: str, **ids: str) -> dict[str, Any]:
        """GET …/metadata/{key}"""
        return {"meta": _one(self.index(call, **ids)["metadata"], key)}

    def set_one(self, call: Call, key: str, **ids: str) -> dict[str, Any]:
        """PUT or POST …/metadata/{key}"""
        pair = _pairs(call, "meta")
        if pair.keys() != {key}:
            raise Invalid("Request body and URI mismatch: the body holds another key or several.")
        return {"meta": _one(self._apply(call, ids, lambda old: old | pair, pair), key)}

    def delete(self, call: Call, key: str, **ids: str) -> None:
        """DELETE …/metadata/{key}"""

        def without(old: Pairs) -> Pairs:
            _one(old, key)
            return {name: value for name, value in old.items() if name != key}

        self._apply(call, ids, without, {})

    def refuse_closed(self, call: Call, new: Pairs, old: Pairs | None = None) -> None:
        """Raises PolicyForbids when `new` differs from `old` in a key that the caller may not
        touch."""
        before = old or {}
        if self._guarded is not None and any(
            new.get(key) != before.get(key) for key in self._closed(call)
        ):
            call.enforce(self._guarded)
        for key, rule in self._ruled.items():
            if new.get(key) != before.get(key):
                call.enforce(rule)

    def _closed(self, call: Call) -> list[str]:
        return (
            []
            if self._guarded is None or call.permits(self._guarded)
            else list(call.conf[self._guarded_keys])
        )

    def _apply(
        self, call: Call, ids: dict[str, str], change: Callable[[Pairs], Pairs], given: Pairs
    ) -> Pairs:
        before: Pairs = {}

        def checked(old: Pairs) -> Pairs:
            new = bodies.metadata(change(old), old)
            self.refuse_closed(call, new, old)
            before.update(old)
            return new

        more = {"limits": call.row_limits} if self._starts_work else {}
        with begin(call.engine) as conn:
            after = self._change(conn, call.caller, change=checked, **ids, **more)
            if self._hand_over is not None:
                self._hand_over(call, conn, given.keys(), before.keys() - after.keys(), **ids)
            return after


def _pairs(call: Call, member: str) -> Pairs:
    return bodies.metadata(
        call.body(member, dict[str, str], missing=Invalid("Malformed request body"))
    )


def _one(metadata: Pairs, key: str) -> Pairs:
    if key not in metadata:
        raise Missing(f"Metadata item {key} was not found.")
    return {key: metadata[key]}


def _of_subnet(
    call: Call,
    conn: Connection,
    given: Collection[str],
    dropped: Collection[str],
    *,
    share_network_id: str,
    subnet_id: str,
) -> None:
    """Drains, and since 2.89 for drivers what the option driver_updatable_subnet_metadata names."""
    subnet_drains.changed_by_metadata(
        conn, call.caller, share_network_id, subnet_id, given, dropped, call.row_limits
    )
    if call.version >= _DRIVERS_SINCE:
        keys = set(call.conf.driver_updatable_subnet_metadata)
        subnet_metadata.hand_over(
            conn, subnet_id, keys & set(given), keys & set(dropped), call.row_limits
        )


def judge_dns_name(call: Call, conn: Connection, given: Collection[str], share_id: str) -> None:
    """Where names are published, the name that a share was just given has to be one, and free."""
    if dns_names.KEY in given and call.conf.dns.domain:
        dns_names.require_allowed(conn, share_id, call.row_limits)


def _of_share(
    call: Call,
    conn: Connection,
    given: Collection[str],
    _dropped: Collection[str],
    *,
    share_id: str,
) -> None:
    judge_dns_name(call, conn, given, share_id)


SHARE = Metadata(
    shares.get,
    share_metadata.change,
    guarded="share:update_admin_only_metadata",
    hand_over=_of_share,
    starts_work=True,
)
SUBNET = Metadata(
    share_network_subnets.get,
    share_network_subnets.change_metadata,
    ruled={METADATA_KEY: "share_network_subnet:update_removal"},
    hand_over=_of_subnet,
)
EXPORT_LOCATION = Metadata(
    share_export_locations.get,
    share_export_locations.change_metadata,
    guarded="share_export_location:update_admin_only_metadata",
    guarded_keys="admin_only_el_metadata",
)
SNAPSHOT = Metadata(snapshots.get, snapshots.change_metadata)
ACCESS_RULE = Metadata(access_rules.get, access_rules.change_metadata)
