"""The tests of the suite about connected clients. They are part of `DriverConformance`; skipped for
drivers that cannot tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from abaca.drivers.conformance.handles import HandleConformance
from abaca.drivers.conformance.stage import Stage, client_on, need, rule, shown
from abaca.drivers.interface import MOST_CLIENTS, ShareDriver
from abaca.errors import BackendError
from abaca.values import Client, Clients, ShareServer

GONE_SECONDS = 60.0


class ClientConformance(HandleConformance):
    """What a driver that tells who is connected must do."""

    def test_a_server_without_clients_has_none(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        stage.share(server)
        assert _clients(stage.driver, server) == Clients(listed=[])

    def test_clients_of_a_server_that_is_not_there_cannot_be_told(self, stage: Stage) -> None:
        _clients(stage.driver, stage.server())
        with pytest.raises(BackendError):
            stage.driver.get_clients(stage.described())

    def test_a_client_is_told_while_it_is_connected(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        other, share = stage.server(), stage.share(server)
        assert _clients(stage.driver, other).listed == []
        entries = {entry.subnet.ip_version: entry for entry in server.network_info}
        clients = {version: client_on(entry) for version, entry in entries.items()}
        stage.driver.update_access(share, [rule(client) for client in clients.values()], server)
        for location in shown(share.export_locations):
            assert location.ip_version
            entry = entries[location.ip_version]
            address = clients[location.ip_version]
            with self.nfs_client(stage.driver, location, address, entry):
                told = _clients(stage.driver, server)
                assert told.is_complete and len(told.listed) <= MOST_CLIENTS
                ours = [client for client in told.listed if client.address == address]
                assert [client.server_address for client in ours] == [
                    entry.network_allocations[0].ip_address
                ]
            assert _eventually(lambda: _clients(stage.driver, server).listed == [])
        assert _clients(stage.driver, other).listed == []


def _clients(driver: ShareDriver, server: ShareServer) -> Clients:
    clients = driver.get_clients(server)
    need(clients is not None, "the list of connected clients")
    assert clients is not None
    assert all(_is_well_formed(client) for client in clients.listed), clients
    return clients


def _is_well_formed(client: Client) -> bool:
    assert str(ip_address(client.address)) == client.address
    assert str(ip_address(client.server_address)) == client.server_address
    counts = [client.connections, client.idle_seconds]
    for files in (client.open_files or {}).values():
        counts += [files.files, files.locks]
    return all(count is None or count >= 0 for count in counts)


def _eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + GONE_SECONDS
    while not (so := is_so()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return so
