"""Shares of the Linux back end: access rules as Ganesha really applies them, limits as btrfs really
applies them, exports."""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec
import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.access import client_blocks
from abaca.drivers.linux.file_services.nfs.exports import export_ids
from abaca.drivers.linux.inventory import leftovers, remove_installation
from abaca.drivers.linux.pools.room import GIB
from abaca.errors import NoSpace, Refused, Unavailable
from abaca.values import AccessRule, Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop, btrfs_pool, probe
from tests.contracts.drivers.linux_site import BOTH, Site, access_of, path, rule

pytestmark = [pytest.mark.root, pytest.mark.sampled(4)]

ME = {4: ip_address("10.0.0.20"), 6: ip_address("fd00::a5:20")}
CLIENT = ("10.0.0.20/24", "fd00::a5:20/64")


class Door:
    """A share with a client of each family, asked again and again with other rules."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.server = site.server(*BOTH)
        self.share = site.share(self.server, rules=[])
        self._netns = site.client("client", "net", *CLIENT)

    def set(self, *rules: AccessRule) -> dict[str, str]:
        return self._site.driver.update_access(self.share, rules, self.server)

    def access(self, version: int) -> str:
        """`rw`, `ro` or `none`, as the client of that family finds it."""
        return access_of(self._netns, path(self.share, 0 if version == 4 else 1))

    def both(self) -> tuple[str, str]:
        return self.access(4), self.access(6)


@pytest.fixture
def door(site: Site) -> Door:
    return Door(site)


# --- access ---------------------------------------------------------------------------------------


def test_nobody_may_use_a_new_share_or_see_it(site: Site, door: Door) -> None:
    assert door.both() == ("none", "none")
    other = site.share(door.server)
    netns = site.client("client", "net", *CLIENT)
    assert probe(netns, "mount", "10.0.0.5:/shares")["names"] == [other.id]


@pytest.mark.parametrize("version", [4, 6])
def test_a_prefix_of_every_length_is_enforced_or_refused(door: Door, version: int) -> None:
    """Who is in it comes in, with the nearest who is not in it does not, nor does the other
    family."""
    me = ME[version]
    for length in range(me.max_prefixlen + 1):
        network = ip_network(f"{me}/{length}", strict=False)
        refused = door.set(rule(str(network)))
        expected = "none" if refused else "rw"
        assert bool(refused) == (version == 6 and 100 <= length < 120), (network, refused)
        assert (door.access(version), door.access(10 - version)) == (expected, "none"), network
        if length:
            sibling = type(network)(
                (int(network.network_address) ^ (1 << (me.max_prefixlen - length)), length)
            )
            door.set(rule(str(sibling)))
            assert door.access(version) == "none", sibling


@pytest.mark.parametrize("backwards", [False, True])
def test_the_longest_prefix_wins(door: Door, backwards: bool) -> None:
    for levels in (("rw", "rw", "ro"), ("ro", "ro", "rw")):
        rules = [
            rule(to, level)
            for to, level in zip(("0.0.0.0/0", "10.0.0.0/24", "10.0.0.20"), levels, strict=True)
        ]
        rules += [
            rule(to, level)
            for to, level in zip(("::/0", "fd00::/64", "fd00::a5:0/120"), levels, strict=True)
        ]
        assert door.set(*(rules[::-1] if backwards else rules)) == {}
        assert door.both() == (levels[-1], levels[-1])


def test_what_cannot_be_enforced_is_refused_and_harms_no_other_rule(door: Door) -> None:
    wrong = [
        rule("fd00::/112"),
        rule("0.0.0.0"),  # Ganesha takes it for everybody
        rule("::"),
        rule("::ffff:10.0.0.20"),
        rule("fe80::1%eth0"),
        rule("*"),
        rule("@group"),
        rule("host.example.org"),
        rule("10.0.0.20; Access_Type = RW; Clients = *"),
        rule("alice", access_type="user"),
        rule("10.0.0.20", access_level="full"),
    ]
    refused = door.set(rule("10.0.0.20", "ro"), *wrong)
    assert set(refused) == {refused_rule.id for refused_rule in wrong}
    assert all(refused.values())
    assert door.both() == ("ro", "none")


def test_rules_are_exactly_the_last_ones(door: Door) -> None:
    for rules, expected in (
        ([rule("10.0.0.20"), rule("fd00::a5:20")], ("rw", "rw")),
        ([rule("10.0.0.20", "ro"), rule("fd00::a5:20")], ("ro", "rw")),
        ([rule("fd00::a5:20", "ro")], ("none", "ro")),
        ([], ("none", "none")),
        ([rule("10.0.0.0/24")], ("rw", "none")),
    ):
        assert door.set(*rules) == {}
        assert door.both() == expected


def test_rules_survive_a_restart_of_ganesha(site: Site, door: Door) -> None:
    door.set(rule("10.0.0.20", "ro"))
    site.ganesha(door.server).stop()
    share = msgspec.structs.replace(door.share, access_rules=[rule("10.0.0.20", "ro")])
    site.driver.ensure_server(door.server, [share])
    assert door.both() == ("ro", "none")


def test_a_long_ipv6_prefix_is_listed_address_by_address() -> None:
    text, refused = client_blocks([rule("fd00::a5:0/120")], {})
    assert refused == {}
    assert text.count(",") == 255
    assert "/" not in text


def test_who_reads_on_is_not_disturbed_by_other_rules(site: Site, door: Door) -> None:
    mine = rule("10.0.0.20")
    door.set(mine)
    with Loop(site.client("client", "net", *CLIENT), path(door.share), "loop") as loop:
        for number in range(20):
            door.set(mine, rule(f"10.0.9.{number}"))
    assert loop.answer["error_count"] == 0, loop.answer


# --- data -----------------------------------------------------------------------------------------


def fill(driver: LinuxDriver, share: Share, size: int) -> None:
    linux_backend.fill_share(driver, share, ShareServer(id="none", network_info=[]), size)


def test_a_full_share_says_so_and_can_be_extended(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, size=1)
    file = site.driver.pool.path(share.id) / "filling"
    with open(file, "wb") as filling:
        block = b"\xa5" * 4 * 1024**2
        with pytest.raises(OSError, match="quota"):
            while True:
                filling.write(block)
                filling.flush()
                os.fsync(filling.fileno())
    assert site.driver.pool.used(share.id) <= GIB
    netns = site.client("client", "net", *CLIENT)
    full = probe(netns, "write", path(share), "more", "x" * 1000, "--times", "20000")
    assert "DQUOT" in full["error"], full
    site.driver.extend_share(share, 2, server)
    assert probe(netns, "write", path(share), "more", "x" * 1000, "--times", "2000")["ok"]


def test_a_limit_below_what_is_held_can_be_raised_again(site: Site) -> None:
    """By the subvolume's path instead of its group id, btrfs fails."""
    server = site.server(*BOTH)
    share = site.share(server, size=3)
    fill(site.driver, share, 2)
    site.driver.ensure_server(server, [msgspec.structs.replace(share, size=1)])
    with pytest.raises(OSError, match="quota"):
        fill(site.driver, share, 3)
    site.driver.extend_share(share, 4, server)
    fill(site.driver, share, 3)


