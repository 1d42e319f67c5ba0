"""A share that is exported on chosen subnets of its server, asked for by NFS clients everywhere."""

from __future__ import annotations

import json

import msgspec
import pytest

from abaca.drivers.linux import admission, namespaces, packet_filter
from abaca.drivers.linux.file_services.nfs.access import client_blocks
from abaca.drivers.linux.programs import run
from abaca.values import ExportChoice, NetworkInfo, NetworkInfoUpdate, Share, ShareServer, Subnet
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop
from tests.contracts.drivers.linux_site import (
    Site,
    access_of,
    assert_served,
    path,
    paths,
    rule,
)
from tests.contracts.drivers.test_linux_admission import reaches
from tests.nfs4.client import Client41, patiently

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

SERVER = {"left": ("10.1.0.5", "fd01::5"), "right": ("10.2.0.5", "fd02::5")}


@pytest.fixture
def server(site: Site) -> ShareServer:
    """On two networks, with IPv4 and IPv6 and a router each."""
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d67"
    return site.set_up(
        server_id,
        [
            site.entry(server_id, "left", "10.1.0.5/24", gateway="10.1.0.1"),
            site.entry(server_id, "left", "fd01::5/64", gateway="fd01::1"),
            site.entry(server_id, "right", "10.2.0.5/24", gateway="10.2.0.1"),
            site.entry(server_id, "right", "fd02::5/64", gateway="fd02::1"),
        ],
    )


def on(server: ShareServer, *numbers: int) -> ExportChoice:
    """The choice of these of the server's subnets."""
    ids = [server.network_info[number].share_network_subnet_id for number in numbers]
    return ExportChoice(share_network_subnet_ids=ids)


def choose(site: Site, share: Share, server: ShareServer, choice: ExportChoice) -> Share:
    """The share with its exports moved, as the service has it done."""
    moved = msgspec.structs.replace(share, export_choice=choice)
    site.driver.update_access(moved, share.access_rules, server)
    locations = site.driver.export_locations(moved, server)
    return msgspec.structs.replace(moved, export_locations=locations)


def clients(site: Site) -> tuple[str, str]:
    return (
        site.client("on the left", "left", "10.1.0.20/24", "fd01::20/64"),
        site.client("on the right", "right", "10.2.0.20/24", "fd02::20/64"),
    )


def asked_at(share: Share, side: str) -> list[str]:
    """What a client of that side would ask for, exported there or not."""
    return [
        f"{f'[{address}]' if ':' in address else address}:/shares/{share.id}"
        for address in SERVER[side]
    ]


def access(netns: str, share: Share, side: str) -> set[str]:
    return {access_of(netns, location) for location in asked_at(share, side)}


def router(site: Site) -> None:
    """Between the two networks."""
    for side, number in (("left", 1), ("right", 2)):
        name = site.client(
            "router", side, f"10.{number}.0.1/24", f"fd0{number}::1/64", forwards=True
        )
    namespaces.inside(
        name,
        lambda _: namespaces.set_sysctl({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}),
    )


def routed_client(site: Site) -> str:
    """On the left, and sends to the right by the router."""
    gateways = ("10.1.0.1", "fd01::1")
    return site.client("routed", "left", "10.1.0.30/24", "fd01::30/64", gateways=gateways)


def test_only_clients_of_the_chosen_subnets_use_it(site: Site, server: ShareServer) -> None:
    """Not even by a listener that another share has brought them to."""
    left, right = clients(site)
    everywhere = site.share(server)
    bound = choose(site, site.share(server), server, on(server, 0, 1))
    assert paths(bound.export_locations) == asked_at(bound, "left")
    assert_served(left, bound)
    assert access(right, everywhere, "right") == {"rw"}
    assert access(right, bound, "right") == {"none"}
    one = choose(site, bound, server, on(server, 3))
    assert paths(one.export_locations) == asked_at(one, "right")[1:]
    assert [access_of(right, each) for each in asked_at(one, "right")] == ["none", "rw"]
    assert access(left, one, "left") == {"none"}


def test_a_family_is_chosen(site: Site, server: ShareServer) -> None:
    left, right = clients(site)
    bound = choose(site, site.share(server), server, ExportChoice(ip_version=6))
    assert [location.ip_version for location in bound.export_locations] == [6, 6]
    for netns, side in ((left, "left"), (right, "right")):
        assert [access_of(netns, each) for each in asked_at(bound, side)] == ["none", "rw"]


