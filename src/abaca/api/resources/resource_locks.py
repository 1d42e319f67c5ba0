"""/resource-locks: locks of shares and access rules, since 2.81. Locks that are placed with an
access rule: `access_rules`."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, many, member, one, reader
from abaca.api.lists import ListQuery, answer, texts, times
from abaca.api.wire import bodies
from abaca.api.wire.resource_locks import RESOURCE_LOCK, LockCreate, LockUpdate
from abaca.db.session import begin, read
from abaca.domain.shares import resource_locks
from abaca.domain.shares.resource_lock_checks import DELETE
from abaca.errors import Conflict, Invalid, named_in_request

_QUERY = ListQuery(
    [
        *texts("id", "project_id", "user_id", "lock_context", "resource_type", "resource_id"),
        *texts("resource_action", "lock_reason", "lock_reason~"),
        *times(),
    ],
    all_projects="resource_lock:get_all_projects",
    all_projects_by="all_projects",
    counted_since=81,
)


def index(call: Call) -> dict[str, Any]:
    """GET /resource-locks"""
    listing = resource_locks.LISTING
    return answer(
        call,
        _QUERY,
        listing.find,
        "resource_locks",
        RESOURCE_LOCK,
        count=listing.count,
        told=_linked,
    )


def show(call: Call, lock_id: str) -> dict[str, Any]:
    """GET /resource-locks/{id}"""
    with read(call.engine) as conn:
        return _one(call, resource_locks.get(conn, call.caller, lock_id))


def create(call: Call) -> dict[str, Any]:
    """POST /resource-locks"""
    new = call.body("resource_lock", LockCreate, missing=Invalid(bodies.MALFORMED))
    with named_in_request(), begin(call.engine) as conn:
        lock = resource_locks.create(
            conn,
            call.caller,
            resource_type=new.resource_type,
            resource_id=new.resource_id,
            resource_action=new.resource_action or DELETE,
            lock_reason=new.lock_reason,
            limits=call.row_limits,
        )
    return _one(call, lock)


def update(call: Call, lock_id: str) -> dict[str, Any]:
    """PUT /resource-locks/{id}"""
    given = call.body("resource_lock", dict[str, Any], missing=Invalid(bodies.MALFORMED))
    if given.keys() - set(LockUpdate.__struct_fields__):
        raise Invalid("Only 'resource_action' and 'lock_reason' can be updated.")
    body = bodies.shape(given, LockUpdate)
    changes: dict[str, Any] = (
        {"resource_action": body.resource_action} if body.resource_action else {}
    )
    if body.lock_reason is not msgspec.UNSET:
        changes["lock_reason"] = body.lock_reason
    try:
        with begin(call.engine) as conn:
            return _one(call, resource_locks.update(conn, call.caller, lock_id, changes))
    except Conflict as error:  # a new lock is refused with 409, one that is changed with 400
        raise Invalid(error.message) from error


def delete(call: Call, lock_id: str) -> None:
    """DELETE /resource-locks/{id}"""
    with begin(call.engine) as conn:
        resource_locks.delete(conn, call.caller, lock_id)


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"links": call.links("resource-locks", row["id"])}


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("resource_lock", RESOURCE_LOCK, _linked(call, row))


_ALL = "/v2/resource-locks"
_ONE = f"{_ALL}/{{lock_id}}"
_SHOWN = one("resource_lock", RESOURCE_LOCK)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("resource_lock:get_all"),
            gives=many("resource_locks", RESOURCE_LOCK),
            query=_QUERY.names,
            since=81,
        ),
        Route(
            "POST",
            _ALL,
            create,
            member("resource_lock:create"),
            takes=Takes("resource_lock", LockCreate),
            gives=_SHOWN,
            since=81,
        ),
        Route("GET", _ONE, show, reader("resource_lock:get"), gives=_SHOWN, since=81),
        Route(
            "PUT",
            _ONE,
            update,
            member("resource_lock:update"),
            takes=Takes("resource_lock", LockUpdate),
            gives=_SHOWN,
            since=81,
        ),
        Route("DELETE", _ONE, delete, member("resource_lock:delete"), since=81, status=204),
    ],
    rules=[
        admin(
            "resource_lock:bypass_locked_show_action",
            "See what a visibility lock hides: the clients and keys of access rules.",
        ),
        admin("resource_lock:get_all_projects", "List the resource locks of all projects."),
    ],
)
