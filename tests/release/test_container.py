"""The Containerfile, built and run by buildah without a container engine: on a Debian 12 that
debootstrap makes, in place of the one that a registry would give."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.admin.ports import free_port
from scripts.debian_package import ROOT
from tests.release.bare_debian import mirror
from tests.service import reachable_folder, wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("a Debian is made, and an image built in it"),
    pytest.mark.timeout(2700),
    pytest.mark.sampled_file(8),
]


def unavailable_reason() -> str | None:
    """Why no image can be built here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [name for name in ("buildah", "debootstrap") if not shutil.which(name)]
    if lacking:
        return f"Debian packages are missing: {', '.join(lacking)}"
    return None if mirror() else "apt has no source of bookworm"


class Buildah:
    """With images and containers in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._program = ("buildah", "--root", str(folder / "root"), "--runroot",
                         str(folder / "run"), "--storage-driver", "vfs")  # fmt: skip

    def command(self, *arguments: str) -> list[str]:
        return [*self._program, *arguments]

    def __call__(self, *arguments: str) -> str:
        """What it prints."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout.strip()


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    made = Buildah(tmp_path_factory.mktemp("buildah"))
    yield made
    made("rm", "--all")
    made("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def container(buildah: Buildah, package: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the image; its name."""
    context = tmp_path_factory.mktemp("context")
    debian = context / "debian"
    source = mirror()
    assert source
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", str(debian), source],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"debootstrap could not make a Debian: {done.stdout[-300:]}")
    base = buildah("from", "scratch")
    buildah("add", "--quiet", base, str(debian), "/")
    buildah("commit", "--quiet", "--rm", base, "localhost/debian")
    shutil.rmtree(debian)
    (context / "dist").mkdir()
    shutil.copy(package, context / "dist")
    shutil.copy(ROOT / "Containerfile", context)
    buildah("bud", "--isolation", "chroot", "--build-arg", "BASE=localhost/debian",
            "--pull-never", "--quiet", "--tag", "localhost/abaca", str(context))  # fmt: skip
    return buildah("from", "--pull-never", "localhost/abaca")


def test_what_is_not_needed_any_more_is_not_in_it(buildah: Buildah, container: str) -> None:
    root = Path(buildah("mount", container))
    assert (root / "usr/bin/abaca").is_symlink()
    assert not list((root / "tmp").iterdir()) and not list((root / "var/lib/apt/lists").iterdir())
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert not (root / "var/lib/abaca/key").exists(), "each installation makes its own"


@pytest.fixture
def state() -> Iterator[Path]:
    """The volume."""
    with reachable_folder() as folder:
        yield folder


def test_it_serves_the_api_by_tls_and_without_root(
    buildah: Buildah, container: str, state: Path
) -> None:
    port, root = free_port(), Path(buildah("mount", container))
    image = buildah("inspect", "--format", "{{.OCIv1.Config.Cmd}}", container)
    assert "abaca init && exec abaca api" in image
    process = subprocess.Popen(
        buildah.command("run", "--isolation", "chroot", "--env", f"OS_API__PORT={port}",
                        "--volume", f"{state}:/var/lib/abaca", container,
                        "--", "/bin/sh", "-c", "abaca init && exec abaca api"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    trusted = state / "ca.pem"

    def answers() -> bool:
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        if not trusted.exists():
            return False
        context = ssl.create_default_context(cafile=str(trusted))
        url = f"https://127.0.0.1:{port}/healthcheck"
        try:
            with urllib.request.urlopen(url, timeout=10, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_until(answers, "the API", 100)
        assert (state / "clouds.yaml").stat().st_mode & 0o077 == 0
        owner = subprocess.run(
            ["ss", "--no-header", "--listening", "--tcp", "--processes", f"sport = :{port}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        pids = {part.partition(",")[0] for part in owner.split("pid=")[1:]}
        assert pids
        user = (root / "etc/passwd").read_text().partition("\nabaca:x:")[2].partition(":")[0]
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in status
            assert "CapEff:\t0000000000000000\n" in status
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