def test_a_change_cuts_who_is_out_and_nobody_else(site: Site, server: ShareServer) -> None:
    left, right = clients(site)
    share = site.share(server)
    with Loop(left, path(share), "v4") as first, Loop(left, path(share, 1), "v6") as second:
        for choice, of_right in (
            (on(server, 0, 1), "none"),
            (ExportChoice(), "rw"),
            (on(server, 0, 1, 2, 3), "rw"),
            (on(server, 0, 1), "none"),
        ):
            share = choose(site, share, server, choice)
            assert access(right, share, "right") == {of_right}
    for loop in (first, second):
        assert loop.answer["ok"] and loop.answer["rounds"] > 0, loop.answer


def test_who_has_files_open_on_a_subnet_that_is_left_out_loses_them(
    site: Site, server: ShareServer
) -> None:
    """Another share, which it may use, keeps no lease of it alive."""
    left, right = clients(site)
    share = site.share(server)
    site.share(server)
    folder = f"/shares/{share.id}"
    with Client41(left, "10.1.0.5") as stays, Client41(right, "10.2.0.5") as goes:
        for client in (stays, goes):
            file = patiently(
                lambda client=client: client.open(  # type: ignore[misc]
                    client.handle_of(folder), f"of {client is goes}", create=True
                )
            )
            client.lock(file)
        choose(site, share, server, on(server, 0, 1))
        assert not reaches(right, "10.2.0.5")
        stays.renew()


def test_at_other_addresses_nobody_is_admitted_by_the_rules_of_the_share(
    site: Site, server: ShareServer
) -> None:
    """A client of the left that a router brings to the server's addresses on the right."""
    router(site)
    routed = routed_client(site)
    share = site.share(server)
    assert access(routed, share, "right") == {"rw"}
    bound = choose(site, share, server, on(server, 0, 1))
    assert access(routed, bound, "left") == {"rw"}
    assert not any(reaches(routed, address) for address in SERVER["right"])
    # What a shared listener cannot separate: the rules of another share let it in there, and the
    # file server goes by the client's address only.
    site.share(server)
    assert access(routed, bound, "right") == {"rw"}


def test_clients_behind_routers_need_a_rule_of_their_own(site: Site, server: ShareServer) -> None:
    site.client("router", "far", "10.7.0.1/24", "fd07::1/64", forwards=True)
    router(site)
    far = site.client("far", "far", "10.7.0.20/24", "fd07::20/64", gateways=("10.7.0.1", "fd07::1"))
    bound = choose(site, site.share(server), server, on(server, 0, 1))
    assert access(far, bound, "left") == {"none"}
    with_rule = msgspec.structs.replace(
        bound, access_rules=[*bound.access_rules, rule("10.7.0.0/24"), rule("fd07::/64")]
    )
    bound = choose(site, with_rule, server, on(server, 0, 1))
    assert access(far, bound, "left") == {"rw"}
    assert access(far, bound, "right") == {"none"}


def test_the_more_specific_rule_still_decides(site: Site, server: ShareServer) -> None:
    left, _ = clients(site)
    rules = [rule("0.0.0.0/0", "ro"), rule("10.0.0.0/8", "rw"), rule("::/0", "rw")]
    bound = choose(site, site.share(server, rules=rules), server, on(server, 0, 1))
    assert access(left, bound, "left") == {"rw"}
    bound = msgspec.structs.replace(bound, access_rules=[*rules, rule("10.1.0.20", "ro")])
    bound = choose(site, bound, server, on(server, 0, 1))
    assert [access_of(left, each) for each in asked_at(bound, "left")] == ["ro", "rw"]


def test_an_added_subnet_does_not_widen_a_choice(site: Site) -> None:
    """Not even by a rule that was for routed clients with just the addresses of the subnet."""
    server = site.server(("left", "10.1.0.5/24"))
    bound = site.share(server, rules=[rule("10.1.0.0/24"), rule("10.2.0.0/24")])
    bound = choose(site, bound, server, on(server, 0))
    family = choose(site, site.share(server), server, ExportChoice(ip_version=4))
    added = site.entry(server.id, "right", "10.2.0.5/24")
    update = NetworkInfoUpdate(current=server.network_info, added=[added])
    answer = site.driver.update_share_server_network_allocations(update, {}, [bound, family], [])
    server = msgspec.structs.replace(server, network_info=[*server.network_info, added])
    assert answer.share_updates.keys() == {family.id}
    family_paths = paths(answer.share_updates[family.id].export_locations or [])
    right = site.client("on the right", "right", "10.2.0.20/24")
    assert len(family_paths) == 2
    assert access_of(right, family_paths[1]) == "rw"
    assert access_of(right, f"10.2.0.5:/shares/{bound.id}") == "none"
    refused = site.driver.update_access(bound, bound.access_rules, server)
    assert list(refused) == [bound.access_rules[1].id]
    assert "not exported" in refused[bound.access_rules[1].id]


