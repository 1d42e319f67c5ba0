"""Makes what a release consists of, in the folder that is given (dist): wheel, sdist, the section
of CHANGELOG.md about it, the locked requirements, and the SHA-256 of each.

The same commit gives the same bytes: dates in the archives are that of the commit, or
SOURCE_DATE_EPOCH when it is set. Nothing is downloaded, and nothing is uploaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECTION = re.compile(
    r"^## (?P<version>[^\s,]+)(?P<note>[^\n]*)\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)


def release(folder: Path) -> list[Path]:
    """The files of the release, made anew in `folder`. Raises SystemExit when the newest section of
    CHANGELOG.md is about another version than pyproject.toml."""
    version = newest_version()
    texts = {
        folder / f"abaca-{version}-changes.md": changes_of(
            version, (ROOT / "CHANGELOG.md").read_text()
        ),
        folder / f"abaca-{version}-requirements.txt": (
            ROOT / "requirements" / "runtime.lock"
        ).read_text(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    build(ROOT, folder, "wheel", "sdist")
    files = [
        folder / f"abaca-{version}-py3-none-any.whl",
        folder / f"abaca-{version}.tar.gz",
        *texts,
    ]
    sums = folder / "SHA256SUMS"
    sums.write_text(
        "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    )
    return [*files, sums]


def newest_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def build(tree: Path, folder: Path, *targets: str) -> None:
    """Wheel and sdist (`targets`) of a source tree, in `folder`."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    command += [argument for target in targets for argument in ("--target", target)]
    result = subprocess.run(
        command, cwd=tree, env=os.environ | date(), capture_output=True, text=True
    )
    if result.returncode != 0:
        raise SystemExit(f"release: hatchling failed:\n{result.stdout}{result.stderr}")


def changes_of(version: str, changelog: str) -> str:
    """The newest section of a changelog, which must be about this version."""
    newest = SECTION.search(changelog)
    if newest is None or newest["version"] != version:
        said = newest["version"] if newest else "nothing"
        raise SystemExit(
            f"release: pyproject.toml says version {version}, and the newest section of "
            "CHANGELOG.md"
            f" says {said}: make them agree"
        )
    if "not released" in newest["note"]:
        print(
            f"release: CHANGELOG.md says that {version} is not released yet: date it first to "
            "publish this"
        )
    return f"# Abaca {version}\n\n{newest['text'].strip()}\n"


def date() -> dict[str, str]:
    """The variable that says which date the files in the archives have. Without it and without
    git hatchling takes a date of its own, always the same."""
    if "SOURCE_DATE_EPOCH" in os.environ or not (ROOT / ".git").exists():
        return {}
    command = ["git", "-c", f"safe.directory={ROOT}", "log", "-1", "--format=%ct"]
    seconds = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    return {"SOURCE_DATE_EPOCH": seconds}


if __name__ == "__main__":
    for made in release(Path(sys.argv[1])):
        print(f"release: {made}")
