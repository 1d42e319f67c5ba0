"""Names that shares have in their export paths in place of an id: a prefix that the share type
says, and what the caller asked for. The whole is what is stored, and no two shares have the same.

The prefix names the project unless an administrator has set another one, so that names of one
project are in no other's way, and are no news to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from abaca.db.tables import shares
from abaca.domain.share_types import share_types
from abaca.errors import Conflict, Invalid
from abaca.scheduler.specs import wants_true

_DEFAULT_PREFIX = f"{share_types.PROJECT_IN_PREFIX}_"
_NAME = re.compile("[A-Za-z0-9_-]{1,255}")


def whole(name: str | None, specs: Mapping[str, str], project_id: str) -> str | None:
    """The name in the path of a share of a type with these extra specs; None for none. Raises
    Invalid."""
    if not name:
        return None
    if not wants_true(specs.get(share_types.MOUNT_POINT_NAME_SUPPORT)):
        raise Invalid(
            "The share type has no mount point names: it needs the extra spec "
            f"{share_types.MOUNT_POINT_NAME_SUPPORT}=True."
        )
    prefix = specs.get(share_types.MOUNT_POINT_PREFIX, _DEFAULT_PREFIX)
    found = prefix.replace(share_types.PROJECT_IN_PREFIX, project_id) + name
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(found):
        raise Invalid(
            "Invalid mount_point_name: letters, digits, _ and - are possible, with the prefix at "
            f"most 255; the whole name would be {found[:300]!r}."
        )
    if _is_id(found):
        raise Invalid(f"Invalid mount_point_name: {found} could be the id of another share.")
    return found


def insert(conn: Connection, name: str | None, **values: Any) -> None:
    """Insert the row of a share by that whole name. Raises Conflict if another share has it."""
    try:
        conn.execute(sa.insert(shares).values(mount_point_name=name, **values))
    except IntegrityError:
        if name is None:
            raise
        raise Conflict(f"The mount point name {name} is in use: choose another one.") from None


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True