def test_a_share_that_is_being_resized_keeps_its_size(site: Site) -> None:
    """Its worker died between the resizing and the note of it."""
    server = site.server(*BOTH)
    share = site.share(server, size=1)
    site.driver.extend_share(share, 3, server)
    site.driver.ensure_server(server, [msgspec.structs.replace(share, is_resizing=True)])
    fill(site.driver, share, 2)
    site.driver.ensure_server(server, [share])
    with pytest.raises(OSError, match="quota"):
        fill(site.driver, share, 3)


def test_shrinking_below_what_is_held_is_refused_with_both_numbers(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, size=5)
    fill(site.driver, share, 2)
    with pytest.raises(Refused, match=r"2\.00 GiB.* 1 GiB"):
        site.driver.shrink_share(share, 1, server)
    site.driver.shrink_share(share, 3, server)
    with pytest.raises(OSError, match="quota"):
        fill(site.driver, share, 4)


def test_no_more_is_promised_than_the_pool_has(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, size=linux_backend.POOL_GIB - 1)
    with pytest.raises(NoSpace):
        site.share(server, size=2)
    with pytest.raises(NoSpace):
        site.driver.extend_share(share, linux_backend.POOL_GIB + 1, server)
    site.driver.extend_share(share, linux_backend.POOL_GIB, server)
    site.driver.delete_share(share, server)
    site.share(server, size=linux_backend.POOL_GIB)


def test_a_share_in_use_can_be_deleted(site: Site) -> None:
    server = site.server(*BOTH)
    share, other = site.share(server), site.share(server)
    netns = site.client("client", "net", *CLIENT)
    with Loop(netns, path(share), "loop") as loop, Loop(netns, path(other), "loop") as undisturbed:
        for _ in range(2):
            site.driver.delete_share(share, server)
    assert loop.answer["error_count"] > 0
    assert undisturbed.answer["error_count"] == 0, undisturbed.answer
    assert not site.driver.pool.has(share.id)
    assert list(site.layout(server).mounts.iterdir()) == [site.layout(server).mount_point(other.id)]


