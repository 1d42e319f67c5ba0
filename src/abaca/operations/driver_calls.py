"""Calls of drivers as functions for `effect`: those that need the security services of a share
server, and one that needs parts of a value.

Clear passwords are loaded when the call is made, inside its step: results of steps are stored,
arguments of calls are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from abaca.domain.network_changes import share_server_networks
from abaca.domain.network_changes.share_server_networks import NetworkChange
from abaca.domain.share_networks import security_services
from abaca.drivers.interface import ShareDriver
from abaca.operations import serving
from abaca.values import (
    AccessRule,
    AccessUpdate,
    ExportLocation,
    NetworkInfo,
    SecurityService,
    ServerUpdate,
    Share,
    ShareServer,
    Snapshot,
    SnapshotUpdate,
    Subnet,
)
from abaca.workflow.steps import read_within


def setup_server(host: str, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
    """As the driver's method, on the back end of `host`."""
    services = _services(server_id)
    return serving.current().driver(host).setup_server(server_id, _joined(network_info, services))


def ensure_server(
    host: str, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot]
) -> None:
    """As the driver's method, on the back end of `host`."""
    serving.current().driver(host).ensure_server(_with_services(server), shares, snapshots)


def update_access(
    host: str, share: Share, access_rules: Sequence[AccessRule], server: ShareServer | None
) -> AccessUpdate:
    """As the driver's method, on the back end of `host`; with where the share is exported, if that
    has changed."""
    driver = serving.current().driver(host)
    rejected = driver.update_access(share, access_rules, server)
    return AccessUpdate(rejected=rejected, export_locations=_moved(driver, share, server))


def update_snapshot_access(
    host: str, snapshot: Snapshot, server: ShareServer | None
) -> SnapshotUpdate:
    """As `enforce_snapshot_access`, when only the rules of the share have changed: their states are
    the share's."""
    update = enforce_snapshot_access(host, snapshot, server)
    return SnapshotUpdate(export_locations=update.export_locations)


def enforce_snapshot_access(
    host: str, snapshot: Snapshot, server: ShareServer | None
) -> AccessUpdate:
    """As the driver's `update_snapshot_access`, on the back end of `host`, with the rules that hold
    for the snapshot; with where it is exported, if that has changed."""
    driver = serving.current().driver(host)
    rejected = driver.update_snapshot_access(snapshot, snapshot.access_rules, server)
    return AccessUpdate(rejected=rejected, export_locations=_moved(driver, snapshot, server))


def delete_share(host: str, share: Share, server: ShareServer | None) -> None:
    """As the driver's method, on the back end of `host`; nothing for one that was never taken over:
    what is there by its id may be another's."""
    if share.size:
        serving.current().driver(host).delete_share(share, server)


def delete_snapshot(host: str, snapshot: Snapshot, server: ShareServer | None) -> None:
    """The same of `delete_snapshot`."""
    if snapshot.size:
        serving.current().driver(host).delete_snapshot(snapshot, server)


def unmanage_snapshot(host: str, snapshot: Snapshot, server: ShareServer | None) -> None:
    """The same of `unmanage_snapshot`."""
    if snapshot.size:
        serving.current().driver(host).unmanage_snapshot(snapshot, server)


def _moved(
    driver: ShareDriver, what: Share | Snapshot, server: ShareServer | None
) -> list[ExportLocation] | None:
    if not driver.capabilities.export_subnets_support:
        return None
    now = driver.export_locations(what, server)
    is_same = {each.path for each in now} == {each.path for each in what.export_locations}
    return None if is_same else now


def server_without_subnet(host: str, server_ids: list[str], subnet: Subnet) -> str | None:
    """Ask the driver of `host` whether these servers of one share network may get the subnet. The
    first that may not; None: all may."""
    wanted = read_within(
        serving.current().engine, share_server_networks.additions, server_ids, subnet
    )
    return _first_denied(host, wanted)


def server_that_keeps_subnet(host: str, server_ids: list[str], subnet_id: str) -> str | None:
    """Ask the driver of `host` whether these servers of one share network may give the share
    network subnet up. The first that may not; None: all may."""
    wanted = read_within(
        serving.current().engine, share_server_networks.removals, server_ids, subnet_id
    )
    return _first_denied(host, wanted)


def _first_denied(host: str, wanted: dict[str, NetworkChange]) -> str | None:
    """The first server of which the driver denies the change.

    Everything they are is read at once and kept nowhere: for hundreds of servers it is much, and an
    answer does not depend on another.
    """
    check = serving.current().driver(host).check_update_share_server_network_allocations
    services = _services(next(iter(wanted)))
    for server_id, change in wanted.items():
        asked = _joined_change(change, services)
        if not check(asked.network_info, asked.server_details, asked.shares, asked.snapshots):
            return server_id
    return None


def update_share_server_network_allocations(
    host: str, server_id: str, change: NetworkChange
) -> ServerUpdate:
    """As the driver's method, on the back end of `host`."""
    wanted = _joined_change(change, _services(server_id))
    update = serving.current().driver(host).update_share_server_network_allocations
    return update(wanted.network_info, wanted.server_details, wanted.shares, wanted.snapshots)


def check_update_share_server_security_service(
    host: str, server: ShareServer, shares: Sequence[Share], new_id: str, current_id: str
) -> bool:
    """As the driver's method, on the back end of `host`. `current_id` empty: the new one is
    added."""
    new, current = _named(new_id), _named(current_id)
    if new is None:
        return False  # deleted since it was asked about
    stay = [service for service in _services(server.id) if service.id != current_id]
    wanted = _with_services(server, [*stay, new])
    return (
        serving.current()
        .driver(host)
        .check_update_share_server_security_service(wanted, shares, new, current)
    )


def update_share_server_security_service(
    host: str, server: ShareServer, shares: Sequence[Share], new_id: str, current_id: str
) -> dict[str, str]:
    """As the driver's method, on the back end of `host`; the network's list holds the new service
    by now."""
    new, current = _named(new_id), _named(current_id)
    assert new is not None, "a service that a network uses is not deleted"
    return (
        serving.current()
        .driver(host)
        .update_share_server_security_service(_with_services(server), shares, new, current)
    )


def update_share_network_subnet_from_metadata(
    host: str, server: ShareServer, share_network_subnet_id: str, metadata: dict[str, str]
) -> None:
    """As the driver's method, on the back end of `host`."""
    serving.current().driver(host).update_share_network_subnet_from_metadata(
        _with_services(server), share_network_subnet_id, metadata
    )


def _services(server_id: str) -> list[SecurityService]:
    return read_within(
        serving.current().engine, security_services.of_server, serving.current().cipher, server_id
    )


def _named(security_service_id: str) -> SecurityService | None:
    return read_within(
        serving.current().engine,
        security_services.named,
        serving.current().cipher,
        security_service_id,
    )


def _with_services(
    server: ShareServer, services: list[SecurityService] | None = None
) -> ShareServer:
    services = _services(server.id) if services is None else services
    return msgspec.structs.replace(server, network_info=_joined(server.network_info, services))


def _joined_change(change: NetworkChange, services: list[SecurityService]) -> NetworkChange:
    update = change.network_info
    network_info = msgspec.structs.replace(
        update,
        current=_joined(update.current, services),
        added=_joined(update.added, services),
        removed=_joined(update.removed, services),
        security_services=services,
    )
    return msgspec.structs.replace(change, network_info=network_info)


def _joined(
    network_info: Sequence[NetworkInfo], services: list[SecurityService]
) -> list[NetworkInfo]:
    return [msgspec.structs.replace(entry, security_services=services) for entry in network_info]
