"""A Linux back end without share servers: one file server for the shares of all projects, what one
of them learns of the others, and what becomes of it when the worker, or an option, changes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from abaca.drivers.data import MemoryDriverData
from abaca.drivers.linux import namespaces, routing
from abaca.drivers.linux.clients import attach_client, detach_client
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.nfs4 import (
    Nfs4Error,
    getattr,
    lookup,
    putfh,
    putrootfh,
    walk,
)
from abaca.drivers.linux.file_services.nfs.rpc import Connection, auth_sys
from abaca.errors import BackendError, Unavailable
from abaca.values import AccessRule, Share, ShareServer, Snapshot
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop, client_namespace, own_server, probe
from tests.contracts.drivers.linux_site import Site, access_of, rule
from tests.contracts.drivers.wired_town import OPTIONS, Town
from tests.nfs4 import operations as ops
from tests.nfs4.connection import connect
from tests.service import PATIENCE

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

SERVER = ("10.0.0.5", "fd00::5")
OWN = {
    "driver_handles_share_servers": "false",
    "export_addresses": f"{SERVER[0]}/24, {SERVER[1]}/64",
}
NEVER = 60.0 * PATIENCE
WHOLE = ("type", "size", "numlinks", "fileid", "change", "space_used")


class Box:
    """A back end with one file server, and machines on its network."""

    def __init__(self, driver: LinuxDriver) -> None:
        self.driver = driver
        self._made: list[Share | Snapshot] = []
        self._machines: set[str] = set()

    @property
    def server(self) -> ShareServer:
        return own_server(self.driver)

    def machine(self, name: str, *addresses: str) -> str:
        netns = client_namespace(self.driver, name)
        self._machines.add(netns)
        network = self.server.network_info[0].subnet.neutron_net_id
        attach_client(self.driver.layout.namespace, network, netns, addresses)
        return netns

    def share(self, *rules: AccessRule) -> Share:
        share = Share(
            id=str(uuid.uuid4()), share_id=str(uuid.uuid4()), size=1, share_proto="NFS", pool="pool"
        )
        self._made.append(share)
        locations = self.driver.create_share(share, None)
        assert self.driver.update_access(share, rules, None) == {}
        return msgspec.structs.replace(share, access_rules=rules, export_locations=locations)

    def snapshot(self, share: Share, *rules: AccessRule) -> Snapshot:
        snapshot = Snapshot(
            id=str(uuid.uuid4()),
            snapshot_id=str(uuid.uuid4()),
            share=share,
            size=1,
            is_mountable=True,
            access_rules=list(rules),
        )
        self._made.append(snapshot)
        taken = self.driver.create_snapshot(snapshot, None)
        return msgspec.structs.replace(snapshot, export_locations=taken.export_locations or [])

    def clear(self) -> None:
        for netns in self._machines:
            detach_client(netns, self.driver.layout.namespace)
        for each in reversed(self._made):
            if isinstance(each, Snapshot):
                self.driver.delete_snapshot(each, None)
            else:
                self.driver.delete_share(each, None)


@pytest.fixture(scope="module")
def box_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxDriver]:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(tmp_path_factory.mktemp("box"), **OWN)
    driver.data = MemoryDriverData()
    yield driver
    linux_backend.cleanup(driver)


@pytest.fixture
def box(box_driver: LinuxDriver) -> Iterator[Box]:
    box = Box(box_driver)
    yield box
    box.clear()


@contextmanager
def speaking(netns: str, address: str) -> Iterator[Connection]:
    with connect(netns, address) as link:
        yield Connection(link, NEVER)


def ask(link: Connection, *operations: nfs4.Operation) -> object:
    return nfs4.compound(link, operations, credentials=auth_sys(0, 0))[-1]


def listed(link: Connection, path: str) -> list[tuple[str, dict[str, object]]]:
    entries, _, is_end = nfs4.compound(
        link, [*walk(path)[:-1], ops.readdir(*WHOLE)], credentials=auth_sys(0, 0)
    )[-1]
    assert is_end
    return [(name, seen) for name, _, seen in entries]


def name_of(link: Connection, *operations: nfs4.Operation) -> str:
    """The error by which these are refused; empty: they are not."""
    try:
        ask(link, *operations)
    except Nfs4Error as error:
        return error.name
    return ""


@pytest.mark.parametrize("version", [4, 6])
def test_a_client_of_one_project_learns_nothing_of_the_others(box: Box, version: int) -> None:
    """However many shares others have, it is shown its own. Names that it was told open nothing,
    and neither do handles. (How many there are is in the link count of `/shares`.)"""
    ours, theirs = {4: ("10.0.0.20", "10.0.0.30"), 6: ("fd00::20", "fd00::30")}[version]
    length, address = {4: (24, SERVER[0]), 6: (64, SERVER[1])}[version]
    own = box.share(rule(ours))
    mine = box.machine(f"mine{version}", f"{ours}/{length}")
    with speaking(mine, address) as link:
        alone = listed(link, "/shares")
    assert [name for name, _ in alone] == [own.id]
    foreign = [box.share(rule(theirs)) for _ in range(3)]
    kept = box.snapshot(foreign[0], rule(theirs, "ro"))
    with speaking(box.machine(f"theirs{version}", f"{theirs}/{length}"), address) as link:
        handles = [
            bytes(ask(link, *walk(path)))  # type: ignore[call-overload]
            for path in (f"/shares/{foreign[0].id}", f"/snapshots/{kept.id}")
        ]
    with speaking(mine, address) as link:
        assert listed(link, "/shares") == alone
        assert listed(link, "/snapshots") == []
        for other in foreign:
            assert name_of(link, *walk(f"/shares/{other.id}")) == "NOENT"
        assert name_of(link, *walk(f"/snapshots/{kept.id}")) == "NOENT"
        for handle in handles:
            assert name_of(link, putfh(handle), getattr("type")) in ("STALE", "BADHANDLE", "ACCESS")
            assert name_of(link, putfh(handle), ops.readdir()) != ""
        assert name_of(link, putrootfh(), lookup("shares"), lookup(own.id)) == ""


def test_without_a_rule_nothing_answers(box: Box) -> None:
    """Not even where the server is, to who has no rule of any project's."""
    box.share(rule("10.0.0.20"), rule("fd00::20"))
    stranger = box.machine("stranger", "10.0.0.66/24", "fd00::66/64")
    for address in SERVER:
        with pytest.raises(ConnectionRefusedError):
            connect(stranger, address).close()
    box.share(rule("10.0.0.66"))
    with connect(stranger, SERVER[0]):
        pass
    with pytest.raises(ConnectionRefusedError):
        connect(stranger, SERVER[1]).close()