def test_a_share_is_deleted_although_its_server_is_gone(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    site.driver.teardown_server(server.id, {})
    assert site.driver.pool.has(share.id)
    site.driver.delete_share(share, server)
    assert not site.driver.pool.has(share.id)
    assert not site.layout(server).state.exists()


def test_shares_are_made_side_by_side_on_one_server(site: Site) -> None:
    server = site.server(*BOTH)
    with ThreadPoolExecutor(6) as threads:
        shares = list(threads.map(lambda _: site.share(server), range(12)))
    ids = export_ids(site.layout(server))
    assert set(ids) == {share.id for share in shares}
    assert len(set(ids.values())) == 12
    netns = site.client("client", "net", *CLIENT)
    for share in shares:
        assert probe(netns, "write", path(share), "name", share.id)["ok"]
    for share in shares:
        assert probe(netns, "read", path(share), "name")["text"] == share.id


def test_export_ids_stay_when_ganesha_starts_again(site: Site) -> None:
    """They are part of the file handles that clients hold."""
    server = site.server(*BOTH)
    shares = [site.share(server) for _ in range(3)]
    before = export_ids(site.layout(server))
    site.driver.delete_share(shares[0], server)
    site.ganesha(server).stop()
    site.driver.ensure_server(server, shares[1:])
    assert export_ids(site.layout(server)) == {share.id: before[share.id] for share in shares[1:]}


def test_a_share_on_a_server_that_is_not_there(site: Site) -> None:
    server = ShareServer(id=str(uuid.uuid4()), network_info=[])
    with pytest.raises(Unavailable, match="not there"):
        site.share(server)


def test_other_protocols_are_refused(site: Site) -> None:
    server = site.server(*BOTH)
    share = Share(
        id=str(uuid.uuid4()), share_id=str(uuid.uuid4()), size=1, share_proto="CIFS", pool="pool"
    )
    with pytest.raises(Refused, match="CIFS"):
        site.driver.create_share(share, server)


# --- the whole installation -----------------------------------------------------------------------


def test_a_pool_given_by_the_administrator(site: Site, tmp_path: Path) -> None:
    """Shares lie in a folder of their own in it; what else is there stays."""
    # a btrfs that is mounted, as an administrator's would be
    pool_path = btrfs_pool(site.driver).root
    namespace = f"{site.driver.layout.namespace}-b"
    options = {
        "state_dir": str(tmp_path / "state"),
        "namespace": namespace,
        "pool_path": str(pool_path),
    }
    guest = LinuxDriver("guest", options)
    try:
        guest.check_for_setup_error()
        other = Site(guest)
        share = other.share(other.server(*BOTH))
        assert probe(other.client("client", "net", *CLIENT), "write", path(share), "name", "text")[
            "ok"
        ]
        assert (pool_path / namespace / share.id / "name").read_text() == "text"
        assert leftovers(namespace, tmp_path / "state", pool_path)["subvolumes"] == [
            str(pool_path / namespace / share.id)
        ]
    finally:
        remove_installation(namespace, tmp_path / "state", pool_path)
    assert not any(leftovers(namespace, tmp_path / "state", pool_path).values())
    assert site.driver.get_pools()
    assert not (pool_path / namespace).exists()


def test_a_pool_that_is_not_a_mounted_btrfs(tmp_path: Path) -> None:
    driver = LinuxDriver(
        "b",
        {
            "state_dir": str(tmp_path / "state"),
            "namespace": f"t{uuid.uuid4().hex[:8]}",
            "pool_path": str(tmp_path),
        },
    )
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    try:
        with pytest.raises(Unavailable, match="not a mounted btrfs"):
            driver.check_for_setup_error()
    finally:
        linux_backend.cleanup(driver)


@pytest.mark.parametrize(
    "option",
    ["namespace=A b", "pool_size_gib=many", "pool_size_gib=0", "pool_sise_gib=1", "mtu=1000"],
)
def test_options_that_make_no_sense(option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(Unavailable, match=name):
        LinuxDriver("linux", {name: value})


def test_everything_is_taken_away_whatever_is_there(lonely_driver: LinuxDriver) -> None:
    site, layout = Site(lonely_driver), lonely_driver.layout
    site.share(site.server(*BOTH))
    site.client("client", "net", *CLIENT)
    found = leftovers(layout.namespace, layout.state_dir)
    assert all(found.values()), found
    linux_backend.cleanup(lonely_driver)
    linux_backend.cleanup(lonely_driver)
    assert not layout.state_dir.exists()
