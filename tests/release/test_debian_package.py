"""The Debian package: what is in it, and, on a bare Debian 12, that it installs, its units start, a
client writes, a newer one takes its place meanwhile, and nothing is left after the purge."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.drivers.linux import requirements
from abaca.drivers.linux.file_services.nfs.cell import library
from scripts import debian_package
from tests.release.bare_debian import BareDebian, bare_debian, unavailable_reason
from tests.service import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("a Debian is made and booted, and a package built and installed"),
    pytest.mark.timeout(2700),
    pytest.mark.play,
    pytest.mark.sampled_file(8),
]

OLDER = "0.0.9"
SMALL_POOL = "pool_size_gib = 1\npool_sparse = true\n"
# What is written by running a system, with or without us.
PASSING = re.compile(
    r"/(dev|proc|run|srv|sys|tmp|root|var/(backups|cache|log|tmp)|var/lib/(apt|dpkg|systemd|nfs))(/|$)"
    r"|/etc/(passwd|group|g?shadow|subuid|subgid)-?$"
)
USE = r"""
import base64, json, re, threading, urllib.request
clouds = open("/var/lib/abaca/clouds.yaml").read()
password = re.search(r"password: ['\"]?([^'\"\s]+)", clouds)[1]
login = base64.b64encode(f"admin:{password}".encode()).decode()

def ask(path, body=None):
    request = urllib.request.Request("http://127.0.0.1:8786" + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": "Basic " + login, "Content-Type": "application/json",
         "X-OpenStack-Manila-API-Version": "2.70"})
    return json.load(urllib.request.urlopen(request, timeout=60))

def wait(path, noun, key, wanted):
    for _ in range(600):
        found = ask(path)[noun][key]
        if found == wanted:
            return
        assert "error" not in found, found
        threading.Event().wait(1)
    raise SystemExit(f"{path}: {key} is still {found}")

network = ask("/network/v2.0/networks", {"network": {"name": "blue"}})["network"]["id"]
subnet = ask("/network/v2.0/subnets", {"subnet": {"network_id": network, "ip_version": 4,
    "cidr": "10.20.0.0/24", "allocation_pools": [{"start": "10.20.0.10", "end": "10.20.0.99"}]}})
shares = ask("/v2/share-networks", {"share_network": {"neutron_net_id": network,
    "neutron_subnet_id": subnet["subnet"]["id"]}})["share_network"]["id"]
ask("/v2/types", {"share_type": {"name": "default",
    "extra_specs": {"driver_handles_share_servers": "true"}}})
share = ask("/v2/shares", {"share": {"share_proto": "NFS", "size": 1, "share_type": "default",
    "share_network_id": shares}})["share"]["id"]
wait(f"/v2/shares/{share}", "share", "status", "available")
rule = ask(f"/v2/shares/{share}/action",
    {"allow_access": {"access_type": "ip", "access_to": "10.20.0.0/24"}})["access"]["id"]
wait(f"/v2/share-access-rules/{rule}", "access", "state", "active")
path = ask(f"/v2/shares/{share}/export_locations")["export_locations"][0]["path"]
print("nfs://" + path.replace(":", "", 1))
"""


@pytest.fixture(scope="module")
def older(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an older version, with another configuration file."""
    folder = tmp_path_factory.mktemp("older")
    dpkg_deb("--raw-extract", package, folder / "tree")
    control = folder / "tree" / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {OLDER}", control.read_text()))
    with open(folder / "tree" / "etc/abaca/abaca.conf", "a") as conf:
        conf.write("# of the older version\n")
    dpkg_deb("--root-owner-group", "-Znone", "--build", folder / "tree", folder)
    (made,) = folder.glob("*.deb")
    return made


