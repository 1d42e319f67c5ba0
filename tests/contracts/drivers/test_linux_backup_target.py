"""The folder that backups are kept in, and the key of their passwords."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.drivers.linux.backups.target import MARK, OPTIONS, Target
from abaca.drivers.linux.layout import Layout
from abaca.errors import Refused, Unavailable
from abaca.values import Backup

pytestmark = pytest.mark.root

BACKUP = Backup(id="backup", share_id="share", project_id="project", size=1)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout("tbackups", tmp_path / "state", "linux")
    layout.state.mkdir(parents=True)
    yield layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def target(layout: Layout, folder: Path) -> Target:
    made = Target.of({"backup_folder": str(folder)}, layout)
    assert made is not None
    return made


def lack(of: Target) -> str:
    (finding,) = of.findings()
    return finding.lack or ""


def test_without_the_option_there_is_none(layout: Layout) -> None:
    assert Target.of({name: option.default for name, option in OPTIONS.items()}, layout) is None


def test_a_path_from_nowhere_is_refused(layout: Layout) -> None:
    with pytest.raises(Unavailable, match="must be an absolute path"):
        Target.of({"backup_folder": "backups"}, layout)


def test_a_folder_is_used_and_marked(layout: Layout, folder: Path) -> None:
    of = target(layout, folder)
    assert lack(of) == "" and not (folder / MARK).exists()
    of.require()
    marked = (folder / MARK).read_text()
    of.require()
    assert (folder / MARK).read_text() == marked and lack(of) == ""
    assert layout.backup_key.stat().st_mode & 0o777 == 0o600
    assert layout.backup_key.read_text().strip() not in marked


def test_a_folder_that_is_missing_is_said(layout: Layout, folder: Path) -> None:
    folder.rmdir()
    of = target(layout, folder)
    with pytest.raises(Unavailable, match=f"{folder} is not there"):
        of.require()
    assert f"{folder} is not there" in lack(of)


def test_a_folder_that_others_may_write_to_is_said(layout: Layout, folder: Path) -> None:
    os.chown(folder, 1234, 0)
    of = target(layout, folder)
    with pytest.raises(Unavailable, match="must belong to root"):
        of.require()
    assert "must belong to root" in lack(of)


def test_the_empty_folder_under_a_mount_is_not_taken_for_it(layout: Layout, folder: Path) -> None:
    of = target(layout, folder)
    of.require()
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    with pytest.raises(Unavailable, match=f"lacks its file {MARK}"):
        of.require()
    assert f"lacks its file {MARK}" in lack(of) and list(folder.iterdir()) == []
    folder.rmdir()
    folder.with_name("elsewhere").rename(folder)
    of.require()


def test_another_folder_may_be_set(layout: Layout, folder: Path) -> None:
    target(layout, folder).require()
    other = folder.with_name("other")
    other.mkdir()
    target(layout, other).require()
    assert (other / MARK).read_text() == (folder / MARK).read_text()


def test_a_lost_key_is_not_replaced(layout: Layout, folder: Path) -> None:
    of = target(layout, folder)
    of.require()
    key = layout.backup_key.read_text()
    layout.backup_key.unlink()
    with pytest.raises(Unavailable, match="is not there: put it back"):
        of.require()
    assert "put it back" in lack(of) and not layout.backup_key.exists()
    layout.backup_key.write_text("ab" * 32)
    with pytest.raises(Unavailable, match="made with another key"):
        of.require()
    layout.backup_key.write_text("no key")
    with pytest.raises(Unavailable, match="is not a key of backups"):
        of.require()
    layout.backup_key.write_text(key)
    of.require()


def test_each_share_has_a_repository_and_a_password_of_its_own(
    layout: Layout, folder: Path
) -> None:
    of = target(layout, folder)
    of.require()
    other = Backup(id="backup", share_id="other", project_id="project", size=1)
    assert of.repository(BACKUP) == folder / "project" / "share"
    assert of.password(BACKUP) == target(layout, folder).password(BACKUP) != of.password(other)
    assert len(of.password(BACKUP)) == 64


@pytest.mark.parametrize("project", ["..", "a/b", "", "/"])
def test_ids_lead_nowhere_else(layout: Layout, folder: Path, project: str) -> None:
    backup = Backup(id="backup", share_id="share", project_id=project, size=1)
    with pytest.raises(Refused, match="cannot be used as an id"):
        target(layout, folder).repository(backup)
