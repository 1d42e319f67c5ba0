"""Share types and their extra specs: what administrators offer, and who sees how much of it.

A view has id, name, description, is_public, extra_specs (text to text; without administrators'
rights only the visible ones), required_extra_specs, created_at, updated_at.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from oslo_utils import strutils
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from abaca.db.session import utcnow
from abaca.db.tables import (
    share_group_type_share_type_mappings,
    share_group_types,
    share_instances,
    share_type_extra_specs,
    share_type_projects,
    share_types,
)
from abaca.domain.capacity import quota_usages
from abaca.domain.rows.listings import sorted_by
from abaca.domain.rows.offered_types import KindOfType, check_spec
from abaca.domain.share_types import snapshot_plans
from abaca.drivers.nfs_specs import nfs_specs
from abaca.errors import Conflict, Forbidden, Invalid, Missing, Refused
from abaca.scheduler.specs import SHOWN_CAPABILITIES
from abaca.values import Caller, Page

KIND = KindOfType(
    noun="share type",
    types=share_types,
    projects=share_type_projects,
    specs=share_type_extra_specs,
    key="share_type_id",
)
HANDLES_SERVERS = "driver_handles_share_servers"
SNAPSHOT_SUPPORT = "snapshot_support"
BOOLEAN_SPECS = SHOWN_CAPABILITIES | {HANDLES_SERVERS}
SIZE_SPECS = frozenset(
    {
        "provisioning:max_share_size",
        "provisioning:min_share_size",
        "provisioning:max_share_extend_size",
    }
)
AVAILABILITY_ZONES = "availability_zones"
MOUNT_POINT_NAME_SUPPORT = "mount_point_name_support"
MOUNT_POINT_PREFIX = "provisioning:mount_point_prefix"
"""What the mount point names of shares of the type begin with."""
PROJECT_IN_PREFIX = "{project_id}"
_PREFIX = re.compile("[A-Za-z0-9_-]{0,100}")
REPLICATION_TYPE = "replication_type"
REPLICATION_TYPES = ("writable", "readable", "dr")
EXPORT_FAMILY = "abaca:export_subnets"
"""Shares of the type are exported on subnets of this family only."""
FAMILIES = {"ipv4": 4, "ipv6": 6}
SNAPSHOT_SCHEDULE = "abaca:snapshot_schedule"
"""Snapshots of shares of the type are taken at these times (`snapshot_plans`)."""
BACKUP_SCHEDULE = "abaca:backup_schedule"
"""The same of backups."""
TENANT_VISIBLE = (
    BOOLEAN_SPECS
    | SIZE_SPECS
    | {AVAILABILITY_ZONES, REPLICATION_TYPE, EXPORT_FAMILY, SNAPSHOT_SCHEDULE, BACKUP_SCHEDULE}
    | {MOUNT_POINT_PREFIX}
)

# Built once: building it costs every creation of a share more than the database needs for it.
_SPECS_OF = sa.select(share_type_extra_specs.c.spec_key, share_type_extra_specs.c.spec_value).where(
    share_type_extra_specs.c.share_type_id == sa.bindparam("share_type_id")
)
_OWN_SCOPE = "abaca:"
_OWN = (EXPORT_FAMILY, SNAPSHOT_SCHEDULE, BACKUP_SCHEDULE)


def create(
    conn: Connection,
    caller: Caller,
    *,
    name: str,
    description: str | None,
    is_public: bool,
    extra_specs: Mapping[str, str],
) -> dict[str, Any]:
    """Make a type. Raises Invalid (extra specs, among them the required one that is missing),
    Conflict (the name is taken)."""
    if HANDLES_SERVERS not in extra_specs:
        raise Invalid(
            f"Invalid extra_spec: Required extra specs '{HANDLES_SERVERS}' not specified."
        )
    check_extra_specs(extra_specs)
    _require_what_specs_need(extra_specs)
    type_id = str(uuid4())
    values = {
        "id": type_id,
        "name": name,
        "description": description,
        "is_public": is_public,
        "created_at": utcnow(),
    }
    try:
        conn.execute(sa.insert(share_types).values(values))
    except IntegrityError:
        raise Conflict(f"Share Type {name} already exists.") from None
    KIND.add_specs(conn, type_id, _stored(extra_specs))
    return get(conn, caller, type_id)


def get(conn: Connection, caller: Caller, type_id: str) -> dict[str, Any]:
    """One type by id. Raises Missing, also for types that are neither public nor opened to the
    caller's project."""
    rows = _views(conn, caller, KIND.visible(caller).where(share_types.c.id == type_id))
    if not rows:
        raise KIND.missing(type_id)
    return rows[0]


def lookup(conn: Connection, caller: Caller, id_or_name: str) -> dict[str, Any]:
    """One type by id or name. Raises Missing."""
    query = KIND.visible(caller).where(
        sa.or_(share_types.c.id == id_or_name, share_types.c.name == id_or_name)
    )
    rows = _views(conn, caller, query)
    if not rows:
        raise KIND.missing(id_or_name)
    return next((row for row in rows if row["id"] == id_or_name), rows[0])


