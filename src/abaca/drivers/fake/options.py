"""The options of a fake back end, which come as text: what they mean and what they are by default.
What is shown of them is `OPTIONS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import msgspec

from abaca.drivers.capabilities import Capabilities
from abaca.drivers.interface import ShareDriver
from abaca.errors import Unavailable
from abaca.plugin_options import Option

T = TypeVar("T")

_DEFAULTS = Capabilities(
    share_server_multiple_subnet_support=True,
    network_allocation_update_support=True,
    share_server_subnet_removal_support=True,
    security_service_update_support=True,
    snapshot_support=True,
    create_share_from_snapshot_support=True,
    revert_to_snapshot_support=True,
    mount_snapshot_support=True,
    consistent_snapshot_support=True,
    mount_point_name_support=True,
    export_subnets_support=True,
    backup_support=True,
    ipv6_support=True,
)
_BOOLEANS = {"true": True, "false": False}
_METHODS = [
    name
    for name in vars(ShareDriver)
    if not name.startswith("_") and callable(getattr(ShareDriver, name))
]


SERVERLESS = "192.0.2.1"
"""Where a back end without share servers would be reached: an address for documentation."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`pools`: total GiB by name. `delays`: seconds by method, `*` for the others."""

    capabilities: Capabilities
    pools: dict[str, float]
    reserved_percentage: int
    thin_provisioning: bool
    max_over_subscription_ratio: float
    network_allocations_number: int
    admin_only_export_locations: bool
    export_addresses: list[str]
    shared_storage: bool
    stands_on: str
    state_file: Path | None
    fault_plan: Path | None
    delays: dict[str, float]


_CAPABILITIES = {
    "driver_handles_share_servers": "it makes share servers, one for each share network",
    "share_server_multiple_subnet_support": "a share server can be made on several subnets",
    "network_allocation_update_support": "a share server in use can get another subnet",
    "share_server_subnet_removal_support": "a share server in use can give a subnet up",
    "security_service_update_support": "a share server in use can get another security service",
    "snapshot_support": "shares can have snapshots",
    "create_share_from_snapshot_support": "shares can be made from snapshots",
    "revert_to_snapshot_support": "shares can be reverted to their newest snapshot",
    "mount_snapshot_support": "snapshots can be mounted",
    "consistent_snapshot_support": "several shares can have snapshots of one instant",
    "mount_point_name_support": "shares can have a name of their own in their export paths",
    "revert_keeps_mounts": "clients of a share that is reverted need not mount it again",
    "export_subnets_support": "a share can be exported on some of its share server's subnets only",
    "backup_support": "backups of shares can be made, restored and deleted",
    "ipv4_support": "it serves IPv4 subnets",
    "ipv6_support": "it serves IPv6 subnets",
}

OPTIONS: Mapping[str, Option] = {
    **{
        name: Option(
            f"Whether the back end says that {text}: true or false.",
            str(getattr(_DEFAULTS, name)).lower(),
        )
        for name, text in _CAPABILITIES.items()
    },
    "storage_protocols": Option(
        "Protocols of the shares, separated by commas: NFS, CIFS, GLUSTERFS. Shares of CIFS take "
        "access rules of the types ip and user, of GLUSTERFS ip and cert, others ip.",
        ",".join(_DEFAULTS.storage_protocols),
    ),
    "pools": Option(
        "Pools and their sizes in GiB, separated by commas: fast:100, slow:2000.", "fake:1000"
    ),
    "reserved_percentage": Option("Part of each pool that new shares leave free, in percent.", "0"),
    "thin_provisioning": Option(
        "Whether only what shares hold, not their size, takes room in a pool: true or false.",
        "false",
    ),
    "max_over_subscription_ratio": Option(
        "How many times the size of a pool may be promised, 1 or more; with thin_provisioning.",
        "1.0",
    ),
    "network_allocations_number": Option(
        "Addresses of a share server on each of its subnets, 1 or more.", "1"
    ),
    "admin_only_export_locations": Option(
        "Whether shares and snapshots have an export location that only administrators see, too: "
        "true or false.",
        "false",
    ),
    "export_addresses": Option(
        "Addresses under which the shares of a back end without share servers would be reached, "
        "separated by commas. Shares follow when the worker starts.",
        SERVERLESS,
    ),
    "shared_storage": Option(
        "Whether workers on several hosts may serve the back end, all with the same state_file: "
        "true or false.",
        "false",
    ),
    "stands_on": Option(
        "With shared_storage: what this host is called in what the back end keeps.", ""
    ),
    "state_file": Option(
        "File that keeps what the back end holds. By default one of its own below worker in the "
        "state directory of the service."
    ),
    "fault_plan": Option(
        "File with the errors, delays and deaths that the back end is to show, as JSON. By "
        "default there are none."
    ),
    "delay_ms": Option(
        "Milliseconds that each call about a share server, share or snapshot takes.", "0"
    ),
    **{
        f"delay_{method}_ms": Option(
            f"Milliseconds that each call of {method} takes, instead of delay_ms."
        )
        for method in _METHODS
    },
}


def parse(options: Mapping[str, str]) -> Options:
    """Raises Unavailable, naming the option, when it is not known or its value makes no sense."""
    delayed = {f"delay_{method}_ms": method for method in _METHODS} | {"delay_ms": "*"}
    unknown = sorted(options.keys() - OPTIONS.keys())
    if unknown:
        raise Unavailable(f"The fake back end has no option {', '.join(unknown)}.")

    def get(name: str, convert: Callable[[str], T], default: T) -> T:
        text = options.get(name)
        if text is None or text == "":
            return default
        try:
            return convert(text.strip())
        except (ValueError, KeyError) as error:
            raise Unavailable(
                f"The option {name} of the fake back end cannot be '{text}'."
            ) from error

    flags = {
        name: get(name, _boolean, default)
        for name, default in msgspec.structs.asdict(_DEFAULTS).items()
        if isinstance(default, bool)
    }
    protocols = get(
        "storage_protocols",
        lambda text: tuple(name.strip().upper() for name in text.split(",")),
        _DEFAULTS.storage_protocols,
    )
    return Options(
        capabilities=Capabilities(storage_protocols=protocols, **flags),
        pools=get("pools", _pools, {"fake": 1000.0}),
        reserved_percentage=get("reserved_percentage", int, 0),
        thin_provisioning=get("thin_provisioning", _boolean, False),
        max_over_subscription_ratio=get("max_over_subscription_ratio", float, 1.0),
        network_allocations_number=get("network_allocations_number", _count, 1),
        admin_only_export_locations=get("admin_only_export_locations", _boolean, False),
        export_addresses=get("export_addresses", _addresses, [SERVERLESS]),
        shared_storage=get("shared_storage", _boolean, False),
        stands_on=get("stands_on", str, ""),
        state_file=get("state_file", Path, None),
        fault_plan=get("fault_plan", Path, None),
        delays={
            method: get(name, lambda text: float(text) / 1000, 0.0)
            for name, method in delayed.items()
            if name in options
        },
    )


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


def _pools(text: str) -> dict[str, float]:
    pairs = [entry.strip().rpartition(":") for entry in text.split(",")]
    if any(not name for name, _, _ in pairs):
        raise ValueError(text)
    return {name: float(total) for name, _, total in pairs}


def _addresses(text: str) -> list[str]:
    return [str(ip_address(address.strip())) for address in text.split(",")]


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)
