"""A Debian 12 made by debootstrap and booted with its own systemd, in namespaces of its own.

No container manager: those filter system calls, and NFS servers in cells take a filter that is not
theirs for a cell that is not whole. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.service import wait_until

SYSTEMD = ("systemd", "systemd-sysv", "dbus", "kmod", "iproute2", "libnfs-utils")
# What would set the kernel that the machine of the tests uses, too, or needs hardware.
MASKED = (
    "systemd-sysctl.service",
    "systemd-binfmt.service",
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
    "run-rpc_pipefs.mount",
    "console-getty.service",
    "getty@tty1.service",
)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
GROUP = Path("/sys/fs/cgroup/unified")
BOOT = """
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t sysfs sysfs "$ROOT/sys"
mount -t cgroup2 cgroup2 "$ROOT/sys/fs/cgroup"
mount -t tmpfs tmpfs "$ROOT/run"
mount -t tmpfs tmpfs "$ROOT/tmp"
mkdir -p "$ROOT/.before"
cd "$ROOT"
pivot_root . .before
umount -l /.before
rmdir /.before
exec env -i container=other PATH=$PATH /lib/systemd/systemd --log-target=null
"""


def unavailable_reason() -> str | None:
    """Why none can be made on this machine, or None."""
    if os.geteuid() != 0:
        return "only root can make a Debian"
    if not shutil.which("debootstrap"):
        return "debootstrap is not installed"
    if not GROUP.is_dir() and not Path("/sys/fs/cgroup/cgroup.procs").exists():
        return "control groups of version 2 are not mounted"
    if Path("/var/lib/abaca").exists():
        return "/var/lib/abaca is there: loop devices of that path would be another installation's"
    return None if mirror() else "apt has no source of bookworm"


def mirror() -> str | None:
    """Where this machine's apt gets Debian 12 from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.split(" ", 1) for line in listed.stdout.splitlines()]
    return next((address for codename, address in found if codename == "bookworm"), None)


class BareDebian:
    """One that runs. `root`: where its files are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._group = (GROUP if GROUP.is_dir() else GROUP.parent) / f"bare-{os.getpid()}"
        self._systemd = 0

    def boot(self) -> None:
        self._group.mkdir()
        joined = f"echo $$ > {self._group}/cgroup.procs; exec unshare --mount --pid --fork "
        joined += '--kill-child --uts --ipc --net --cgroup bash -euc "$BOOT"'
        self._process = subprocess.Popen(
            ["bash", "-euc", joined],
            env={"ROOT": str(self.root), "BOOT": BOOT, "PATH": PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        wait_until(self._is_up, "systemd to be up")

    def run(self, *command: str, status: int | None = 0) -> str:
        """What a command in it prints, with its errors. `status`: its exit status; None: any."""
        done = subprocess.run(
            [
                *("nsenter", "--target", str(self._systemd), "--all", "--root", "--wd"),
                *("env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8"),
                *("DEBIAN_FRONTEND=noninteractive", *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert status in (None, done.returncode), f"{command}: {done.returncode}: {done.stdout}"
        return done.stdout

    def stop(self) -> None:
        if self._systemd:
            os.kill(self._systemd, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        wait_until(self._is_gone, "its processes to end")

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self._process.communicate()[1].decode()
        if not self._systemd:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            for pid in children.read_text().split():
                with suppress(FileNotFoundError):
                    if Path(f"/proc/{pid}/exe").resolve().name == "systemd":
                        self._systemd = int(pid)
            return False
        said = self.run("systemctl", "is-system-running", status=None).strip()
        return said in ("running", "degraded")

    def _is_gone(self) -> bool:
        for folder in sorted(self._group.rglob("*"), reverse=True):
            if folder.is_dir():
                with suppress(OSError):
                    folder.rmdir()
        with suppress(OSError):
            self._group.rmdir()
        return not self._group.exists()


@contextmanager
def bare_debian(packages: Sequence[str]) -> Iterator[BareDebian]:
    """One with these Debian packages and systemd, booted; taken away in the end."""
    found = mirror()
    assert found
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        made = subprocess.run(
            [
                *("debootstrap", "--variant=minbase"),
                f"--include={','.join(dict.fromkeys([*SYSTEMD, *packages]))}",
                *("bookworm", str(root), found),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            pytest.skip(f"debootstrap could not make a Debian from {found}: {made.stdout[-300:]}")
        for unit in MASKED:
            (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        machine = BareDebian(root)
        try:
            machine.boot()
            yield machine
        finally:
            machine.stop()
