"""The zone file, read by a real server and by a parser that is not ours."""

from __future__ import annotations

import os
import subprocess
from ipaddress import ip_address
from pathlib import Path

import dns.zone
import pytest

from abaca.dns.records import MOST_ADDRESSES, DnsError, Names
from abaca.dns.zone_file import ZoneFile, next_serial
from tests import name_server
from tests.name_server import DOMAIN

ONE, TWO = f"server-1.{DOMAIN}", f"docs.red.{DOMAIN}"


def names(**addresses: str) -> Names:
    """`names(one="10.0.0.1 fd00::1")`."""
    known = {"one": ONE, "two": TWO}
    return {
        known[name]: frozenset(map(ip_address, text.split())) for name, text in addresses.items()
    }


def zone_file(path: Path, ttl: int = 60) -> ZoneFile:
    return ZoneFile(path, DOMAIN, ttl, ("ns1.example.org", "ns2.example.org"), "admin.example.org")


@pytest.fixture
def file(tmp_path: Path) -> ZoneFile:
    return zone_file(tmp_path / "zone")


def serial(file: ZoneFile) -> int:
    zone = dns.zone.from_file(str(file.path), DOMAIN)
    soa = zone.get_soa()
    return int(soa.serial)


def test_it_holds_every_name_with_its_addresses(file: ZoneFile) -> None:
    assert file.publish(lambda: names(one="10.0.0.10 10.0.0.9 fd00::1", two="fd00::2"))
    zone = dns.zone.from_file(str(file.path), DOMAIN)
    held = {
        (str(name), record.to_text())
        for name, _, record in zone.iterate_rdatas()
        if str(name) != "@"
    }
    assert held == {
        ("server-1", "10.0.0.9"),
        ("server-1", "10.0.0.10"),
        ("server-1", "fd00::1"),
        ("docs.red", "fd00::2"),
    }
    assert {str(record) for record in zone.find_rdataset("@", "NS")} == {
        "ns1.example.org.",
        "ns2.example.org.",
    }
    assert zone.get_soa().minimum == 60


def test_it_is_written_when_something_changes_and_then_only(file: ZoneFile) -> None:
    assert file.publish(lambda: names(one="10.0.0.1"))
    before, inode = serial(file), file.path.stat().st_ino
    assert not file.publish(lambda: names(one="10.0.0.1"))
    assert (serial(file), file.path.stat().st_ino) == (before, inode)
    assert file.publish(lambda: names(one="10.0.0.2"))
    assert serial(file) > before
    between = serial(file)
    assert zone_file(file.path, ttl=30).publish(lambda: names(one="10.0.0.2"))
    assert serial(file) > between


def test_what_somebody_else_made_of_it_is_put_right(file: ZoneFile) -> None:
    file.publish(lambda: names(one="10.0.0.1"))
    right, before = file.path.read_text(), serial(file)
    for wrong in (right + "evil A 10.6.6.6\n", right.replace("10.0.0.1", "10.6.6.6"), right[:-9]):
        file.path.write_text(wrong)
        assert file.publish(lambda: names(one="10.0.0.1"))
        assert "10.6.6.6" not in file.path.read_text()
    assert serial(file) > before
    assert file.path.read_text().replace(str(serial(file)), str(before)) == right


@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "huge"])
def test_what_lies_in_its_place_is_replaced_not_followed(
    file: ZoneFile, tmp_path: Path, kind: str
) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    for path in (file.path, tmp_path / ".zone.new"):
        if kind == "link":
            path.symlink_to(other)
        elif kind == "dangling link":
            path.symlink_to(tmp_path / "nowhere")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            with path.open("wb") as huge:
                huge.truncate(2**40)
    assert file.publish(lambda: names(one="10.0.0.1"))
    assert serial(file)
    assert not file.path.is_symlink()
    assert other.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "zone"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DnsError, match="cannot be written: No such file or directory"):
        zone_file(tmp_path / "missing" / "zone").publish(lambda: names(one="10.0.0.1"))


@pytest.mark.root
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "small", str(tmp_path)], check=True)
    try:
        file = zone_file(tmp_path / "zone")
        file.publish(lambda: names(one="10.0.0.1"))
        before = file.path.read_text()
        many = {f"server-{n}.{DOMAIN}": frozenset({ip_address(n)}) for n in range(1, 2000)}
        for _ in range(2):
            with pytest.raises(DnsError, match="No space left on device"):
                file.publish(lambda: many)
            assert [path.name for path in tmp_path.iterdir()] == ["zone"]
        assert file.path.read_text() == before
        assert file.publish(lambda: names(one="10.0.0.2"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_name_has_so_many_addresses_of_a_family_and_no_more(file: ZoneFile) -> None:
    addresses = frozenset(ip_address(2**24 * 10 + n) for n in range(1, 200)) | {ip_address("::1")}
    file.publish(lambda: {ONE: addresses})
    lines = [line for line in file.path.read_text().splitlines() if line.startswith(ONE)]
    assert len(lines) == MOST_ADDRESSES + 1


def test_what_is_no_name_in_the_domain_is_left_out(file: ZoneFile) -> None:
    """And costs no other name."""
    file.publish(lambda: names(one="10.0.0.1"))
    good = file.path.read_text()
    inner = ["x 60 A 10.6.6.6\nwww A 10.6.6.6\ny", "ü", "a..b", "*", "x" * 64, "x." * 120 + "x"]
    bad = [*[f"{name}.{DOMAIN}" for name in inner], "www.example.org", DOMAIN, ""]
    for name in bad:
        both = {**names(one="10.0.0.1"), name: frozenset({ip_address("10.6.6.6")})}
        assert not file.publish(lambda both=both: both)  # type: ignore[misc]
        assert file.path.read_text() == good


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (0, 1_800_000_000, 1_800_000_000),
        (1_700_000_000, 1_800_000_000, 1_800_000_000),
        (1_800_000_000, 1_800_000_000, 1_800_000_001),
        (1_900_000_000, 1_800_000_000, 1_900_000_001),  # the clock was set back
        (2**32 - 1, 1_800_000_000, 1_800_000_000),  # which follows it, RFC 1982
        (4_000_000_000, 1_800_000_000, 1_800_000_000),
        (2**32 - 1, 3_000_000_000, 1),  # 0 is skipped
    ],
)
def test_a_serial_always_follows_the_one_before(before: int, now: int, after: int) -> None:
    assert next_serial(before, now) == after
    assert 0 < (after - before) % 2**32 < 2**31 or before == 0


def test_a_server_serves_it_and_takes_a_new_one(file: ZoneFile, tmp_path: Path) -> None:
    file.publish(lambda: names(one="10.0.0.1 fd00::1"))
    (tmp_path / "server").mkdir()
    with name_server.running(tmp_path / "server", file.path) as server:
        assert server.addresses(ONE) == ["10.0.0.1", "fd00::1"]
        file.publish(lambda: names(one="fd00::1", two="10.0.0.2"))
        server.reload()
        assert (server.addresses(ONE), server.addresses(TWO)) == (["fd00::1"], ["10.0.0.2"])
        file.publish(dict)
        server.reload()
        assert server.addresses(ONE) == []
