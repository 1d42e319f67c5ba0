"""/shares: shares and their actions. Access rules: `access_rules`; export locations:
`export_locations`."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import (
    Resource,
    Route,
    Takes,
    action,
    admin,
    creator,
    many,
    member,
    one,
    reader,
    renamed,
)
from abaca.api.lists import Filter, ListQuery, texts
from abaca.api.resources import metadata
from abaca.api.row_cache import Found
from abaca.api.whole_lists import Part
from abaca.api.wire import bodies
from abaca.api.wire.fields import DETAIL, SHOW, SUMMARY
from abaca.api.wire.share_networks import ResetStatus, ResetTaskState
from abaca.api.wire.shares import (
    SHARE,
    NewSize,
    ShareCreate,
    ShareManage,
    ShareUpdate,
    same_or_none,
    share_ids,
)
from abaca.db.session import begin, read
from abaca.domain.shares import share_creation, share_management, shares, soft_deletion
from abaca.domain.shares.share_management import ShareToManage
from abaca.domain.shares.share_requests import ShareRequest
from abaca.errors import Forbidden, Invalid, Missing, Unprocessable
from abaca.values import Caller, Page

_UNPROCESSABLE = "Unable to process the contained instructions"
_QUERY = ListQuery(
    [
        *texts("name", "display_name", "description", "display_description", "status"),
        *texts("share_type_id", "snapshot_id", "share_network_id", "project_id"),
        *texts("share_group_id", since=31),
        *texts("export_location_id", "export_location_path", since=35),
        *texts("name~", "description~", "display_name~", "display_description~", since=36),
        Filter("host", rule="share:list_by_host"),
        Filter("share_server_id", rule="share:list_by_share_server_id"),
        Filter("is_public", bodies.boolean),
        Filter("is_soft_deleted", bodies.boolean, since=69),
        *texts("mount_point_name", since=84),
        *texts("encryption_key_ref", since=90),
        *texts("availability_zone", since=97),
        Filter("metadata", bodies.mapping),
        Filter("extra_specs", bodies.mapping),
    ],
    all_projects="share:list_all_projects",
    counted_since=42,
)
_LAST_WITH_LOCATIONS = 8
_PUBLIC_SINCE = 8  # managed ones
_GROUPS_SINCE = 31
_TYPE_ZONES_SINCE = 48
_SERVER_SINCE = 49  # the same
_HINTS_SINCE = 65
_ONLY_HOST_SINCE = 67
_NAMES_SINCE = 84
_MANAGED_NAMES_SINCE = 92
_LONGEST_PATH = 2000


def index(call: Call) -> Any:
    """GET /shares"""
    return _list(call, SUMMARY)


def detail(call: Call) -> Any:
    """GET /shares/detail"""
    return _list(call, DETAIL)


def show(call: Call, share_id: str) -> dict[str, Any]:
    """GET /shares/{id}"""
    with read(call.engine) as conn:
        if _with_locations(call):
            return _one(call, shares.get(conn, _reader(call), share_id, with_export_locations=True))
        found = Found(*shares.get_version(conn, _reader(call), share_id))
        kept = call.kept(SHARE, [found], partial(_views, call, conn), level=SHOW)
    if not kept:
        raise Missing(f"Share {share_id} could not be found.")
    return {"share": kept[0]}


def create(call: Call) -> dict[str, Any]:
    """POST /shares"""
    request = _request(call, call.body("share", ShareCreate, missing=Unprocessable(_UNPROCESSABLE)))
    if request.is_public:
        call.enforce("share:create_public_share")
    metadata.SHARE.refuse_closed(call, request.metadata)
    with begin(call.engine) as conn:
        share = share_creation.create(conn, call.caller, request, call.quota_defaults)
        metadata.judge_dns_name(call, conn, request.metadata, share["id"])
        return _one(call, share)


def update(call: Call, share_id: str) -> dict[str, Any]:
    """PUT /shares/{id}"""
    body = call.body("share", ShareUpdate, missing=Unprocessable(_UNPROCESSABLE))
    given = {
        name: getattr(body, name) for name in ("display_name", "display_description", "is_public")
    }
    changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    if "is_public" in changes:
        changes["is_public"] = bodies.boolean(changes["is_public"])
        if changes["is_public"]:
            call.enforce("share:set_public_share")
    with begin(call.engine) as conn:
        shares.update(conn, call.caller, share_id, changes)
        return _one(
            call,
            shares.get(conn, call.caller, share_id, with_export_locations=_with_locations(call)),
        )


def delete(call: Call, share_id: str) -> None:
    """DELETE /shares/{id}"""
    with begin(call.engine) as conn:
        shares.delete(
            conn,
            call.caller,
            share_id,
            call.query.get("share_group_id") or None,
            is_deferred=call.conf.is_deferred_deletion_enabled,
        )


def manage(call: Call) -> dict[str, Any]:
    """POST /shares/manage (os-share-manage up to 2.6): a share that its share server exports
    already."""
    new = call.body(
        "share", ShareManage, missing=Unprocessable("Share entity not found in request body")
    )
    for name in ("export_path", "service_host", "protocol"):
        if not getattr(new, name):
            raise Unprocessable(f"Required parameter {name} is missing or empty.")
    path = new.export_path.get("path") if isinstance(new.export_path, dict) else new.export_path
    if not isinstance(path, str) or len(path) > _LONGEST_PATH:
        raise Invalid(f"The export path must be text of at most {_LONGEST_PATH} characters.")
    is_public = (
        call.version >= _PUBLIC_SINCE
        and new.is_public is not None
        and bodies.boolean(new.is_public)
    )
    if is_public:
        call.enforce("share:set_public_share")
    wanted = ShareToManage(
        host=new.service_host or "",
        export_path=path,
        share_proto=new.protocol or "",
        share_type=new.share_type or call.conf.default_share_type or "",
        share_server_id=(new.share_server_id or None) if call.version >= _SERVER_SINCE else None,
        name=same_or_none(new.name, new.display_name),
        description=same_or_none(new.description, new.display_description),
        is_public=is_public,
        driver_options={name: str(value) for name, value in (new.driver_options or {}).items()},
        mount_point_name=new.mount_point_name if call.version >= _MANAGED_NAMES_SINCE else None,
    )
    with begin(call.engine) as conn:
        return _one(call, share_management.manage(conn, call.caller, wanted))


def unmanage(call: Call, share_id: str) -> None:
    """Action unmanage (POST /os-share-unmanage/{id}/unmanage up to 2.6); of shares on share servers
    since 2.49, and here all are."""
    with begin(call.engine) as conn:
        if (
            call.version < _SERVER_SINCE
            and shares.get(conn, call.caller, share_id)["share_server_id"]
        ):
            raise Forbidden(
                f"Share {share_id} is on a share server: unmanaging it needs microversion "
                f"2.{_SERVER_SINCE} or newer."
            )
        share_management.unmanage(conn, call.caller, share_id)


def extend(call: Call, share_id: str) -> None:
    """Action extend (os-extend up to 2.6)."""
    arguments = call.arguments(NewSize)
    forced = call.version >= 64 and arguments.force is not None and bodies.boolean(arguments.force)
    if forced:
        call.enforce("share:force_extend")
    new_size = bodies.integer(arguments.new_size, "New share size must be specified as an integer.")
    with begin(call.engine) as conn:
        shares.extend(conn, call.caller, share_id, new_size, call.quota_defaults, forced=forced)


def shrink(call: Call, share_id: str) -> None:
    """Action shrink (os-shrink up to 2.6)."""
    new_size = bodies.integer(
        call.arguments(NewSize).new_size, "New share size must be specified as an integer."
    )
    with begin(call.engine) as conn:
        shares.shrink(conn, call.caller, share_id, new_size)


def force_delete(call: Call, share_id: str) -> None:
    """Action force_delete (os-force_delete up to 2.6)."""
    with begin(call.engine) as conn:
        shares.force_delete(conn, call.caller, share_id)


def soft_delete(call: Call, share_id: str) -> None:
    """Action soft_delete, since 2.69."""
    with begin(call.engine) as conn:
        soft_deletion.soft_delete(
            conn, call.caller, share_id, call.conf.soft_deleted_share_retention_time
        )


def restore(call: Call, share_id: str) -> None:
    """Action restore, since 2.69."""
    with begin(call.engine) as conn:
        soft_deletion.restore(conn, call.caller, share_id)


def reset_status(call: Call, share_id: str) -> None:
    """Action reset_status (os-reset_status up to 2.6)."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        shares.reset_status(conn, call.caller, share_id, status)


