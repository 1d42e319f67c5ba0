"""The users file as an API process reads it first, when many ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt

from abaca.api.users_file import UsersFile


def test_the_first_requests_of_a_process_wait_until_the_file_has_been_read(tmp_path: Path) -> None:
    """They come together when a process is started under load; none may be told that its password is wrong."""
    path = tmp_path / "users"
    path.write_text(f"mary:{bcrypt.hashpw(b'secret', bcrypt.gensalt(12)).decode()}:blue:member\n")  # a cost at which reading takes its time
    users = UsersFile(path, remember=60)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: users.verify("mary", "secret"), range(4)))
    assert [user is not None and user.project_id for user in found] == ["blue"] * 4
