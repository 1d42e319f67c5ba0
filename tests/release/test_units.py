"""The systemd units: systemd finds nothing wrong with them, the API's is confined, and the worker's
has nothing that breaks cells or takes mounts of share servers along."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "packaging" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
# What `systemd-analyze security` may say at most, times ten; measured with systemd 252.
EXPOSURE = {
    "abaca-api.service": 20,
    "abaca-init.service": 30,
    "abaca-worker.service": 87,
    "abaca-serve.service": 87,
}
# Each is a filter of system calls: an NFS server that has more than its own two counts as outside
# of its cell.
FILTERS = {
    "SystemCallFilter", "SystemCallArchitectures", "SystemCallLog", "RestrictAddressFamilies",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality",
    "MemoryDenyWriteExecute", "ProtectClock", "ProtectHostname", "ProtectKernelModules",
    "ProtectKernelTunables", "ProtectKernelLogs", "PrivateDevices",
}  # fmt: skip
# Each gives the unit mounts or a network of its own.
APART = {
    "ProtectSystem", "ProtectHome", "ProtectControlGroups", "ProtectProc", "ProcSubset",
    "PrivateTmp", "PrivateMounts", "PrivateNetwork", "PrivateUsers", "PrivateIPC",
    "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths",
    "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem", "MountFlags", "MountAPIVFS",
    "RootDirectory", "RootImage", "DynamicUser", "StateDirectory", "CacheDirectory",
    "LogsDirectory", "RuntimeDirectory", "ConfigurationDirectory", "MountImages",
    "ExtensionImages", "LogNamespace", "NetworkNamespacePath", "IPCNamespacePath",
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is missing (Debian: systemd)"
)


def options(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        if match := re.match(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "systemd" / "system"
    shutil.copytree(UNITS, folder)
    for target in Path("/lib/systemd/system").glob("*.target"):
        shutil.copy(target, folder, follow_symlinks=True)
    for program in ("usr/bin/abaca", "sbin/modprobe", "bin/kill"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", tmp_path / program)
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", "--man=no", "abaca.target", *SERVICES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES)
def test_it_is_exposed_no_more_than_it_must_be(unit: str) -> None:
    threshold = f"--threshold={EXPOSURE[unit]}"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", threshold, UNITS / unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", ["abaca-worker.service", "abaca-serve.service"])
def test_what_starts_file_servers_filters_no_calls_and_has_no_mounts_of_its_own(unit: str) -> None:
    given = options(unit)
    assert given.keys() & (FILTERS | APART) == set()
    assert given["KillMode"] == ["process"] and given["TasksMax"] == ["infinity"]


def test_a_refused_configuration_is_not_tried_again() -> None:
    started_again = {unit for unit in SERVICES if "Restart" in options(unit)}
    assert started_again == {unit for unit in SERVICES if unit != "abaca-init.service"}
    for unit in started_again:
        assert options(unit)["RestartPreventExitStatus"] == ["78"]
