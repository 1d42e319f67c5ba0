"""The options of a Linux back end without share servers: what they describe, and which are refused,
by name and with what to do."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from abaca.drivers.linux import client_pause
from abaca.drivers.linux.client_pause import Turns
from abaca.drivers.linux.driver import LinuxDriver
from abaca.errors import Refused, Unavailable
from abaca.values import ExportLocation, Share, ShareServer

NEVER = 60.0
WITHOUT = {"driver_handles_share_servers": "false"}
ALONE = WITHOUT | {"export_addresses": "192.0.2.5/24"}
WIRED = ALONE | {"physical_networks": "office:eth1, lab:eth2"}


def driver(tmp_path: Path, options: dict[str, str], name: str = "box") -> LinuxDriver:
    return LinuxDriver(name, {"state_dir": str(tmp_path), "namespace": "nobody"} | options)


def own(tmp_path: Path, options: dict[str, str], name: str = "box") -> ShareServer:
    described = driver(tmp_path, options, name).own
    assert described is not None
    return described


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"driver_handles_share_servers": "no"}, "driver_handles_share_servers must be true or"),
        ({"export_addresses": "192.0.2.5/24"}, "export_addresses needs driver_handles_share_s"),
        ({"export_network": "office"}, "export_network needs driver_handles_share_servers"),
        ({"export_gateways": "192.0.2.1"}, "export_gateways needs driver_handles_share_serv"),
        (WITHOUT, "export_addresses must name the addresses of the file server"),
        (WITHOUT | {"export_addresses": " , "}, "export_addresses must name the addresses"),
        (ALONE | {"image_per_share_server": "true"}, "image_per_share_server needs"),
        (WITHOUT | {"export_addresses": "192.0.2.5"}, "'192.0.2.5': the prefix length"),
        (WITHOUT | {"export_addresses": "box/24"}, "'box/24': must be an address with a prefix"),
        (WITHOUT | {"export_addresses": "192.0.2.5/33"}, "'192.0.2.5/33': must be an address"),
        (WITHOUT | {"export_addresses": "192.0.2.5/x"}, "'192.0.2.5/x': must be an address"),
        (WITHOUT | {"export_addresses": "fd00::5%x/64"}, "'fd00::5%x/64': must be an address"),
        (WITHOUT | {"export_addresses": "192.0.2.0/24"}, "that is the address of the subnet"),
        (WITHOUT | {"export_addresses": "192.0.2.255/24"}, "that is the broadcast address"),
        (WITHOUT | {"export_addresses": "127.0.0.5/8"}, "not a range for hosts"),
        (WITHOUT | {"export_addresses": "fe80::5/64"}, "not a range for hosts"),
        (
            WITHOUT | {"export_addresses": "192.0.2.5/24, 192.0.2.5/25"},
            "export_addresses names 192.0.2.5 twice",
        ),
        (ALONE | {"export_gateways": "192.0.3.1"}, "'192.0.3.1': in no subnet of export_addresses"),
        (ALONE | {"export_gateways": "fe80::1"}, "'fe80::1': in no subnet of export_addresses"),
        (ALONE | {"export_gateways": "router"}, "option export_gateways, 'router'"),
        (ALONE | {"export_gateways": "192.0.2.5"}, "that is an address of the file server"),
        (ALONE | {"export_gateways": "192.0.2.1, 192.0.2.2"}, "192.0.2.0/24 has two"),
        (ALONE | {"export_network": "office"}, "physical_networks does not name office"),
        (WIRED, "export_network must name one of these: office, lab"),
        (WIRED | {"export_network": "attic"}, "physical_networks does not name attic"),
        (WIRED | {"export_network": "office:"}, "a VLAN id is a number from 1 to 4094"),
        (WIRED | {"export_network": "office:4095"}, "a VLAN id is a number from 1 to 4094"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(Unavailable) as refused:
        driver(tmp_path, options)
    assert said in refused.value.message


def test_a_name_too_long_for_paths_of_sockets_is_refused(tmp_path: Path) -> None:
    own(tmp_path, ALONE, "b" * 32)
    with pytest.raises(Unavailable, match="at most 32 characters"):
        driver(tmp_path, ALONE, "b" * 33)


def test_addresses_are_those_of_one_port_each_with_its_router(tmp_path: Path) -> None:
    options = {
        "export_addresses": "192.0.2.5/24, 2001:db8::5/64, 198.51.100.5/25",
        "export_network": "lab:100",
        "export_gateways": "fe80::1, 192.0.2.1",
        "mtu": "9000",
    }
    server = own(tmp_path, WIRED | options)
    seen = [
        (info.network_allocations[0].ip_address, info.subnet.cidr, info.subnet.gateway)
        for info in server.network_info
    ]
    assert seen == [
        ("192.0.2.5", "192.0.2.0/24", "192.0.2.1"),
        ("2001:db8::5", "2001:db8::/64", "fe80::1"),
        ("198.51.100.5", "198.51.100.0/25", None),
    ]
    wires = {
        (each.network_type, each.physical_network, each.segmentation_id, each.mtu)
        for each in (info.subnet for info in server.network_info)
    }
    assert wires == {("vlan", "lab", 100, 9000)}
    macs = {each.mac_address for info in server.network_info for each in info.network_allocations}
    assert len(macs) == 1 and len({info.subnet.neutron_net_id for info in server.network_info}) == 1
    assert server == own(tmp_path, WIRED | options), "the same at each start"


def test_two_boxes_of_one_name_on_one_wire_have_their_own_mac_addresses(tmp_path: Path) -> None:
    def mac(address: str) -> str:
        options = {"export_addresses": address, "export_network": "office"}
        first, *_ = own(tmp_path, WIRED | options).network_info
        return first.network_allocations[0].mac_address

    assert mac("192.0.2.5/24") != mac("192.0.2.6/24")
    assert mac("192.0.2.5/24") == mac("192.0.2.5/24, fd00::5/64"), "an address is added"
    assert int(mac("192.0.2.5/24")[:2], 16) & 0x03 == 0x02, "local, and of one machine"


def test_back_ends_on_one_wire_are_on_one_bridge_and_others_are_not(tmp_path: Path) -> None:
    def network(options: dict[str, str], name: str = "box") -> str:
        return own(tmp_path, options, name).network_info[0].subnet.neutron_net_id

    office = WIRED | {"export_network": "office"}
    assert network(office) == network(office, "other")
    assert network(office) != network(WIRED | {"export_network": "office:100"})
    assert network(ALONE) != network(ALONE, "other")


def test_it_declares_nothing_about_share_servers_and_its_own_ip_versions(tmp_path: Path) -> None:
    made = driver(tmp_path, ALONE)
    assert made.own_server_id == "own-box"
    shown = made.capabilities.as_pool_capabilities()
    assert not shown["driver_handles_share_servers"] and not shown["export_subnets_support"]
    assert shown["ipv4_support"] and not shown["ipv6_support"]
    assert shown["snapshot_support"] and shown["mount_snapshot_support"]
    both = driver(tmp_path, {})
    assert both.own_server_id is None and both.capabilities.driver_handles_share_servers
    assert both.capabilities.ipv6_support


def test_calls_about_share_servers_are_refused(tmp_path: Path) -> None:
    made, other = driver(tmp_path, ALONE), ShareServer(id="tenants", network_info=[])
    for call in (
        lambda: made.setup_server("tenants", []),
        lambda: made.ensure_server(other, []),
        lambda: made._of(other),
    ):
        with pytest.raises(Refused, match="no share servers"):
            call()


def test_pauses_of_clients_come_one_at_a_time_with_a_rest_between_them() -> None:
    turns = Turns(rest=0.2, patience=NEVER)
    times: list[tuple[float, float]] = []

    def pause() -> None:
        with turns.taken("one"):
            begun = time.monotonic()
            times.append((begun, time.monotonic()))

    threads = [threading.Thread(target=pause) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(NEVER)
    assert len(times) == 4
    for (_, ended), (begun, _) in itertools.pairwise(times):
        assert begun - ended >= 0.2


def test_whoever_gets_no_turn_is_told_and_holds_nobody_up() -> None:
    turns = Turns(rest=0.0, patience=0.01)
    with turns.taken("one"):
        thread_said: list[str] = []

        def want() -> None:
            try:
                with turns.taken("two"):
                    thread_said.append("had it")
            except Unavailable as refused:
                thread_said.append(refused.message)

        thread = threading.Thread(target=want)
        thread.start()
        thread.join(NEVER)
    assert thread_said == [
        "Another change is pausing clients of this back end; this one has to wait."
    ]
    with turns.taken("two"):
        pass


def test_a_project_that_asks_often_has_its_turn_after_the_others() -> None:
    turns, order = Turns(rest=0.0, patience=NEVER), list[str]()

    def pause(project: str) -> None:
        with turns.taken(project):
            order.append(project)

    threads = [threading.Thread(target=pause, args=(name,)) for name in ("often",) * 4 + ("once",)]
    with turns.taken("often"):
        for number, thread in enumerate(threads, 1):
            thread.start()
            while len(turns._waiting) < number:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(NEVER)
    assert order == ["once", "often", "often", "often", "often"]


def test_after_a_pause_that_failed_clients_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done again at once. Clients that hear nothing in between lose their leases."""
    turns = Turns(rest=0.0, patience=NEVER)
    with monkeypatch.context() as patch:
        patch.setattr(client_pause, "REST_SECONDS", 0.3)
        with suppress(Unavailable), turns.taken("one"):
            ended = time.monotonic()
            raise Unavailable("busy")
        with turns.taken("one"):
            assert time.monotonic() - ended >= 0.3


def test_one_share_that_cannot_be_served_keeps_no_other_from_new_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data are lost, or its mount point name was written past the service."""
    made = driver(tmp_path, ALONE)

    def lose(*_: object) -> None:
        raise Refused("the pool does not have the data of one")

    before = ExportLocation(path="192.0.2.4:/shares/moved", ip_version=4)
    moved, forged = (
        Share(
            id=name,
            share_id=name,
            size=1,
            share_proto="NFS",
            pool="btrfs",
            mount_point_name=forged_name,
            export_locations=[before],
        )
        for name, forged_name in (("moved", None), ("forged", "../x"))
    )
    with monkeypatch.context() as patch:
        patch.setattr(made, "_ensure", lose)
        update = made.ensure_shares([forged, moved])
    assert update is not None
    assert {
        name: [each.path for each in share.export_locations or []]
        for name, share in update.share_updates.items()
    } == {"moved": ["192.0.2.5:/shares/moved"]}
