"""The kernel tells that a file of a folder is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from abaca.workflow.file_changes import changes


def test_a_written_file_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with changes(tmp_path) as wait:
        assert not wait(0.0)
        file.write_text("new")
        assert wait(30.0)
        assert not wait(0.0)
        with file.open("a") as open_file:
            open_file.write("more")
            open_file.flush()
            assert wait(30.0)
        file.read_text()
        assert not wait(0.0)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), changes(tmp_path / "none"):
        pass
