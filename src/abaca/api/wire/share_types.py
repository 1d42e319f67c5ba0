"""Share types over the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.wire import bodies
from abaca.api.wire.bodies import Body, RequiredText, Text
from abaca.api.wire.fields import Field, View
from abaca.api.wire.schemas import FLAG, MAP, TEXT, TEXTS_OR_NULLS
from abaca.errors import Invalid

# What callers other than administrators see for types that do not say: they cannot see what a back
# end would do.
_INFERRED = dict.fromkeys(
    (
        "snapshot_support",
        "create_share_from_snapshot_support",
        "revert_to_snapshot_support",
        "mount_snapshot_support",
    ),
    "False",
)


_INFERRED_SINCE_99 = {**_INFERRED, "snapshot_inherit_share_access_support": "False"}


def _with_inferred(extra_specs: dict[str, str]) -> dict[str, str]:
    return _INFERRED | extra_specs


def _with_inferred_since_99(extra_specs: dict[str, str]) -> dict[str, str]:
    return _INFERRED_SINCE_99 | extra_specs


SHARE_TYPE = View(
    "ShareType",
    Field("id", type=TEXT),
    Field("name"),
    Field("description", since=41),
    Field("os-share-type-access:is_public", "is_public", until=6, type=FLAG),
    Field("share_type_access:is_public", "is_public", since=7, type=FLAG),
    Field("is_default", since=46, type=FLAG),
    Field("extra_specs", admin=True, type=MAP),
    Field("extra_specs", until=23, admin=False, type=MAP),
    Field("extra_specs", convert=_with_inferred, since=24, until=98, admin=False, type=MAP),
    Field("extra_specs", convert=_with_inferred_since_99, since=99, admin=False, type=MAP),
    Field("required_extra_specs", type=TEXTS_OR_NULLS),
)


class ShareTypeCreate(Body):
    """`{"share_type": …}` of a new type; `volume_type` is taken in its place."""

    name: str | None = None
    description: Text | None = None
    extra_specs: dict[str, Any] | None = None
    is_public: Any = msgspec.field(name="share_type_access:is_public", default=msgspec.UNSET)
    old_is_public: Any = msgspec.field(name="os-share-type-access:is_public", default=msgspec.UNSET)

    @property
    def wanted_is_public(self) -> bool | None:
        """By either name, at any version: clients send one of them to all. None: not given."""
        return _one_of(self.is_public, self.old_is_public)


class ShareTypeUpdate(Body):
    """`{"share_type": …}` of a change."""

    name: str | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    is_public: Any = msgspec.field(name="share_type_access:is_public", default=msgspec.UNSET)
    old_is_public: Any = msgspec.field(name="os-share-type-access:is_public", default=msgspec.UNSET)

    @property
    def wanted_is_public(self) -> bool | None:
        """As in ShareTypeCreate."""
        return _one_of(self.is_public, self.old_is_public)


class ProjectAccess(Body):
    """Arguments of addProjectAccess and removeProjectAccess."""

    project: RequiredText


def _one_of(*given: Any) -> bool | None:
    """The boolean given under one or two names. Raises Invalid if they differ, or if it is not a
    boolean."""
    values = {bodies.boolean(value) for value in given if value is not msgspec.UNSET}
    if len(values) > 1:
        raise Invalid(
            "share_type_access:is_public and os-share-type-access:is_public contradict each "
            "other: give one of them."
        )
    return values.pop() if values else None


def type_name(name: str | None, noun: str = "share type") -> str:
    """A type's name. Raises Invalid unless it has 1 to 255 characters that are not all blanks."""
    if not name or not name.strip() or len(name) > 255:
        raise Invalid(f"The name of a {noun} must have 1 to 255 characters and must not be blank.")
    return name


def spec_texts(specs: dict[str, Any], kind: str = "extra_spec") -> dict[str, str]:
    """Specs as they are stored: text, whatever JSON had (`true` becomes `True`). Raises Invalid for
    null, lists and objects."""
    for key, value in specs.items():
        if not isinstance(value, str | int | float):
            raise Invalid(f"Invalid {kind}: the value of {key} is not text.")
    return {key: str(value) for key, value in specs.items()}


def one_spec(body: Any, key: str) -> dict[str, Any]:
    """The body of a request that sets the spec `key`: that spec only. Raises Invalid."""
    if not isinstance(body, dict) or key not in body:
        raise Invalid("Request body and URI mismatch")
    if len(body) > 1:
        raise Invalid("Request body contains too many items")
    return body
