"""Documents and other files: links lead somewhere, and nothing tells of the machine that it was
written on."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click import Group

from abaca.admin.manage import main as manage
from abaca.drivers.capabilities import Capabilities
from abaca.drivers.interface import ShareDriver

ROOT = Path(__file__).parents[2]
# Folders that anybody's clone may be in: naming them gives nothing away.
PLAIN_FOLDERS = {"/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/var/tmp"}
MACHINE = [
    r"/home/[a-z]",
    r"/root/[\w.]",
    r"/opt/(wheels|pypi)",
    r"(--index-url|--extra-index-url|--find-links|--trusted-host|(PIP|UV)_[A-Z_]*INDEX)[ =]",
    r"\b(pypi\.org|pythonhosted\.org)\b",
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
NOT_A_FILE = re.compile(r"^([a-z]+:|#)")


def tracked_files() -> list[Path]:
    """The files that git tracks or would; without git, every file outside of folders whose name
    begins with a dot."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = [
            "git",
            "-c",
            f"safe.directory={ROOT}",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        output = subprocess.run(
            command, cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
        paths = [ROOT / line for line in output.split("\0") if line]
    else:
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])
        ]
    return sorted(path for path in paths if path.is_file())


def text_of(path: Path) -> str:
    return path.read_text(errors="replace")


def prose_of(path: Path) -> str:
    """A document with each line break as a blank: words that belong together may be on two
    lines."""
    return " ".join(text_of(path).split())


def machine_patterns() -> list[str]:
    folders = {str(ROOT), str(ROOT.parent)} - PLAIN_FOLDERS
    return MACHINE + [rf"(?<![\w.}}>]){re.escape(folder)}(?![\w-])" for folder in folders]


def broken_links(document: Path) -> list[str]:
    targets = [
        target
        for target in LINK.findall(FENCE.sub("", text_of(document)))
        if not NOT_A_FILE.match(target)
    ]
    return [
        target for target in targets if not (document.parent / target.partition("#")[0]).exists()
    ]


def test_no_file_tells_of_the_machine_it_was_written_on() -> None:
    pattern = re.compile("|".join(machine_patterns()))
    found = {
        path.relative_to(ROOT).as_posix(): match.group()
        for path in tracked_files()
        if (match := pattern.search(text_of(path)))
    }
    found.pop(Path(__file__).relative_to(ROOT).as_posix(), None)
    assert found == {}


def test_the_readme_says_where_its_commands_are() -> None:
    """In each block, before a command that only the virtual environment has, what finds it."""
    search = 'export PATH="$PWD/.venv/bin:$PATH"'
    blocks = [
        block
        for block in re.findall(r"```console\n(.*?)```", text_of(ROOT / "README.md"), re.DOTALL)
        if re.search(r"^(openstack|abaca) ", block, re.MULTILINE)
    ]
    assert blocks
    for block in blocks:
        assert search in re.split(r"^(?:openstack|abaca) ", block, flags=re.MULTILINE)[0]
        found = subprocess.run(
            ["bash", "-c", f"{search}; command -v abaca openstack"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert found.stdout.split() == [
            str(ROOT / ".venv" / "bin" / name) for name in ("abaca", "openstack")
        ]


def test_locks_hold_hashes_and_no_address() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = text_of(lock)
        assert not re.search(r"://|^-", text, re.MULTILINE), (
            f"{lock.name} names an address or an option"
        )
        pins = re.findall(r"^[\w.-]+==\S+(?: ;[^\\\n]*)?(.*)$", text, re.MULTILINE)
        assert pins and all(rest.strip() == "\\" for rest in pins), (
            f"{lock.name} has a requirement without a hash"
        )
        assert len(pins) == len(re.findall(r"^\w", text, re.MULTILINE)), (
            f"{lock.name} has a requirement that is not pinned"
        )


def test_locks_hold_every_dependency() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    wanted = {
        "runtime": project["dependencies"],
        "dev": sum(project["optional-dependencies"].values(), project["dependencies"]),
    }
    for lock, requirements in wanted.items():
        pinned = set(
            re.findall(
                r"^([\w.-]+)==", text_of(ROOT / "requirements" / f"{lock}.lock"), re.MULTILINE
            )
        )
        names = {
            re.match(r"[\w.-]+", requirement)[0].lower().replace(".", "-")  # type: ignore[index]
            for requirement in requirements
        }
        assert names <= pinned, f"run `make lock`: {lock}.lock lacks {names - pinned}"


def test_links_of_documents_lead_to_files() -> None:
    documents = [path for path in tracked_files() if path.suffix == ".md"]
    assert documents
    assert {
        path.relative_to(ROOT).as_posix(): broken
        for path in documents
        if (broken := broken_links(path))
    } == {}


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](there.md#b) [w](https://x.y)", []),
        ("[a](gone.md)", ["gone.md"]),
        ("```\n[a](gone.md)\n```", []),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, text: str, broken: list[str]) -> None:
    (tmp_path / "there.md").touch()
    document = tmp_path / "document.md"
    document.write_text(text)
    assert broken_links(document) == broken


def test_the_guides_are_complete() -> None:
    """Administrators find every command of `abaca-manage`, authors of drivers every method and
    capability."""
    pages = ("administrator-guide", "several-hosts", "share-servers")
    administrator = "".join(prose_of(ROOT / f"docs/how-to/{page}.md") for page in pages)
    author = prose_of(ROOT / "docs/how-to/driver-guide.md")
    commands = {
        f"{group} {verb}"
        for group, found in manage.commands.items()
        if isinstance(found, Group)
        for verb in found.commands
    }
    assert {command for command in commands if command not in administrator} == set()
    methods = {
        name
        for name in vars(ShareDriver)
        if not name.startswith("_") and callable(getattr(ShareDriver, name))
    }
    assert {
        name for name in methods | set(Capabilities.__struct_fields__) if name not in author
    } == set()
