"""`make deb`: the Debian package, in the folder that is given (dist).

The tracked files are copied beside packaging/debian, and debhelper builds there; its rules call
this module again, to fill the package: a virtual environment with the locked libraries and our
wheel, the NFS servers' library, units, manual pages, shell completion and the configuration. Needs
Debian 12 with debhelper, and uv's cache or an index.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path
from tempfile import TemporaryDirectory

from abaca.drivers.linux.file_services.nfs.cell import library
from scripts import man_pages, notices, release

ROOT = Path(__file__).parents[1]
PYTHON = "/usr/bin/python3.11"
HOME = Path("/usr/lib/abaca")
VENV = HOME / "venv"
PROGRAMS = ("abaca", "abaca-manage")
# Of how and where a distribution was installed here.
OF_THIS_MACHINE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")


def unavailable_reason() -> str | None:
    """Why none can be built on this machine, or None."""
    wanted = {"dpkg-buildpackage": "dpkg-dev", "dh": "debhelper", library.COMPILER: "gcc"}
    lacking = [package for program, package in wanted.items() if not shutil.which(program)]
    if not Path(PYTHON).exists():
        lacking.append("python3.11")
    return f"Debian packages are missing: {', '.join(lacking)}" if lacking else None


def build(folder: Path, compression: str = "xz") -> Path:
    """The package, made in `folder`, with its SHA-256 beside it. Raises SystemExit when it cannot
    be."""
    if reason := unavailable_reason():
        raise SystemExit(f"deb: {reason}")
    version = release.newest_version()
    with TemporaryDirectory() as made:
        tree = Path(made, f"abaca-{version}")
        for file in _tracked():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, tree / file)
        shutil.copytree(tree / "packaging" / "debian", tree / "debian")
        (tree / "debian" / "changelog").write_text(_changelog(version))
        (tree / "debian" / "copyright").write_text(_copyright())
        run(
            "dpkg-buildpackage",
            "--build=binary",
            "--no-sign",
            "--no-check-builddeps",
            cwd=tree,
            ABACA_PYTHON=sys.executable,
            ABACA_DEB_COMPRESSION=compression,
            **release.date(),
        )
        (package,) = Path(made).glob("abaca_*.deb")
        folder.mkdir(parents=True, exist_ok=True)
        finished = Path(shutil.copy2(package, folder))
    digest = hashlib.sha256(finished.read_bytes()).hexdigest()
    finished.with_name(f"{finished.name}.sha256").write_text(f"{digest}  {finished.name}\n")
    return finished


def fill(root: Path) -> None:
    """Put what is installed below `root`, the package's tree."""
    _virtual_environment(root)
    home = root / HOME.relative_to("/")
    library.build(home.resolve())
    links = root / "usr" / "bin"
    links.mkdir(parents=True)
    for program in PROGRAMS:
        (links / program).symlink_to(VENV / "bin" / program)
    documents = root / "usr" / "share" / "doc" / "abaca"
    documents.mkdir(parents=True)
    for document in (ROOT / "README.md", ROOT / "THIRD-PARTY-NOTICES.md"):
        shutil.copy(document, documents)
    man_pages.write(root)
    samples = ROOT / "docs" / "reference" / "samples"
    shutil.copy(samples / "abaca.conf", documents / "abaca.conf.sample")
    shutil.copy(samples / "policy.yaml", documents / "policy.yaml.sample")
    units = root / "lib" / "systemd" / "system"
    shutil.copytree(ROOT / "packaging" / "systemd", units)
    configuration = root / "etc" / "abaca"
    configuration.mkdir(parents=True)
    shutil.copy(ROOT / "packaging" / "etc" / "abaca.conf", configuration)


def run(*command: str, cwd: Path = ROOT, **environment: str) -> None:
    """Raises SystemExit with what a program said when it failed."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"deb: {command[0]} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def _virtual_environment(root: Path) -> None:
    venv = root / VENV.relative_to("/")
    run(PYTHON, "-m", "venv", "--without-pip", str(venv))
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--link-mode=copy"]
    uv += ["--python", str(venv / "bin" / "python"), "--no-compile-bytecode"]
    run(*uv, "--require-hashes", "-r", "requirements/runtime.lock")
    with TemporaryDirectory() as folder:
        release.build(ROOT, Path(folder), "wheel")
        (wheel,) = Path(folder).glob("*.whl")
        run(*uv, "--no-deps", "--no-index", str(wheel))
    _forget_this_machine(venv)
    # By hash and never checked: root's services write nothing there when they run.
    (site,) = venv.glob("lib/python*/site-packages")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    there = str(VENV / site.relative_to(venv))
    compileall.compile_dir(
        site, quiet=2, workers=1, invalidation_mode=mode, stripdir=str(site), prependdir=there
    )


def _forget_this_machine(venv: Path) -> None:
    """Whatever names the folder that this was made in: scripts get the final one, others go."""
    for activation in (venv / "bin").glob("[Aa]ctivate*"):
        activation.unlink()
    for script in (venv / "bin").iterdir():
        if not script.is_symlink():
            text = script.read_bytes()
            script.write_bytes(text.replace(bytes(venv.resolve()), bytes(VENV)))
    for name in OF_THIS_MACHINE:
        for file in venv.glob(f"lib/python*/site-packages/*.dist-info/{name}"):
            file.unlink()
    (venv / ".lock").unlink(missing_ok=True)
    kept = [
        line
        for line in (venv / "pyvenv.cfg").read_text().splitlines()
        if not line.startswith("command")
    ]
    (venv / "pyvenv.cfg").write_text("\n".join(kept) + "\n")


def _tracked() -> list[str]:
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name]


def _changelog(version: str) -> str:
    seconds = int(release.date().get("SOURCE_DATE_EPOCH", "0"))
    return (
        f"abaca ({version}) unstable; urgency=medium\n\n"
        "  * See CHANGELOG.md, installed as changelog.\n\n"
        f" -- The Abaca contributors <abaca@example.org>  {formatdate(seconds)}\n"
    )


def _copyright() -> str:
    """Machine-readable, with what each bundled distribution says of itself."""
    stanzas = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        "Files: *\nCopyright: The Abaca contributors\nLicense: Apache-2.0",
    ]
    for name, version, licence in notices.bundled():
        stanzas.append(
            f"Files: usr/lib/abaca/venv/lib/python3.11/site-packages/{name.replace('-', '_')}*\n"
            f"Copyright: the authors of {name} {version}; see its .dist-info folder\n"
            f"License: {licence}"
        )
    stanzas.append(
        "Comment: licences of 2.0 and others that Debian has are in /usr/share/common-licenses"
    )
    return "\n\n".join(stanzas) + "\n"


if __name__ == "__main__":
    if sys.argv[1] == "--fill":
        fill(Path(sys.argv[2]))
    else:
        print(f"deb: {build(Path(sys.argv[1]))}")