def reset_task_state(call: Call, share_id: str) -> None:
    """Action reset_task_state, since 2.22. Nothing here migrates; python-manilaclient asks for it
    whenever it sets something."""
    task_state = call.arguments(ResetTaskState).task_state
    with begin(call.engine) as conn:
        shares.reset_task_state(conn, call.caller, share_id, task_state)


def _request(call: Call, new: ShareCreate) -> ShareRequest:
    """The request for the domain; members of later versions are ignored."""
    if new.share_type and new.volume_type:
        raise Invalid("Cannot specify both share_type and volume_type.")
    if call.version >= 90 and new.encryption_key_ref:
        raise Invalid("Shares encrypted with a key of their own are not supported.")
    return ShareRequest(
        share_proto=new.share_proto,
        size=bodies.size(
            new.size,
            f"Invalid input received: Share size '{new.size}' must be an integer and greater than "
            "0.",
        ),
        name=same_or_none(new.name, new.display_name),
        description=same_or_none(new.description, new.display_description),
        share_type=same_or_none(new.share_type, new.volume_type)
        or (None if new.snapshot_id else call.conf.default_share_type),
        share_network_id=new.share_network_id or None,
        availability_zone=(new.availability_zone or None) if call.version >= 1 else None,
        is_public=new.is_public is not None and bodies.boolean(new.is_public),
        metadata=bodies.metadata(new.metadata),
        snapshot_id=new.snapshot_id or None,
        share_group_id=(new.share_group_id or None) if call.version >= _GROUPS_SINCE else None,
        mount_point_name=new.mount_point_name if call.version >= _NAMES_SINCE else None,
        goes_by_type_zones=call.version >= _TYPE_ZONES_SINCE,
        **_hints(call, new),
    )