def dpkg_deb(*arguments: str | Path) -> str:
    return subprocess.run(
        ["dpkg-deb", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout


def depends(package: Path) -> set[str]:
    """The packages that it depends on."""
    wanted = dpkg_deb("--field", package, "Depends").split(",")
    return {name.split("(")[0].strip() for name in wanted}


def test_all_of_it_is_roots_and_writable_by_root_only(package: Path) -> None:
    lines = dpkg_deb("--contents", package).splitlines()
    assert len(lines) > 1000
    for line in lines:
        mode, owner = line.split()[:2]
        assert owner == "root/root", line
        assert mode[0] == "l" or (mode[5], mode[8]) == ("-", "-"), line
    names = {line.split()[5].removeprefix(".") for line in lines}
    assert {"/etc/abaca/abaca.conf", "/usr/bin/abaca", "/usr/bin/abaca-manage",
            f"/usr/lib/abaca/{library.name()}", "/usr/share/man/man1/abaca.1.gz",
            "/usr/share/man/man1/abaca-manage.1.gz", "/usr/share/man/man5/abaca.conf.5.gz",
            "/usr/share/bash-completion/completions/abaca",
            "/usr/share/zsh/vendor-completions/_abaca",
            "/usr/share/fish/vendor_completions.d/abaca.fish",
            "/lib/systemd/system/abaca.target"} <= names  # fmt: skip
    assert dpkg_deb("--info", package, "conffiles").split() == ["/etc/abaca/abaca.conf"]


def test_it_depends_on_every_program_that_the_back_end_runs(package: Path) -> None:
    assert {*requirements.PROGRAMS.values(), "nfs-ganesha-vfs"} <= depends(package)


def test_nothing_in_it_names_where_it_was_made(package: Path, tmp_path: Path) -> None:
    dpkg_deb("--extract", package, tmp_path)
    made_in = [str(debian_package.ROOT), "debian/abaca/usr"]
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--fixed-strings",
         *(part for text in made_in for part in ("--regexp", text)), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""


@pytest.fixture(scope="module")
def machine(package: Path, older: Path) -> Iterator[BareDebian]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    with bare_debian(sorted(depends(package))) as made:
        for file in (package, older):
            (made.root / "srv" / file.name).write_bytes(file.read_bytes())
        yield made


def files(machine: BareDebian) -> set[str]:
    listed = machine.run("find", "/", "-xdev").splitlines()
    return {path for path in listed if not PASSING.match(path)}


def programs(machine: BareDebian) -> str:
    """The command lines of its processes, but for this question."""
    return machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>&1 | tr '\\0' ' '", status=None)


def servers(machine: BareDebian) -> list[str]:
    """The processes of NFS servers."""
    files = "grep --files-with-matches --text '/run/abaca/abaca[/]' /proc/[0-9]*/cmdline"
    return sorted(machine.run("sh", "-c", f"{files} 2>&-", status=None).split())


@pytest.fixture(scope="module")
def before(machine: BareDebian) -> set[str]:
    """Its files before the package was there."""
    return files(machine)


def test_it_installs_and_starts_nothing(machine: BareDebian, older: Path, before: set[str]) -> None:
    said = machine.run("dpkg", "--force-unsafe-io", "--install", f"/srv/{older.name}")
    assert "systemctl enable --now abaca.target" in said
    assert "Nothing is missing." in machine.run("abaca", "doctor")
    assert machine.run("systemctl", "is-active", "abaca.target", status=None) == "inactive\n"
    assert "/var/lib/abaca" not in files(machine) - before


def test_its_units_serve_and_a_client_writes(machine: BareDebian) -> None:
    with open(machine.root / "etc" / "abaca" / "abaca.conf", "a") as conf:
        conf.write(SMALL_POOL)
    machine.run("systemctl", "enable", "--now", "abaca.target")
    wait_until(
        lambda: "  up  " in machine.run("abaca-manage", "service", "list", status=None),
        lambda: machine.run("journalctl", "--no-pager", "--unit", "abaca*", status=None),
        200,
    )
    url = machine.run("python3", "-c", USE).splitlines()[-1]
    machine.run("abaca", "client", "add", "laptop", "--network", "blue",
                "--address", "10.20.0.200/24")  # fmt: skip
    (machine.root / "srv" / "hello").write_text("Hello, share.\n")
    client = ("ip", "netns", "exec", "laptop")
    machine.run(*client, "nfs-cp", "/srv/hello", f"{url}/hello?version=4")
    assert machine.run(*client, "nfs-cat", f"{url}/hello?version=4") == "Hello, share.\n"


def test_a_newer_version_takes_its_place_while_it_serves(
    machine: BareDebian, package: Path
) -> None:
    """Rows, configuration and file servers stay; API and worker are begun anew."""

    def pids(*units: str) -> list[str]:
        show = ("systemctl", "show", "--value", "--property=MainPID", *units)
        return machine.run(*show).split()

    units = ("abaca-api", "abaca-worker")
    before, serving = pids(*units), servers(machine)
    assert "0" not in before and serving
    machine.run("dpkg", "--force-unsafe-io", "--force-confold", "--install", f"/srv/{package.name}")
    version = ("dpkg-query", "--show", "--showformat=${Version}", "abaca")
    assert machine.run(*version) == dpkg_deb("--field", package, "Version").strip() != OLDER
    assert not {*before} & {*pids(*units)} and "0" not in pids(*units)
    conf = (machine.root / "etc" / "abaca" / "abaca.conf").read_text()
    assert conf.endswith(SMALL_POOL) and "# of the older version" in conf
    wait_until(
        lambda: "  up  " in machine.run("abaca-manage", "service", "list", status=None),
        lambda: machine.run("journalctl", "--no-pager", "--unit", "abaca*", status=None),
        200,
    )
    assert servers(machine) == serving
    assert "1 active" in machine.run("abaca", "status", status=None)


def test_the_password_is_not_in_the_journal(machine: BareDebian) -> None:
    journal = machine.run("journalctl", "--no-pager", "--unit", "abaca*")
    clouds = (machine.root / "var/lib/abaca/clouds.yaml").read_text()
    password = re.search(r"password: ['\"]?([^'\"\s]+)", clouds)
    assert password and "Created the user admin." in journal and password[1] not in journal


def test_a_captured_api_writes_nothing_but_its_database(machine: BareDebian) -> None:
    """By the mounts and rights that its unit gives to it."""
    pid = machine.run("systemctl", "show", "--value", "--property=MainPID", "abaca-api").strip()
    inside = ("nsenter", "--target", pid, "--mount", "setpriv", "--reuid=abaca", "--regid=abaca",
              "--clear-groups", "--no-new-privs", "--bounding-set=-all")  # fmt: skip
    machine.run(*inside, "touch", "/var/lib/abaca/db/mine")
    machine.run(*inside, "rm", "/var/lib/abaca/db/mine")
    for place in ("/etc/abaca", "/usr/lib/abaca/venv", "/var/lib/abaca", "/var/lib/abaca/worker",
                  "/etc", "/run/abaca", "/var/tmp/.."):  # fmt: skip
        machine.run(*inside, "touch", f"{place}/mine", status=1)
    status = machine.run("cat", f"/proc/{pid}/status")
    assert "CapEff:\t0000000000000000" in status and "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status


def test_file_servers_serve_while_the_units_are_stopped(machine: BareDebian) -> None:
    machine.run("systemctl", "stop", "abaca.target", "abaca-api", "abaca-worker")
    assert "/run/abaca/abaca/" in programs(machine)
    machine.run("systemctl", "enable", "--now", "abaca.target")


def test_after_the_purge_nothing_is_left(machine: BareDebian, before: set[str]) -> None:
    machine.run("ip", "netns", "delete", "laptop", status=None)
    machine.run("dpkg", "--remove", "abaca")
    assert (machine.root / "var/lib/abaca/key").exists()
    assert machine.run("ip", "netns", "list") == ""
    machine.run("dpkg", "--purge", "abaca")
    assert sorted(files(machine) - before) == [] and sorted(before - files(machine)) == []
    assert "abaca" not in machine.run("cat", "/proc/mounts", "/etc/passwd", "/etc/group")
    assert "/var/lib/abaca" not in machine.run("losetup", "--list", "--output", "BACK-FILE")
    assert "abaca" not in programs(machine)
    assert not os.path.exists(machine.root / "var/log/abaca")
