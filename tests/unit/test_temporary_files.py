"""What takes more room than memory is meant for goes to no disk that anybody may fill."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from abaca.db.session import create_engine, read
from abaca.drivers.linux.programs import complaint

SORTED = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 40000)
    SELECT hex(randomblob(200)) AS text FROM numbers ORDER BY text
"""


def open_files() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the folder itself
            found.add(os.readlink(descriptor))
    return found


def test_sqlite_sorts_in_memory(tmp_path: Path) -> None:
    """16 MB, of which SQLite keeps two in memory by itself."""
    engine = create_engine(f"sqlite:///{tmp_path}/db.sqlite")
    before = open_files()
    with read(engine) as conn:
        result = conn.execution_options(stream_results=True).execute(sa.text(SORTED))
        assert result.fetchone()
        more = {path for path in open_files() - before if not path.startswith(str(tmp_path))}
        result.close()
    engine.dispose()
    assert not more


def test_what_a_program_says_is_kept_in_memory() -> None:
    said = complaint("sh", "-c", "readlink /proc/self/fd/2 >&2; exit 1", timeout=60)
    assert said is not None and said.startswith("/memfd:")