def test_rules_of_one_project_mean_nothing_to_the_share_of_another(box: Box) -> None:
    one, other = box.share(rule("10.0.0.20")), box.share(rule("10.0.0.30", "ro"))
    first = box.machine("first", "10.0.0.20/24")
    second = box.machine("second", "10.0.0.30/24")
    seen = [
        access_of(netns, share.export_locations[0].path)
        for netns in (first, second)
        for share in (one, other)
    ]
    assert seen == ["rw", "none", "none", "ro"]


def test_a_worker_that_comes_back_changes_nothing_for_clients(box: Box) -> None:
    share = box.share(rule("10.0.0.20"))
    netns = box.machine("worker", "10.0.0.20/24")
    pid = box.driver.layout.server(box.server.id).ganesha_pid.read_text()
    with Loop(netns, share.export_locations[0].path, "loop") as loop:
        again = linux_backend.successor(box.driver)
        again.check_for_setup_error()
        again.ensure_shares([share])
    assert loop.answer["error_count"] == 0 and loop.answer["rounds"] > 0, loop.answer
    assert box.driver.layout.server(box.server.id).ganesha_pid.read_text() == pid


def test_addresses_that_options_name_no_longer_are_given_up(
    box: Box, request: pytest.FixtureRequest
) -> None:
    share = box.share(rule("10.0.0.20"))
    netns = box.machine("moved", "10.0.0.20/24")

    def move(addresses: str) -> list[str]:
        driver = linux_backend.successor(box.driver, export_addresses=addresses)
        driver.check_for_setup_error()
        driver.ensure_shares([share])
        location, *_ = driver.export_locations(share, None)
        assert access_of(netns, location.path) == "rw"
        return sorted(routing.addresses_of(driver.layout.server(box.server.id).namespace))

    request.addfinalizer(lambda: box.driver.ensure_shares([]))
    assert move("10.0.0.6/24") == ["10.0.0.6"]
    with pytest.raises(OSError):
        connect(netns, SERVER[0], patience=1.0).close()
    assert move(OWN["export_addresses"]) == sorted(SERVER)


