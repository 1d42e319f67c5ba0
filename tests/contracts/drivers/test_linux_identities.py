"""A client's sessions, state and name are its own: another client of the same share server, with a
rule of its own, can neither use nor end them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Event

import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.file_services.nfs.nfs4 import (
    Nfs4Error,
    Operation,
    getattr,
    getfh,
    lookup,
    putfh,
    read,
)
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.port_rules import link_local
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served, path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, Client41, OpenFile, patiently
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(8)]

SERVER = ("10.0.0.5", "fd00::5")
OTHER = ("10.0.0.66/24", "fd00::66/64")
MAC = "02:00:00:00:00:77"
LEASE_AND_MORE = 60.0  # seconds; the lease is ten


class Scene:
    """A client that holds a lock, by version 4.1, and another one that knows all that can be known
    of it."""

    def __init__(self, site: Site) -> None:
        self.server = site.server(*BOTH)
        self.share = site.share(self.server)
        self.own, self.others = (
            site.client("client", "net", *CLIENT),
            site.client("other", "net", *OTHER),
        )
        self.victim = Client41(self.own, SERVER[0])
        self.victim.establish()
        self.file = self.locked(self.victim)
        self.attacker = Client41(self.others, SERVER[0])

    def root_of(self, client: Client40 | Client41) -> bytes:
        return client.handle_of(path(self.share).split(":", 1)[1])

    def locked(self, client: Client40 | Client41) -> OpenFile:
        file = patiently(lambda: client.open(self.root_of(client), "file", create=True))
        client.lock(file)
        return file

    def is_unharmed(self) -> bool:
        """The victim's session goes on where it was, and the file is locked by it."""
        self.victim.renew()
        with Client41(self.others, SERVER[0]) as third:
            file = patiently(lambda: third.open(self.root_of(third), "file"))
            with pytest.raises(Nfs4Error, match="DENIED"):
                third.lock(file)
        self.victim.write(self.file, 0, b"still its own")
        return True


@pytest.fixture
def scene(site: Site) -> Iterator[Scene]:
    scene = Scene(site)
    yield scene
    for client in (scene.victim, scene.attacker):
        client.link.link.close()


def errors_of(client: Client40 | Client41, *operations: Operation) -> str:
    """How it is refused."""
    with pytest.raises(Nfs4Error) as refused:
        client.compound(operations)
    return refused.value.name


def test_a_session_is_used_and_ended_by_its_own_client_only(scene: Scene) -> None:
    session, number = scene.victim.session, scene.victim._sequence
    for operation in (
        *(ops.sequence(session, number + step) for step in (0, 1, 2)),
        ops.bind_conn_to_session(session),
        ops.destroy_session(session),
    ):
        assert errors_of(scene.attacker, operation) == "BADSESSION"
    assert scene.is_unharmed()


def test_nor_behind_a_sequence_of_ones_own(scene: Scene) -> None:
    """Operations of every shape are before it."""
    attacker = scene.attacker
    attacker.establish()
    root = scene.root_of(attacker)
    before = [
        putfh(root),
        ops.access(),
        ops.savefh(),
        ops.readdir("fileid"),
        getfh(),
        lookup("file"),
        read(0, 100),
        getattr("size"),
    ]
    for bad in (
        ops.destroy_session(scene.victim.session),
        ops.destroy_clientid(scene.victim.client_id),
    ):
        with pytest.raises(Nfs4Error, match=r"(BADSESSION|STALE_CLIENTID) for operation 9"):
            attacker.run(*before, bad)
    assert scene.is_unharmed()


def test_a_clients_number_is_of_no_use_to_others(scene: Scene) -> None:
    assert (
        errors_of(scene.attacker, ops.create_session(scene.victim.client_id, 2)) == "STALE_CLIENTID"
    )
    assert (
        errors_of(scene.attacker, ops.destroy_clientid(scene.victim.client_id)) == "STALE_CLIENTID"
    )
    assert scene.is_unharmed()


@pytest.mark.parametrize("address", SERVER)
def test_nobody_takes_over_a_client_by_its_name(scene: Scene, address: str) -> None:
    for verifier in (scene.victim.verifier, b"restarts"):
        impostor = Client41(scene.others, address, name=scene.victim.name.decode())
        impostor.verifier = verifier
        impostor.establish()
        assert impostor.client_id != scene.victim.client_id
        impostor.link.link.close()
    assert scene.is_unharmed()


