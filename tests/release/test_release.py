"""`make release`: the same tree gives the same bytes, and what it gives can be installed and runs.

Nothing is downloaded: the dependencies are those of the environment that the tests run in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import release
from tests.tidy.test_docs import tracked_files

pytestmark = pytest.mark.sampled_file(4)

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "abaca"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a release by the end of their names, `.whl` and `.tar.gz` among them."""
    files = release.release(tmp_path_factory.mktemp("released"))
    return {
        suffix: file
        for file in files
        for suffix in (".whl", ".tar.gz", "SUMS")
        if file.name.endswith(suffix)
    }


@pytest.fixture(scope="module")
def installed(released: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment in which the wheel is installed."""
    venv = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    uv = [
        str(Path(sys.executable).with_name("uv")),
        "--no-config",
        "--offline",
        "pip",
        "install",
        "--no-deps",
    ]
    python = str(venv / "bin" / "python")
    subprocess.run(
        [*uv, "--python", python, str(released[".whl"])], check=True, capture_output=True
    )
    # Found after what is installed, and without its own .pth files: this tree's Abaca is not seen.
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin"


def run(program: Path, *arguments: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    result = subprocess.run(
        [str(program), *arguments], env=environment, cwd="/", capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_same_tree_gives_the_same_bytes(released: dict[str, Path], tmp_path: Path) -> None:
    release.release(tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() == released["SUMS"].read_text()
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def test_the_wheel_carries_every_file_of_the_package(released: dict[str, Path]) -> None:
    tracked = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in tracked_files()
        if path.is_relative_to(PACKAGE)
    }
    carried = {
        name for name in zipfile.ZipFile(released[".whl"]).namelist() if name.startswith("abaca/")
    }
    assert carried == tracked
    assert any(
        name.endswith(".c") for name in carried
    )  # the NFS servers' library is built from them


def test_the_sdist_carries_the_repository_and_gives_the_same_wheel(
    released: dict[str, Path], tmp_path: Path
) -> None:
    with tarfile.open(released[".tar.gz"]) as archive:
        archive.extractall(tmp_path)  # our own, made a moment ago
    (tree,) = tmp_path.iterdir()
    carried = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    assert {path.relative_to(ROOT).as_posix() for path in tracked_files()} - carried == set()
    release.build(tree, tmp_path, "wheel")
    assert (tmp_path / released[".whl"].name).read_bytes() == released[".whl"].read_bytes()


def test_what_is_installed_runs(installed: Path, tmp_path: Path) -> None:
    where = run(
        installed / "python", "-c", "import abaca.admin.cli; print(abaca.admin.cli.__file__)"
    )
    assert Path(where).is_relative_to(installed.parent)
    assert run(installed / "abaca", "--version").split()[-1] == release.newest_version()
    assert "The configuration is valid." in run(
        installed / "abaca", "config", "check", "--state-dir", str(tmp_path)
    )
    assert "db" in run(installed / "abaca-manage", "--help")
    run(
        installed / "python",
        "-c",
        "from abaca.drivers.linux.file_services.nfs.cell import library; library.name()",
    )


@pytest.mark.parametrize(
    "changelog", ["", "# Changelog\n\n## 0.9, today\n\n- Less.\n\n## 1.0, later\n\n- More.\n"]
)
def test_a_version_that_the_changelog_does_not_begin_with_is_refused(changelog: str) -> None:
    with pytest.raises(SystemExit, match=r"version 1\.0.*make them agree"):
        release.changes_of("1.0", changelog)


def test_the_changes_are_those_of_the_newest_version() -> None:
    assert (
        release.changes_of(
            "1.0", "# Changelog\n\n## 1.0, today\n\n- More.\n\n## 0.9, before\n\n- Less.\n"
        )
        == "# Abaca 1.0\n\n- More.\n"
    )
