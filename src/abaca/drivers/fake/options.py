"""The options of a fake back end, which come as text.

=============================  ==================================================================================================
option                         meaning and default
=============================  ==================================================================================================
a capability's name            `true` or `false`; see `abaca.drivers.capabilities`. Several subnets, network updates, all of snapshots, IPv4,
                               IPv6: true
storage_protocols              separated by commas: `NFS`
pools                          `name:total_gib`, separated by commas: `fake:1000`
reserved_percentage            `0`
thin_provisioning              `false`
max_over_subscription_ratio    `1.0`
network_allocations_number     addresses a subnet: `1`
state_file                     where the world is kept; without it, in memory
fault_plan                     see `abaca.drivers.fake.faults`
delay_ms, delay_<method>_ms    how long each call about a server or a share (one method) takes: `0`
=============================  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from abaca.drivers.capabilities import Capabilities
from abaca.drivers.interface import ShareDriver
from abaca.errors import Unavailable

T = TypeVar("T")

_DEFAULTS = Capabilities(
    share_server_multiple_subnet_support=True,
    network_allocation_update_support=True,
    security_service_update_support=True,
    snapshot_support=True,
    create_share_from_snapshot_support=True,
    revert_to_snapshot_support=True,
    mount_snapshot_support=True,
    ipv6_support=True,
)
_BOOLEANS = {"true": True, "false": False}
_METHODS = [name for name in vars(ShareDriver) if not name.startswith("_") and callable(getattr(ShareDriver, name))]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`pools`: total GiB by name. `delays`: seconds by method, `*` for the others."""

    capabilities: Capabilities
    pools: dict[str, float]
    reserved_percentage: int
    thin_provisioning: bool
    max_over_subscription_ratio: float
    network_allocations_number: int
    state_file: Path | None
    fault_plan: Path | None
    delays: dict[str, float]


_KNOWN = {name for struct in (Capabilities, Options) for name in struct.__struct_fields__} - {"capabilities", "delays"}


OPTIONS: Mapping[str, str] = dict.fromkeys(sorted(_KNOWN), "See abaca.drivers.fake.options.") | {
    f"delay_{name}ms": "Milliseconds that each call, or each call of one method, takes." for name in ("", *(f"{method}_" for method in _METHODS))
}
"""Every option's name, for the configuration file."""


def parse(options: Mapping[str, str]) -> Options:
    """Raises Unavailable, naming the option, when it is not known or its value makes no sense."""
    delayed = {f"delay_{method}_ms": method for method in _METHODS} | {"delay_ms": "*"}
    unknown = sorted(options.keys() - _KNOWN - delayed.keys())
    if unknown:
        raise Unavailable(f"The fake back end has no option {', '.join(unknown)}.")

    def get(name: str, convert: Callable[[str], T], default: T) -> T:
        text = options.get(name)
        if text is None or text == "":
            return default
        try:
            return convert(text.strip())
        except (ValueError, KeyError) as error:
            raise Unavailable(f"The option {name} of the fake back end cannot be '{text}'.") from error

    flags = {
        name: get(name, lambda text: _BOOLEANS[text.lower()], default)
        for name, default in msgspec.structs.asdict(_DEFAULTS).items()
        if isinstance(default, bool)
    }
    protocols = get("storage_protocols", lambda text: tuple(name.strip().upper() for name in text.split(",")), _DEFAULTS.storage_protocols)
    return Options(
        capabilities=Capabilities(storage_protocols=protocols, **flags),
        pools=get("pools", _pools, {"fake": 1000.0}),
        reserved_percentage=get("reserved_percentage", int, 0),
        thin_provisioning=get("thin_provisioning", lambda text: _BOOLEANS[text.lower()], False),
        max_over_subscription_ratio=get("max_over_subscription_ratio", float, 1.0),
        network_allocations_number=get("network_allocations_number", _count, 1),
        state_file=get("state_file", Path, None),
        fault_plan=get("fault_plan", Path, None),
        delays={method: get(name, lambda text: float(text) / 1000, 0.0) for name, method in delayed.items() if name in options},
    )


def _pools(text: str) -> dict[str, float]:
    pairs = [entry.strip().rpartition(":") for entry in text.split(",")]
    if any(not name for name, _, _ in pairs):
        raise ValueError(text)
    return {name: float(total) for name, _, total in pairs}


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)
