"""Prints THIRD-PARTY-NOTICES.md: what Abaca runs with, and under which licences.

Names and versions come from requirements/runtime.lock, licences from the metadata of what is
installed. What the lock holds for other platforms only is not installed, and is left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path

from abaca.drivers.linux.backups.target import RESTIC
from abaca.drivers.linux.file_services.nfs.cell.library import COMPILER
from abaca.drivers.linux.requirements import PROGRAMS

LOCK = Path(__file__).parents[1] / "requirements" / "runtime.lock"
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ;(?P<marker>[^\\]*))?", re.MULTILINE)
OTHER_PLATFORMS = re.compile(r"sys_platform == '(?!linux)")
# Debian package → the licence of its programs, as its copyright file says. Abaca runs their
# programs, or has them loaded (the VFS library, by NFS-Ganesha), and distributes none of them.
DEBIAN = {
    "btrfs-progs": "GPL-2.0-only",
    "dbus-daemon": "AFL-2.1 OR GPL-2.0-or-later",
    "gcc": "GPL-3.0-or-later, with the GCC Runtime Library Exception",
    "ldap-utils": "OLDAP-2.8",
    "libc6-dev": "LGPL-2.1-or-later",
    "mount": "GPL-2.0-or-later",
    "nfs-ganesha": "LGPL-3.0-or-later",
    "nfs-ganesha-vfs": "LGPL-3.0-or-later",
    "nftables": "GPL-2.0-only",
    "restic": "BSD-2-Clause",
    "util-linux": "GPL-2.0-or-later",
}
HEAD = """\
# Third-party notices

Abaca is under the [Apache License 2.0](LICENSE). Of others its wheel and its sdist contain only
the modules that its web page runs. Its Debian package contains the Python distributions listed
here, too, as their authors published them; that of psycopg-binary holds libpq and OpenSSL. What
Abaca needs beside it, and the licence of each, is listed here. This page is made by `make notices`.
"""
VENDOR = Path(__file__).parents[1] / "src/abaca/api/page/static/vendor"


def page() -> str:
    return "\n".join([HEAD, *_modules(), "", *_distributions(), "", *_programs()]) + "\n"


def _modules() -> Iterator[str]:
    yield from [
        "## Modules of the web page",
        "",
        f"In `{VENDOR.relative_to(VENDOR.parents[5]).as_posix()}`, unchanged, with their licences.",
        "",
        "| module | version | licence |",
        "|---|---|---|",
    ]
    for module in tomllib.loads((VENDOR / "vendored.toml").read_text())["module"]:
        yield f"| {module['name']} | {module['version']} | {module['licence']} |"


def _distributions() -> Iterator[str]:
    yield from [
        "## Python distributions",
        "",
        "From `requirements/runtime.lock`, with the licence that each one states.",
        "",
    ]
    yield from ["| distribution | version | licence |", "|---|---|---|"]
    yield from (f"| {name} | {version} | {stated} |" for name, version, stated in bundled())


def bundled() -> Iterator[tuple[str, str, str]]:
    """(name, version, licence) of each distribution that Abaca runs with."""
    for pin in PIN.finditer(LOCK.read_text()):
        if not OTHER_PLATFORMS.search(pin["marker"] or ""):
            yield pin["name"], pin["version"], licence(metadata(pin["name"]))


def licence(stated: PackageMetadata) -> str:
    """What a distribution says its licence is: the expression, a short text, or its classifiers."""
    said = [
        text for name in ("License-Expression", "License") for text in stated.get_all(name) or []
    ]
    text = said[0] if said else ""
    if not text or "\n" in text:  # some put the whole licence there
        classifiers = stated.get_all("Classifier") or []
        text = ", ".join(
            line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License")
        )
    if not text:
        raise SystemExit(
            f"notices: {stated['Name']} states no licence: look for it, then say it here"
        )
    return text


def _programs() -> Iterator[str]:
    wanted = {*PROGRAMS.values(), RESTIC, "nfs-ganesha-vfs", COMPILER, "libc6-dev"}
    if wanted != DEBIAN.keys():
        wrong = ", ".join(sorted(wanted ^ DEBIAN.keys()))
        raise SystemExit(f"notices: DEBIAN in {Path(__file__).name} is wrong about {wrong}")
    yield from [
        "## Debian packages",
        "",
        "What the `linux` back end runs, each with the main licence of its programs; all licences "
        "are in",
        "`/usr/share/doc/*/copyright`. Tests use more packages: `scripts/system-packages` lists "
        "them.",
        "",
        "| package | licence |",
        "|---|---|",
    ]
    yield from (f"| {package} | {stated} |" for package, stated in sorted(DEBIAN.items()))


if __name__ == "__main__":
    print(page(), end="")
