"""What shares of a type support, as their extra specs say it when the share is made: a share keeps
it, whatever becomes of its type."""

from __future__ import annotations

from collections.abc import Mapping

from abaca.scheduler.specs import wants_true

_TRUE = frozenset({"true", "<is> true", "1", "yes", "on", "t", "y"})
_SUPPORTS = (
    "snapshot_support",
    "create_share_from_snapshot_support",
    "revert_to_snapshot_support",
    "mount_snapshot_support",
)


def of_type(specs: Mapping[str, str]) -> dict[str, bool | None]:
    """The columns of `shares` that go by the type's extra specs; None: the spec is absent, and that
    means something else than False."""
    inherits = "snapshot_inherit_share_access_support"
    return {name: is_true(specs.get(name)) for name in _SUPPORTS} | {
        inherits: wants_true(specs.get(inherits))
    }


def is_true(value: str | None) -> bool:
    """Whether the value of an extra spec means true; one that is not there does not."""
    return (value or "").lower() in _TRUE
