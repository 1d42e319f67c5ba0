"""A database that is reached over IPv6."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import Initialise
from tests.operations.scene import available_share, make_stack
from tests.stack import initialise


def test_a_worker_works_and_is_woken(
    template_database: Callable[[Initialise], str], tmp_path: Path
) -> None:
    url = template_database(initialise)
    if "127.0.0.1" not in url:
        pytest.skip("SQLite has no address")
    stack = make_stack(tmp_path, url.replace("127.0.0.1", "[::1]"), {"alpha": {}})
    try:
        stack.share_type()
        with stack.working():
            share = available_share(stack, stack.share_network(*stack.network("fd00::/64")))
            (path,) = stack.paths(share)
        assert path.startswith("[fd00::")
    finally:
        stack.close()