def _hints(call: Call, new: ShareCreate) -> dict[str, Any]:
    """The scheduler hints of a request, by the names that the domain has for them."""
    given = (new.scheduler_hints or {}) if call.version >= _HINTS_SINCE else {}
    hints: dict[str, Any] = {
        name: share_ids(name, given[name])
        for name in ("same_host", "different_host")
        if given.get(name)
    }
    if call.version >= _ONLY_HOST_SINCE and given.get("only_host"):
        call.enforce("context_is_host_admin")
        if not isinstance(given["only_host"], str):
            raise Invalid("The hint only_host must be text: host@backend#pool.")
        hints["only_host"] = given["only_host"]
    return hints


def _list(call: Call, level: int) -> Any:
    filters, all_projects, is_counted = _QUERY.read(call)
    more = {}
    if is_counted:
        with read(call.engine) as conn:
            more["count"] = shares.count(conn, _reader(call), filters, all_projects)
    return call.listed("shares", partial(_part, call, level, filters, all_projects), more=more)


def _part(call: Call, level: int, filters: dict[str, Any], all_projects: bool, page: Page) -> Part:
    with read(call.engine) as conn:
        if _with_locations(call):
            views = shares.find(
                conn,
                _reader(call),
                filters,
                page,
                all_projects,
                with_export_locations=level == DETAIL,
            )
            ages = [(view["created_at"], view["id"]) for view in views[-1:]]
            shown = call.shown(SHARE, [_linked(call, view) for view in views], level=level)
            return Part(shown, shares.following(page, filters, len(views), ages))
        rows = shares.find_versions(conn, _reader(call), filters, page, all_projects)
        found = [Found(row[0], tuple(row[1:])) for row in rows]
        ages = [(each.version[-1], each.id) for each in found[-1:]]
        kept = call.kept(SHARE, found, partial(_views, call, conn), level=level)
        return Part(kept, shares.following(page, filters, len(found), ages))


