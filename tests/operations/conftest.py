"""Installations with fake back ends on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.databases import Initialise
from tests.operations.scene import make_stack
from tests.stack import Stack, initialise

Install = Callable[..., Stack]


@pytest.fixture
def install(template_database: Callable[[Initialise], str], tmp_path: Path) -> Iterator[Install]:
    """`install({back end: options}, **overrides)`: an installation without a running worker, with a
    share type `default`."""
    made: list[Stack] = []

    def make(backends: Mapping[str, Mapping[str, str]] | None = None, **overrides: object) -> Stack:
        state_dir = tmp_path / f"state-{len(made)}"
        state_dir.mkdir()
        stack = make_stack(
            state_dir,
            template_database(initialise),
            {"alpha": {}} if backends is None else backends,
            **overrides,
        )
        stack.share_type()
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.close()


@pytest.fixture
def stack(install: Install) -> Iterator[Stack]:
    """One back end, alpha, and a running worker."""
    stack = install()
    with stack.working():
        yield stack