def ids_of(conn: Connection, caller: Caller, ids_or_names: Collection[str]) -> list[str]:
    """The ids of several types, each once, in one statement. Raises Missing for the first that the
    caller does not see."""
    known = conn.execute(KIND.visible(caller)).all()
    ids = {row.name: row.id for row in known} | {row.id: row.id for row in known}
    for wanted in ids_or_names:
        if wanted not in ids:
            raise KIND.missing(wanted)
    return sorted({ids[wanted] for wanted in ids_or_names})


def find(
    conn: Connection,
    caller: Caller,
    page: Page,
    *,
    is_public: bool | None = None,
    extra_specs: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The types that the caller sees, oldest first unless sorted otherwise.

    `is_public`: those that everybody in the caller's project sees (True), those that are not public
    (False). `extra_specs`: only types that have all of these. Invalid for a sort key that is not
    known.
    """
    column = sorted_by("Share types", page, _SORT_KEYS)
    ascending = page.sort_dir == "asc" if page.sort_dir else page.sort_key is None
    query = KIND.visible(caller).order_by(
        column.asc() if ascending else column.desc(), share_types.c.id
    )
    if is_public is not None:
        is_private = share_types.c.is_public.is_(False)
        query = query.where(KIND.open_to(caller) if is_public else is_private)
    wanted = extra_specs or {}
    found = [
        view
        for view in _views(conn, caller, query)
        if all(_has(view["extra_specs"], key, value) for key, value in wanted.items())
    ]
    return found[page.offset :][: page.limit]


def specs_of(conn: Connection, share_type_id: str) -> dict[str, str]:
    """All extra specs of a type, in one statement."""
    return dict(conn.execute(_SPECS_OF, {"share_type_id": share_type_id}).all())


def update(
    conn: Connection, caller: Caller, type_id: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Change name, description or is_public. Raises Missing, Conflict (the name is taken)."""
    get(conn, caller, type_id)
    try:
        conn.execute(
            sa.update(share_types)
            .where(share_types.c.id == type_id)
            .values(**changes, updated_at=utcnow())
        )
    except IntegrityError:
        raise Conflict(f"Share Type {changes['name']} already exists.") from None
    return get(conn, caller, type_id)


def delete(conn: Connection, caller: Caller, type_id: str) -> None:
    """Delete a type. Raises Missing, Invalid (shares or share group types use it)."""
    get(conn, caller, type_id)
    obstacle = _obstacle(conn, type_id)
    if obstacle:
        raise Invalid(f"Share type {type_id} is still in use: {obstacle}.")
    try:
        conn.execute(sa.delete(share_types).where(share_types.c.id == type_id))
    except IntegrityError:  # something of it was made in between
        raise Invalid(f"Share type {type_id} is still in use.") from None
    quota_usages.forget_share_type(conn, type_id)


def _obstacle(conn: Connection, type_id: str) -> str | None:
    """Why a type cannot be deleted, if so."""
    shares_of_it = sa.select(share_instances.c.id).where(share_instances.c.share_type_id == type_id)
    if conn.execute(shares_of_it.limit(1)).first():
        return "shares of it are present"
    mappings = share_group_type_share_type_mappings
    groups = sa.select(share_group_types.c.name).join(mappings)
    group_type = conn.scalar(groups.where(mappings.c.share_type_id == type_id).limit(1))
    return f"share group type {group_type} holds it" if group_type else None


def set_extra_specs(
    conn: Connection, caller: Caller, type_id: str, extra_specs: Mapping[str, str]
) -> None:
    """Add extra specs, or change those that are there. Raises Missing, Invalid."""
    get(conn, caller, type_id)
    KIND.lock(conn, type_id)  # who else changes the same one waits
    check_extra_specs(extra_specs)
    _require_what_specs_need({**specs_of(conn, type_id), **extra_specs})
    KIND.set_specs(conn, type_id, _stored(extra_specs))


def get_extra_spec(conn: Connection, caller: Caller, type_id: str, key: str) -> str:
    """The value of one extra spec. Raises Missing (type or key)."""
    specs: dict[str, str] = get(conn, caller, type_id)["extra_specs"]
    if key not in specs:
        raise _no_spec(type_id, key)
    return specs[key]


def delete_extra_spec(
    conn: Connection,
    caller: Caller,
    type_id: str,
    key: str,
    *,
    kept: Collection[str] = (HANDLES_SERVERS,),
) -> None:
    """Delete one extra spec. Raises Missing (type or key), Forbidden for one of `kept`."""
    get(conn, caller, type_id)
    if key in kept:
        raise Forbidden(f"Extra spec '{key}' can't be deleted.")
    if not KIND.delete_spec(conn, type_id, key):
        raise _no_spec(type_id, key)


def _require_what_specs_need(extra_specs: Mapping[str, str]) -> None:
    """Raises Invalid for a type that chooses subnets of share servers and has no servers, or
    schedules snapshots and has none."""
    if EXPORT_FAMILY in extra_specs and not _boolean(extra_specs[HANDLES_SERVERS]):
        raise Invalid(
            f"Invalid extra_spec: {EXPORT_FAMILY}: it chooses subnets of share servers, and the "
            f"type has {HANDLES_SERVERS}=False."
        )
    if SNAPSHOT_SCHEDULE in extra_specs and not _boolean(extra_specs.get(SNAPSHOT_SUPPORT, "")):
        raise Invalid(
            f"Invalid extra_spec: {SNAPSHOT_SCHEDULE}: the type needs {SNAPSHOT_SUPPORT}=True."
        )
    if SNAPSHOT_SCHEDULE in extra_specs and BACKUP_SCHEDULE in extra_specs:
        raise Invalid(
            f"Invalid extra_spec: {SNAPSHOT_SCHEDULE} and {BACKUP_SCHEDULE} exclude each other: a "
            "share with snapshots is not backed up."
        )


def check_extra_specs(extra_specs: Mapping[str, str]) -> None:
    """Raises Invalid for the first invalid key or value."""
    for key, value in extra_specs.items():
        check_spec("extra_spec", key, value)
        if key in BOOLEAN_SPECS and _boolean(value) is None:
            raise Invalid(f"Invalid extra_spec: {key}={value}: a boolean is needed.")
        if key in SIZE_SPECS and not (value.isascii() and value.isdigit() and int(value) > 0):
            raise Invalid(
                f"Invalid extra_spec: {key}={value}: a whole number greater than 0 is needed."
            )
        if key == AVAILABILITY_ZONES and not all(zones(value)):
            raise Invalid(
                f"Invalid extra_spec: {key}={value}: must be names of zones with commas between "
                "them."
            )
        if key == REPLICATION_TYPE and value not in REPLICATION_TYPES:
            raise Invalid(
                f"Invalid extra_spec: {key}={value}: must be one of {', '.join(REPLICATION_TYPES)}."
            )
        if key.startswith(_OWN_SCOPE) and key not in _OWN:
            raise Invalid(
                f"Invalid extra_spec: {key}: there is no such extra spec; known are "
                f"{', '.join(_OWN)}."
            )
        if key == EXPORT_FAMILY and value not in FAMILIES:
            raise Invalid(
                f"Invalid extra_spec: {key}={value}: must be one of {', '.join(FAMILIES)}."
            )
        if key == MOUNT_POINT_PREFIX:
            _check_prefix(value)
        if key in (SNAPSHOT_SCHEDULE, BACKUP_SCHEDULE):
            _check_schedule(key, value)
    try:
        nfs_specs(extra_specs)
    except Refused as refusal:
        raise Invalid(f"Invalid extra_spec: {refusal.message}") from refusal


def _check_prefix(text: str) -> None:
    if not _PREFIX.fullmatch(text.replace(PROJECT_IN_PREFIX, "")):
        raise Invalid(
            f"Invalid extra_spec: {MOUNT_POINT_PREFIX}={text}: letters, digits, _ and - are "
            f"possible, at most 100, and {PROJECT_IN_PREFIX}."
        )


def _check_schedule(key: str, text: str) -> None:
    try:
        snapshot_plans.parse(text)
    except ValueError as error:
        raise Invalid(f"Invalid extra_spec: {key}={text}: {error}.") from None


def _boolean(value: str) -> bool | None:
    parsed = strutils.bool_from_string(value.removeprefix("<is>").strip(), default=None)
    return parsed if isinstance(parsed, bool) else None


def _has(specs: Mapping[str, str], key: str, value: str) -> bool:
    if key == AVAILABILITY_ZONES:  # a type without zones may be used in all
        return key not in specs or set(zones(value)) <= set(zones(specs[key]))
    return specs.get(key, "").lower() == value.lower()


def zones(text: str) -> list[str]:
    """The names in a list of zones, `az1, az 2`; an empty name where nothing is between two
    commas."""
    return [name.strip() for name in text.split(",")]


def _no_spec(type_id: str, key: str) -> Missing:
    return Missing(f"Share Type {type_id} has no extra spec with key {key}.")


def _stored(extra_specs: Mapping[str, str]) -> dict[str, str]:
    return {
        key: ",".join(zones(value)) if key == AVAILABILITY_ZONES else value
        for key, value in extra_specs.items()
    }


def _views(conn: Connection, caller: Caller, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Two statements, however many types."""
    rows = [dict(row) for row in conn.execute(query).mappings()]
    specs: dict[str, dict[str, str]] = defaultdict(dict)
    chosen = sa.select(share_type_extra_specs).order_by(share_type_extra_specs.c.spec_key)
    if len(rows) == 1:
        chosen = chosen.where(share_type_extra_specs.c.share_type_id == rows[0]["id"])
    for spec in conn.execute(chosen):
        if caller.is_admin or spec.spec_key in TENANT_VISIBLE:
            specs[spec.share_type_id][spec.spec_key] = spec.spec_value
    for row in rows:
        row["extra_specs"] = specs[row["id"]]
        row["required_extra_specs"] = {HANDLES_SERVERS: row["extra_specs"].get(HANDLES_SERVERS)}
    return rows


_SORT_KEYS = {
    name: share_types.c[name]
    for name in ("id", "name", "description", "is_public", "created_at", "updated_at")
}
