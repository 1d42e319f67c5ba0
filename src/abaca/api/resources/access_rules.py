"""Access rules: actions of a share, and /share-access-rules since 2.45."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, action, many, member, one, reader, renamed
from abaca.api.lists import Filter, ListQuery, texts
from abaca.api.resources import metadata
from abaca.api.whole_lists import Part
from abaca.api.wire import bodies
from abaca.api.wire.access_rules import (
    ACCESS_RULE,
    AccessAllow,
    AccessDeny,
    AccessUpdate,
    require_known,
)
from abaca.db.session import begin, read
from abaca.domain.rows import listings
from abaca.domain.shares import access_rules
from abaca.domain.shares.resource_lock_checks import DELETE, SHOW
from abaca.errors import Invalid, named_in_request
from abaca.values import Page

_QUERY = ListQuery(
    [
        *texts("share_id", "access_type", "access_to", "access_level", "access_key"),
        Filter("metadata", bodies.mapping),
    ]
)


def allow(call: Call, share_id: str) -> dict[str, Any]:
    """Action allow_access (os-allow_access up to 2.6)."""
    arguments = call.arguments(AccessAllow)
    require_known(arguments.access_type, arguments.access_to, call.version)
    locks = _locks(call, arguments) if call.version >= 82 else set()
    with begin(call.engine) as conn:
        rule = access_rules.allow(
            conn,
            call.caller,
            share_id,
            access_type=arguments.access_type,
            access_to=arguments.access_to,
            access_level=arguments.access_level,
            metadata=bodies.metadata(arguments.metadata) if call.version >= 45 else {},
            locks=locks,
            lock_reason=arguments.lock_reason,
            limits=call.row_limits,
        )
    return call.one("access", ACCESS_RULE, rule)


def deny(call: Call, share_id: str) -> None:
    """Action deny_access (os-deny_access up to 2.6)."""
    arguments = call.arguments(AccessDeny)
    unrestrict = (
        call.version >= 82
        and arguments.unrestrict is not None
        and bodies.boolean(arguments.unrestrict)
    )
    with begin(call.engine) as conn:
        access_rules.deny(conn, call.caller, share_id, arguments.access_id, unrestrict=unrestrict)


def list_of_share(call: Call, share_id: str) -> dict[str, Any]:
    """Action access_list, up to 2.44 (os-access_list up to 2.6)."""
    with read(call.engine) as conn:
        return call.many(
            "access_list",
            ACCESS_RULE,
            access_rules.find(conn, call.caller, share_id, sees_hidden=_sees_hidden(call)),
        )


def index(call: Call) -> Any:
    """GET /share-access-rules?share_id=…; since 2.82 also those of all shares of the project."""
    filters = _QUERY.read(call).filters
    share_id = filters.pop("share_id", None) or None
    if share_id is None and call.version < 82:
        raise Invalid("The field 'share_id' has to be specified.")

    def fetch(page: Page) -> Part:
        with read(call.engine) as conn:
            rules = access_rules.find(
                conn, call.caller, share_id, filters, page, sees_hidden=_sees_hidden(call)
            )
        following = listings.following(
            page, len(rules), [(rule["created_at"], rule["id"]) for rule in rules[-1:]]
        )
        return Part(call.shown(ACCESS_RULE, rules), following)

    with named_in_request():
        return call.listed("access_list", fetch)


def update(call: Call, access_id: str) -> dict[str, Any]:
    """PUT /share-access-rules/{id}, since 2.88: another access level."""
    level = call.body(
        "update_access", AccessUpdate, missing=Invalid("Malformed request body")
    ).access_level
    with begin(call.engine) as conn:
        rule = access_rules.change_level(
            conn,
            call.caller,
            access_id,
            level,
            sees_hidden=_sees_hidden(call),
            limits=call.row_limits,
        )
    return call.one("access", ACCESS_RULE, rule)


def show(call: Call, access_id: str) -> dict[str, Any]:
    """GET /share-access-rules/{id}"""
    with read(call.engine) as conn:
        return call.one(
            "access",
            ACCESS_RULE,
            access_rules.get(conn, call.caller, access_id, sees_hidden=_sees_hidden(call)),
        )


def _sees_hidden(call: Call) -> bool:
    return call.permits("resource_lock:bypass_locked_show_action")


def _locks(call: Call, arguments: AccessAllow) -> set[str]:
    """What the new rule is to be locked against."""
    asked = {SHOW: arguments.lock_visibility, DELETE: arguments.lock_deletion}
    locks = {action for action, flag in asked.items() if flag is not None and bodies.boolean(flag)}
    if locks:
        call.enforce("resource_lock:create")
    elif arguments.lock_reason:
        raise Invalid("A lock_reason can only be given with lock_visibility or lock_deletion.")
    return locks


_ALL = "/v2/share-access-rules"
_ONE = f"{_ALL}/{{access_id}}"
_SHARE_ACTION = "/v2/shares/{share_id}/action"
_SHOWN = one("access", ACCESS_RULE)

RESOURCE = Resource(
    routes=[
        *renamed(
            "os-allow_access",
            action(
                _SHARE_ACTION,
                "allow_access",
                allow,
                member("share:allow_access"),
                AccessAllow,
                gives=_SHOWN,
                status=200,
            ),
        ),
        *renamed(
            "os-deny_access",
            action(
                _SHARE_ACTION,
                "deny_access",
                deny,
                member("share:deny_access"),
                AccessDeny,
            ),
        ),
        *renamed(
            "os-access_list",
            action(
                _SHARE_ACTION,
                "access_list",
                list_of_share,
                reader("share:access_get_all"),
                gives=many("access_list", ACCESS_RULE),
                until=44,
                status=200,
            ),
        ),
        Route(
            "GET",
            _ALL,
            index,
            reader("share_access_rule:index"),
            gives=many("access_list", ACCESS_RULE),
            query=_QUERY.names,
            since=45,
        ),
        Route("GET", _ONE, show, reader("share_access_rule:get"), gives=_SHOWN, since=45),
        Route(
            "PUT",
            _ONE,
            update,
            member("share_access_rule:update"),
            takes=Takes("update_access", AccessUpdate),
            gives=_SHOWN,
            since=88,
        ),
        Route(
            "PUT",
            f"{_ONE}/metadata",
            metadata.ACCESS_RULE.merge,
            member("share_access_metadata:update"),
            takes=metadata.PAIRS,
            gives=metadata.ALL,
            since=45,
        ),
        Route(
            "DELETE",
            f"{_ONE}/metadata/{{key}}",
            metadata.ACCESS_RULE.delete,
            member("share_access_metadata:delete"),
            since=45,
        ),
    ],
)