def test_a_snapshot_that_is_not_whole_is_not_served(box: Box) -> None:
    """Its rules may be ones that a project has denied since its deletion failed."""
    share = box.share(rule("10.0.0.20"))
    snapshot = box.snapshot(share, rule("10.0.0.20", "ro"))
    netns = box.machine("reader", "10.0.0.20/24")
    location = snapshot.export_locations[0].path
    box.driver.ensure_shares([share], [snapshot])
    assert access_of(netns, location) == "ro"
    half = msgspec.structs.replace(snapshot, is_complete=False)
    box.driver.ensure_shares([share], [half])
    assert access_of(netns, location) == "none"
    box.driver.ensure_shares([share], [snapshot])
    assert access_of(netns, location) == "ro"


def test_a_change_that_hangs_takes_no_places_of_others(box: Box) -> None:
    box.share()
    box.driver.patience_for_own_server = 0.05
    held, done = threading.Event(), threading.Event()

    def hang() -> None:
        with box.driver._locked(box.server.id):
            held.set()
            done.wait(NEVER)

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        assert held.wait(NEVER)
        with pytest.raises(Unavailable, match="busy with another change"):
            box.share()
    finally:
        done.set()
        thread.join(NEVER)
        box.driver.patience_for_own_server = NEVER


def test_the_kind_of_a_back_end_with_shares_cannot_be_changed(
    box: Box, site: Site, tmp_path: Path
) -> None:
    box.share()
    handles = {"driver_handles_share_servers": "true", "export_addresses": ""}
    with pytest.raises(Unavailable, match="cannot be changed while this back end has shares"):
        linux_backend.successor(box.driver, **handles).check_for_setup_error()
    site.share(site.server(("net", "10.0.0.5/24")))
    with pytest.raises(Unavailable, match="cannot be changed while this back end has shares"):
        linux_backend.successor(site.driver, **OWN).check_for_setup_error()


def test_two_back_ends_of_one_installation_prove_apart(box: Box) -> None:
    """They start at the same time, and names of network namespaces are those of installations."""
    layout = box.driver.layout
    others = {
        LinuxDriver(
            name, {"state_dir": str(layout.state_dir), "namespace": layout.namespace}
        )._proof_server
        for name in ("fast", "slow")
    }
    assert len(others | {box.driver._proof_server}) == 3


def test_on_a_wire_addresses_of_other_machines_are_left_alone(town: Town) -> None:
    wired = OWN | OPTIONS | {"export_network": "physnet1"}
    taken = wired | {"export_addresses": "10.0.0.6/24, 10.0.0.20/24"}
    with pytest.raises(Unavailable, match=r"export_addresses: another machine has 10\.0\.0\.20$"):
        town.host.do(linux_backend.successor(town.driver, **taken).check_for_setup_error)
    driver = linux_backend.successor(town.driver, **wired)
    share = Share(id=str(uuid.uuid4()), share_id="s", size=1, share_proto="NFS", pool="pool")

    def serve() -> None:
        for _ in range(2):  # its own answers are no other machine's
            driver.check_for_setup_error()
        driver.ensure_shares([])
        locations = driver.create_share(share, None)
        assert driver.update_access(share, [rule("10.0.0.20"), rule("fd00::20")], None) == {}
        for location in locations:
            answer = probe(town.near.namespace, "write", location.path, "file", location.path)
            assert answer["ok"], answer
        assert all(each.lack is None for each in driver.machine_findings())

    try:
        town.host.do(serve)
    finally:

        def leave() -> None:
            driver.delete_share(share, None)
            driver._server(own_server(driver).id).remove()

        town.host.do(leave)
    assert not namespaces.exists(driver.layout.server(own_server(driver).id).namespace)


def test_an_option_that_the_wires_cannot_follow_is_told(town: Town) -> None:
    wired = OWN | OPTIONS | {"export_network": "physnet1", "mtu": "9000"}
    with pytest.raises(BackendError, match=r"the options export_…: .*MTU is 9000"):
        town.host.do(linux_backend.successor(town.driver, **wired).check_for_setup_error)
