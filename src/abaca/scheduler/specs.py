"""Does a pool's value satisfy an extra spec? The operators of share types, on top of oslo.utils'
specs_matcher.

An extra spec is text: an operator with its operands (`>= 5`, `s== fast`, `<in> gcc`, `<or> a <or>
b`, `<is> True`) or a plain value, which must be equal. Booleans are equal in any spelling. What a
pool does not report counts as False, so `<is> False` holds for it. Which keys are compared with
what is not here: see `filters/capabilities.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from oslo_utils import specs_matcher, strutils

from abaca.values import Pool

SHOWN_CAPABILITIES = frozenset(
    {
        "snapshot_support",
        "create_share_from_snapshot_support",
        "revert_to_snapshot_support",
        "mount_snapshot_support",
        "snapshot_inherit_share_access_support",
        "export_subnets_support",
        "mount_point_name_support",
    }
)
"""Those that tenants see in their share types; all others are between operators and back ends."""

_IS = "<is>"
_OPERATORS = tuple(specs_matcher.op_methods)
_SCOPE = "capabilities"


def satisfies(value: object, spec: str) -> bool:
    """`value`: what the pool reports: text, number, boolean, None (not reported), or a list of
    these, of which one must fit."""
    if isinstance(value, list | tuple):
        return any(satisfies(item, spec) for item in value)
    if value is None:
        return _boolean(spec.removeprefix(_IS)) is False
    return _compare(str(value), spec.strip())


def wants_true(spec: str | None) -> bool | None:
    """What a boolean extra spec asks for (`<is> True`, `true`, …); None when it is absent or not a
    boolean."""
    return None if spec is None else _boolean(spec.strip().removeprefix(_IS))


def wanted_capabilities(extra_specs: Mapping[str, str]) -> dict[str, str]:
    """The extra specs that speak of pools, by capability: unscoped keys and those of the scope
    `capabilities:`.

    Keys of other scopes (`provisioning:…`, a vendor's) are for drivers.
    """
    wanted = {}
    for key, spec in extra_specs.items():
        scope, colon, name = key.partition(":")
        if not colon:
            wanted[key] = spec
        elif scope == _SCOPE:
            wanted[name] = spec
    return wanted


def reported(pool: Pool, name: str) -> object:
    """What a pool says of a capability, its capacities included; None when it says nothing. `a:b`
    looks for b in the mapping a."""
    stats = pool.stats
    own: dict[str, object] = {
        "share_backend_name": pool.host.backend,
        "pool_name": stats.pool_name,
        "total_capacity_gb": stats.total_capacity_gb,
        "free_capacity_gb": stats.free_capacity_gb,
        "allocated_capacity_gb": pool.allocated_capacity_gb,
        "provisioned_capacity_gb": pool.allocated_capacity_gb + stats.snapshot_capacity_gb,
        "reserved_percentage": stats.reserved_percentage,
        "max_over_subscription_ratio": stats.max_over_subscription_ratio,
        "thin_provisioning": stats.thin_provisioning,
    }
    value: object = own | stats.capabilities
    for part in name.split(":"):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


@lru_cache(maxsize=4096)
def _compare(value: str, spec: str) -> bool:
    """Cached, because a grammar is built and run for each operator: half a millisecond, times
    pools, times extra specs."""
    if spec.startswith(_IS):
        return _boolean(spec.removeprefix(_IS)) is (_boolean(value) is True)
    if spec.startswith(_OPERATORS):
        try:
            return bool(specs_matcher.match(value, spec))
        except (
            ValueError,
            TypeError,
            SyntaxError,
        ):  # a number compared with text, an operator without operands
            return False
    wanted = _boolean(spec)
    return value == spec or (wanted is not None and wanted is _boolean(value))


def _boolean(text: str) -> bool | None:
    """True and False in the spellings that the field accepts, None for any other text. Digits are
    numbers here, not booleans."""
    text = text.strip()
    if text.isdigit():
        return None
    parsed = strutils.bool_from_string(text, default=None)
    return parsed if isinstance(parsed, bool) else None
