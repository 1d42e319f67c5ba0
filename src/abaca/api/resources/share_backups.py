"""/share-backups: backups of shares and their actions, since 2.80."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, action, admin, member, one, plain, reader
from abaca.api.lists import ListQuery, texts
from abaca.api.row_routes import Names, RowRoutes, Rules
from abaca.api.wire import bodies
from abaca.api.wire.schemas import TEXT, object_of
from abaca.api.wire.share_backups import SHARE_BACKUP, BackupCreate, BackupUpdate
from abaca.db.session import begin
from abaca.domain.backups import share_backups
from abaca.errors import Invalid, Unprocessable

_NO_BODY = "Body does not contain 'share_backup' information."
_QUERY = ListQuery(
    [
        *texts("name", "name~", "description", "description~", "status", "share_id"),
        *texts("backup_type", since=85),
        *texts("topic", is_admins=True),
    ],
    all_projects="share_backup:get_all_project",
)
_SINCE, _LAST_EXPERIMENTAL = 80, 99
_ROWS = RowRoutes(
    share_backups,
    Names(
        "share_backups",
        "/v2/share-backups",
        "backup_id",
        "share_backup",
        "share_backups",
        "share_backup_links",
    ),
    SHARE_BACKUP,
    _QUERY,
    BackupUpdate,
    Unprocessable,
    _NO_BODY,
)


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
        return _ROWS.one(call, made)


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


def _type_of(options: dict[str, Any] | None) -> str | None:
    """The option `backup_type`, a name that the caller chooses. Other options are for drivers of
    which Abaca has none."""
    given = (options or {}).get("backup_type")
    return None if given is None else bodies.shape(given, bodies.Text)


_ROUTES = [
    *_ROWS.usual(
        Rules(
            reader("share_backup:get_all"),
            reader("share_backup:get"),
            member("share_backup:update"),
            member("share_backup:delete"),
        )
    ),
    Route(
        "POST",
        _ROWS.names.url,
        create,
        member("share_backup:create"),
        takes=Takes("share_backup", BackupCreate),
        gives=one("share_backup", SHARE_BACKUP),
        status=202,
    ),
    action(
        f"{_ROWS.one_url}/action",
        "restore",
        restore,
        member("share_backup:restore"),
        str | None,
        gives=plain("restore", object_of(backup_id=TEXT, share_id=TEXT)),
    ),
    _ROWS.reset_status_by(admin("share_backup:reset_status")),
]

RESOURCE = Resource(
    routes=[
        route._replace(since=_SINCE, experimental_until=_LAST_EXPERIMENTAL) for route in _ROUTES
    ],
    rules=[
        admin("share_backup:get_all_project", "List the share backups of all projects."),
    ],
)