def test_mountable_snapshots_follow_their_share(site: Site, server: ShareServer) -> None:
    left, right = clients(site)
    share = site.share(server)
    snapshot = site.snapshot(share, server, is_mountable=True)
    assert len(snapshot.export_locations) == 4
    moved = msgspec.structs.replace(
        snapshot, share=msgspec.structs.replace(share, export_choice=on(server, 0, 1))
    )
    site.driver.update_snapshot_access(moved, snapshot.access_rules, server)
    locations = paths(site.driver.export_locations(moved, server))
    assert locations == paths(snapshot.export_locations)[:2]
    assert [access_of(left, each) for each in locations] == ["ro", "ro"]
    assert access_of(right, path_of_snapshot(moved.id)) == "none"
    taken = site.snapshot(moved.share, server, is_mountable=True)
    assert len(taken.export_locations) == 2


def path_of_snapshot(snapshot_id: str) -> str:
    return f"{SERVER['right'][0]}:/snapshots/{snapshot_id}"


def test_a_worker_that_starts_brings_the_choice_back(site: Site, server: ShareServer) -> None:
    left, right = clients(site)
    bound = choose(site, site.share(server), server, on(server, 0, 1))
    namespace = site.layout(server).namespace
    before = namespaces.inside(namespace, lambda _: listed())
    worker = linux_backend.successor(site.driver)
    worker.ensure_server(server, [bound])
    assert namespaces.inside(namespace, lambda _: listed()) == before, "nothing was touched"
    namespaces.inside(namespace, lambda _: packet_filter.replace_table(*admission.TABLE, ""))
    worker.ensure_server(server, [bound])
    assert namespaces.inside(namespace, lambda _: listed()[0]) == before[0]
    assert_served(left, bound)
    assert access(right, bound, "right") == {"none"}


def listed() -> tuple[str, object]:
    """The table of admission, without and with its handles."""
    text = run("nft", "--json", "--handle", "list", "table", *admission.TABLE, timeout=30)
    plain = run("nft", "list", "table", *admission.TABLE, timeout=30)
    return plain, json.loads(text)["nftables"][1]["table"]["handle"]


def test_who_stays_admitted_at_one_address_notices_nothing_of_changes(
    site: Site, server: ShareServer
) -> None:
    """The filter is changed in place, and holds what was asked for last."""
    namespace = site.layout(server).namespace
    handle = namespaces.inside(namespace, lambda _: listed()[1])
    for at in (
        {"10.1.0.5": ["10.1.0.0/24", "10.1.0.20"], "fd01::5": ["fd01::/64"]},
        {"10.1.0.5": ["10.1.0.0/25"], "10.2.0.5": ["10.2.0.20", "192.0.2.0/24"]},
        {"fd01::5": ["fd01::20", "fd01::22"], "fd02::5": ["fd01::/64", "2001:db8::/32"]},
        {},
    ):
        admission.admit(namespace, ["10.9.0.0/24"], at)
        found = namespaces.inside(namespace, lambda _: packet_filter.sets(*admission.TABLE))
        for copy in ("first", "second"):
            assert {
                admission.of_element(each)
                for family in ("ipv4", "ipv6")
                for each in found[f"{copy}_at_{family}"]
            } == {
                (each, address)
                for address, networks in at.items()
                for ranges in admission.ranges(networks).values()
                for each in ranges
            }
        assert namespaces.inside(namespace, lambda _: listed()[1]) == handle


def test_parts_of_a_rule_keep_its_place() -> None:
    """The longest prefix stands first; a part of a wide rule stands where the rule would."""
    site_server = [
        msgspec.structs.replace(entry, share_network_subnet_id=str(number))
        for number, entry in enumerate(entries())
    ]
    choice = ExportChoice(share_network_subnet_ids=["0"])
    rules = [rule("0.0.0.0/0", "rw"), rule("10.0.0.0/8", "ro")]
    text, refused = client_blocks(rules, {}, choice, site_server)
    assert refused == {}
    assert text.index("Access_Type = RO") < text.index("Access_Type = RW")
    assert text.count("Clients = 10.1.0.0/24;") == 2


def entries() -> list[NetworkInfo]:

    return [
        NetworkInfo(
            server_id="s",
            share_network_subnet_id="",
            subnet=Subnet(neutron_net_id="n", neutron_subnet_id=cidr, cidr=cidr, ip_version=4),
            network_allocations=[],
        )
        for cidr in ("10.1.0.0/24", "10.2.0.0/24")
    ]
