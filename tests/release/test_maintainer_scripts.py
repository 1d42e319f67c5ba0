"""What a purge of the Debian package removes, run in a root of its own: nothing of others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.debian_package import ROOT

pytestmark = pytest.mark.root

OURS = "abaca:x:990:990:Abaca API:/nonexistent:/usr/sbin/nologin\n"
PURGE = """
mount --make-rprivate /
mount --bind -o ro /usr "$PLACE/usr"
mount --bind "$PLACE/libraries" "$PLACE/usr/local/lib"
mount --bind /dev "$PLACE/dev"
mount -t proc proc "$PLACE/proc"
exec chroot "$PLACE" /bin/sh /postrm purge
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A root in which the package was removed and not purged."""
    for folder in ("bin", "sbin", "lib", "lib64"):
        (tmp_path / folder).symlink_to(f"usr/{folder}")
    for folder in ("usr", "proc", "dev", "libraries/abaca", "etc/abaca", "run", "var/log/abaca",
                   "var/lib/abaca/worker"):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
    for file in ("libraries/abaca/abaca-nfs-1.so", "var/lib/abaca/worker/state"):
        (tmp_path / file).touch()
    (tmp_path / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\n{OURS}")
    (tmp_path / "etc/group").write_text("root:x:0:\nabaca:x:990:\n")
    shutil.copy(ROOT / "packaging/debian/abaca.postrm", tmp_path / "postrm")
    return tmp_path


def purge(place: Path, left: tuple[str, ...] = ()) -> str:
    """What it says."""
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-euc", PURGE],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PLACE": str(place)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for folder in ("etc/abaca", "var/log/abaca", "var/lib/abaca"):
        assert (place / folder).exists() == (folder in left), folder
    return done.stderr


def test_alone_it_leaves_nothing(place: Path) -> None:
    purge(place)
    assert not (place / "libraries/abaca").exists()
    assert (place / "etc/passwd").read_text().count("\n") == 1
    assert "abaca" not in (place / "etc/group").read_text()


def test_another_installation_keeps_what_it_serves_with(place: Path) -> None:
    socket = place / "run/abaca/other/server/bus/dbus.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    purge(place)
    assert socket.exists() and (place / "libraries/abaca/abaca-nfs-1.so").exists()


def test_a_person_of_that_name_stays(place: Path) -> None:
    passwd = place / "etc/passwd"
    passwd.write_text(f"abaca:x:1000:990:A person:/srv/person:/bin/sh\n{passwd.read_text()}")
    passwd.write_text(passwd.read_text().replace(OURS, ""))
    purge(place)
    assert "/srv/person" in passwd.read_text()
    assert "abaca" in (place / "etc/group").read_text()


def test_the_key_of_backups_stays_and_that_is_said(place: Path) -> None:
    """Backups are elsewhere, and nobody reads them without it."""
    state, outside = place / "var/lib/abaca", place / "outside"
    (state / "worker/backup.key").write_text("00" * 32)
    (state / "db/deep").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").touch()
    (state / "db/link").symlink_to("/outside")
    assert "/var/lib/abaca/worker/backup.key" in purge(place, left=("var/lib/abaca",))
    assert (state / "worker/backup.key").read_text() == "00" * 32
    assert sorted(path.name for path in state.rglob("*")) == ["backup.key", "worker"]
    assert (outside / "file").exists()
