"""An installation with fake back ends on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from abaca.drivers.fake.faults import write_plan
from tests.databases import Initialise
from tests.stack import Stack, initialise, make_conf


@pytest.fixture
def faults(tmp_path: Path) -> Callable[..., None]:
    """`faults(Fault(…), …)` replaces the fault plan of the back end alpha."""
    plan = tmp_path / "faults.json"
    write_plan(plan, [])
    return lambda *entries: write_plan(plan, entries)


@pytest.fixture
def stack(template_database: Callable[[Initialise], str], tmp_path: Path, faults: Callable[..., None]) -> Iterator[Stack]:
    """One back end, alpha, and a running worker."""
    faults()
    conf = make_conf(tmp_path, template_database(initialise), {"alpha": {"fault_plan": str(tmp_path / "faults.json")}})
    stack = Stack(conf)
    with stack.working():
        yield stack
    stack.close()