def _views(call: Call, conn: Connection, ids: list[str]) -> list[dict[str, Any]]:
    return [_linked(call, row) for row in shares.with_ids(conn, ids)]


def _reader(call: Call) -> Caller:
    return call.shown_deferred_by("share:list_shares_in_deferred_deletion_states")


def _with_locations(call: Call) -> bool:
    return call.version <= _LAST_WITH_LOCATIONS


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    row["links"] = call.links("shares", row["id"])
    return row


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("share", SHARE, _linked(call, row))


_ALL = "/v2/shares"
_ONE = f"{_ALL}/{{share_id}}"
_ACTION = f"{_ONE}/action"
_SHOWN = one("share", SHARE)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share:get_all"),
            gives=many("shares", SHARE, SUMMARY),
            query=_QUERY.names,
        ),
        Route(
            "POST",
            _ALL,
            create,
            creator("share:create"),
            takes=Takes("share", ShareCreate),
            gives=_SHOWN,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            detail,
            reader("share:get_all"),
            gives=many("shares", SHARE),
            query=_QUERY.names,
        ),
        Route("GET", _ONE, show, reader("share:get"), gives=_SHOWN),
        Route(
            "PUT",
            _ONE,
            update,
            member("share:update"),
            takes=Takes("share", ShareUpdate),
            gives=_SHOWN,
        ),
        Route(
            "DELETE",
            _ONE,
            delete,
            member("share:delete"),
            query=("share_group_id",),
            status=202,
        ),
        *renamed("os-extend", action(_ACTION, "extend", extend, member("share:extend"), NewSize)),
        *renamed("os-shrink", action(_ACTION, "shrink", shrink, member("share:shrink"), NewSize)),
        *renamed(
            "os-force_delete",
            action(
                _ACTION,
                "force_delete",
                force_delete,
                admin("share:force_delete"),
            ),
        ),
        action(_ACTION, "soft_delete", soft_delete, member("share:soft_delete"), since=69),
        action(_ACTION, "restore", restore, member("share:restore"), since=69),
        *renamed(
            "os-reset_status",
            action(
                _ACTION,
                "reset_status",
                reset_status,
                admin("share:reset_status"),
                ResetStatus,
            ),
        ),
        action(
            _ACTION,
            "reset_task_state",
            reset_task_state,
            admin("share:reset_task_state"),
            ResetTaskState,
            since=22,
        ),
        *renamed(
            "/v2/os-share-manage",
            Route(
                "POST",
                f"{_ALL}/manage",
                manage,
                admin("share:manage"),
                takes=Takes("share", ShareManage),
                gives=_SHOWN,
            ),
        ),
        Route(
            "POST",
            "/v2/os-share-unmanage/{share_id}/unmanage",
            unmanage,
            admin("share:unmanage"),
            takes=Takes("", None),
            until=6,
            status=202,
        ),
        action(_ACTION, "unmanage", unmanage, admin("share:unmanage"), since=7),
        *metadata.SHARE.routes(
            _ONE,
            reader("share:get_share_metadata"),
            member("share:update_share_metadata"),
            member("share:delete_share_metadata"),
        ),
    ],
    rules=[
        admin("context_is_host_admin", "Choose the pool of a new share (hint only_host)."),
        admin("share:create_public_share", "Create a share that all projects see."),
        admin("share:force_extend", "Extend a share past its project's quotas."),
        admin("share:list_all_projects", "List the shares of all projects."),
        admin("share:list_by_host", "List shares by the back end that they are on."),
        admin("share:list_by_share_server_id", "List shares by the share server that they are on."),
        admin(
            "share:list_shares_in_deferred_deletion_states",
            "Have shares shown and listed whose deletion is deferred.",
        ),
        admin(
            "share:set_public_share",
            "Make a share public, so that all projects see it, or private again.",
        ),
        admin(
            "share:update_admin_only_metadata",
            "Change metadata of shares whose keys [DEFAULT] admin_only_metadata lists.",
        ),
    ],
)