def test_state_of_version_40_is_its_own_clients_too(scene: Scene) -> None:
    scene.victim.link.link.close()
    victim, attacker = Client40(scene.own, SERVER[0]), Client40(scene.others, SERVER[0])
    victim.establish()
    attacker.establish()
    root = scene.root_of(victim)
    file = patiently(lambda: victim.open(root, "of version 4.0", create=True))
    victim.lock(file)
    assert errors_of(attacker, ops.renew(victim.client_id)) == "EXPIRED"
    for end in (ops.close(file.stateid, file.seqid + 1), ops.locku(file.locks[0].stateid, seqid=1)):
        # NFS-Ganesha says of a file that it does not know that it is closed
        with contextlib.suppress(Nfs4Error):
            attacker.compound([putfh(file.handle), end])
    impostor = Client40(scene.others, SERVER[0], name=victim.name.decode())
    impostor.establish()
    assert impostor.client_id != victim.client_id
    victim.renew()
    victim.unlock(file, file.locks[0])
    victim.close(file)
    for client in (victim, attacker, impostor):
        client.link.link.close()


def test_locks_of_a_client_that_says_it_is_gone_go_with_its_lease(scene: Scene) -> None:
    """NFS-Ganesha 4.3 would forget the client at once and keep its locks for good."""
    victim = scene.victim
    victim.compound([ops.destroy_session(victim.session)])
    assert errors_of(victim, ops.destroy_clientid(victim.client_id)) == "STALE_CLIENTID"
    with Client41(scene.others, SERVER[0]) as other:
        file = patiently(lambda: other.open(scene.root_of(other), "file"))

        def is_free() -> bool:
            try:
                other.lock(file)
            except Nfs4Error as error:
                assert error.name == "DENIED"
                return False
            return True

        wait_for(is_free, LEASE_AND_MORE)


def test_a_client_reclaims_after_a_restart_under_the_name_that_it_had(
    scene: Scene, site: Site
) -> None:
    linux_backend.stop_serving(site.driver, scene.server)
    assert site.driver.restart_server(scene.server.id)
    scene.victim.reconnect()
    scene.victim.recover()
    assert scene.is_unharmed()
    assert_served(scene.own, scene.share)


def test_an_identity_that_comes_in_pieces_is_read_as_one(scene: Scene) -> None:
    """Byte by byte. It is refused, or the connection ends."""
    asked = scene.attacker.asked(ops.destroy_session(scene.victim.session))
    with contextlib.suppress(OSError):
        for byte in asked:
            scene.attacker.link.send(bytes([byte]))
            Event().wait(0.002)
        scene.attacker.link.receive()
    assert scene.is_unharmed()


def test_a_link_local_address_on_another_network_is_another_machines(site: Site) -> None:
    """Whoever has the same MAC address there has the same address."""
    server = site.server(("one", "fd01::5/64"), ("two", "fd02::5/64"))
    site.share(server)
    clients: list[Client41] = []
    for number, network in enumerate(("one", "two"), start=1):
        netns = site.client(f"client{number}", network, f"10.{number}.0.20/24", mac=MAC)
        (interface,) = plugging.ports_in(netns)
        sends_to(netns, f"fd0{number}::/64", interface)
        clients.append(connected(netns, f"fd0{number}::5"))
    found = site.driver.get_clients(server)
    assert found and [client.address for client in found.listed] == 2 * [link_local(MAC)]
    victim, attacker = clients
    victim.establish()
    assert errors_of(attacker, ops.sequence(victim.session, 2)) == "BADSESSION"
    victim.renew()
    for client in clients:
        client.link.link.close()


def sends_to(netns: str, network: str, interface: str) -> None:
    """Without an address there, so by its link-local one."""

    def add(links: IPRoute) -> None:
        links.route("add", dst=network, oif=links.link_lookup(ifname=interface)[0])

    namespaces.inside(netns, add)


def connected(netns: str, address: str) -> Client41:
    """Once the client's own address is sure of itself."""
    made: list[Client41] = []

    def is_connected() -> bool:
        with contextlib.suppress(OSError):
            made.append(Client41(netns, address))
        return bool(made)

    wait_for(is_connected, LEASE_AND_MORE)
    return made[0]
