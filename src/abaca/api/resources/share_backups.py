"""/share-backups: backups of shares and their actions, since 2.80."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.call import Call
from abaca.api.declaration import (
    Resource,
    Route,
    Takes,
    action,
    admin,
    many,
    member,
    one,
    plain,
    reader,
)
from abaca.api.lists import ListQuery, texts
from abaca.api.whole_lists import Part
from abaca.api.wire import bodies
from abaca.api.wire.fields import DETAIL, SUMMARY
from abaca.api.wire.schemas import TEXT, object_of
from abaca.api.wire.share_backups import SHARE_BACKUP, BackupCreate, BackupUpdate
from abaca.api.wire.share_networks import ResetStatus
from abaca.db.session import begin, read
from abaca.domain.backups import share_backups
from abaca.domain.rows import listings
from abaca.errors import Invalid, Unprocessable
from abaca.values import Page

_NO_BODY = "Body does not contain 'share_backup' information."
_LINKS = "share_backup_links"
_QUERY = ListQuery(
    [
        *texts("name", "name~", "description", "description~", "status", "share_id"),
        *texts("backup_type", since=85),
        *texts("topic", is_admins=True),
    ],
    all_projects="share_backup:get_all_project",
)


def index(call: Call) -> Any:
    """GET /share-backups"""
    return _list(call, SUMMARY)


def detail(call: Call) -> Any:
    """GET /share-backups/detail"""
    return _list(call, DETAIL)


def show(call: Call, backup_id: str) -> dict[str, Any]:
    """GET /share-backups/{id}"""
    with read(call.engine) as conn:
        return _one(call, share_backups.get(conn, call.caller, backup_id))


def create(call: Call) -> dict[str, Any]:
    """POST /share-backups"""
    new = call.body("share_backup", BackupCreate, missing=Unprocessable(_NO_BODY))
    if not new.share_id:
        raise Invalid("'share_id' is missing from the request body.")
    with begin(call.engine) as conn:
        made = share_backups.create(
            conn,
            call.caller,
            new.share_id,
            name=new.name,
            description=new.description,
            backup_type=_type_of(new.backup_options),
            quota_defaults=call.quota_defaults,
        )
        return _one(call, made)


def update(call: Call, backup_id: str) -> dict[str, Any]:
    """PUT /share-backups/{id}"""
    body = call.body("share_backup", BackupUpdate, missing=Unprocessable(_NO_BODY))
    given = {"display_name": body.name, "display_description": body.description}
    changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    with begin(call.engine) as conn:
        return _one(call, share_backups.update(conn, call.caller, backup_id, changes))


def delete(call: Call, backup_id: str) -> None:
    """DELETE /share-backups/{id}"""
    with begin(call.engine) as conn:
        share_backups.delete(conn, call.caller, backup_id)


def restore(call: Call, backup_id: str) -> dict[str, Any]:
    """Action restore: into the share that the backup is of; since 2.91 into another one, whose id
    is the argument."""
    _, target = call.action
    if target is not None and not isinstance(target, str):
        raise Invalid("The argument of restore is the id of a share, or null.")
    wanted = target if call.version >= 91 else None
    with begin(call.engine) as conn:
        row = share_backups.restore(conn, call.caller, backup_id, wanted)
    return {"restore": {"backup_id": backup_id, "share_id": row["restore_share_id"]}}


def reset_status(call: Call, backup_id: str) -> None:
    """Action reset_status."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        share_backups.reset_status(conn, call.caller, backup_id, status)


def _type_of(options: dict[str, Any] | None) -> str | None:
    """The option `backup_type`, a name that the caller chooses. Other options are for drivers of
    which Abaca has none."""
    given = (options or {}).get("backup_type")
    return None if given is None else bodies.shape(given, bodies.Text)


def _list(call: Call, level: int) -> Any:
    listing, wanted = share_backups.LISTING, _QUERY.read(call)

    def fetch(page: Page) -> Part:
        with read(call.engine) as conn:
            rows = listing.find(conn, call.caller, wanted.filters, page, wanted.all_projects)
        following = listings.following(
            page, len(rows), [(row["created_at"], row["id"]) for row in rows[-1:]]
        )
        return Part(call.shown(SHARE_BACKUP, rows, level=level), following)

    return call.listed("share_backups", fetch, links=_LINKS)


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("share_backup", SHARE_BACKUP, row)


_ALL = "/v2/share-backups"
_ONE = f"{_ALL}/{{backup_id}}"
_ACTION = f"{_ONE}/action"
_SHOWN = one("share_backup", SHARE_BACKUP)
_SINCE: dict[str, Any] = {"since": 80, "experimental_until": 99}

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_backup:get_all"),
            gives=many("share_backups", SHARE_BACKUP, SUMMARY, _LINKS),
            query=_QUERY.names,
            **_SINCE,
        ),
        Route(
            "POST",
            _ALL,
            create,
            member("share_backup:create"),
            takes=Takes("share_backup", BackupCreate),
            gives=_SHOWN,
            status=202,
            **_SINCE,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            detail,
            reader("share_backup:get_all"),
            gives=many("share_backups", SHARE_BACKUP, links=_LINKS),
            query=_QUERY.names,
            **_SINCE,
        ),
        Route("GET", _ONE, show, reader("share_backup:get"), gives=_SHOWN, **_SINCE),
        Route(
            "PUT",
            _ONE,
            update,
            member("share_backup:update"),
            takes=Takes("share_backup", BackupUpdate),
            gives=_SHOWN,
            **_SINCE,
        ),
        Route("DELETE", _ONE, delete, member("share_backup:delete"), status=202, **_SINCE),
        action(
            _ACTION,
            "restore",
            restore,
            member("share_backup:restore"),
            str | None,
            gives=plain("restore", object_of(backup_id=TEXT, share_id=TEXT)),
            **_SINCE,
        ),
        action(
            _ACTION,
            "reset_status",
            reset_status,
            admin("share_backup:reset_status"),
            ResetStatus,
            **_SINCE,
        ),
    ],
    rules=[
        admin("share_backup:get_all_project", "List the share backups of all projects."),
    ],
)
