"""That every route is called by a test of this folder, with success and where it can refuse, with a
refusal, is looked at when all of them have run (`tests/conftest.py`), as one more test. Here: that
this cannot be passed by luck.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from abaca.api.openapi import ROUTE as OPENAPI
from abaca.api.routing import ROUTES
from tests.api.called_routes import lacking, named, note
from tests.api.calls import Calls

REPOSITORY = Path(__file__).parents[2]
TYPES = [route for route in ROUTES if (route.method, route.path) == ("GET", "/v2/types")]
CONFTEST = """
from tests.api.calls import CALLS
from tests.conftest import pytest_runtestloop, pytest_sessionfinish, pytest_testnodedown

def pytest_collection_modifyitems():
    CALLS.is_whole = True
"""
TEST = """
from tests.api.calls import CALLS

def test_calls():
    for route, status in {calls}:
        CALLS.note(route, status)
"""


def test_a_route_that_no_test_has_called_is_told() -> None:
    calls = Calls()
    everything = lacking(calls)
    assert {line.rpartition(":")[0] for line in everything} >= {
        named(route) for route in ROUTES if route.policy
    }
    note(calls, "GET", "/v2/types?limit=1", None, "2.70", 200)
    note(calls, "GET", "/v2/types", None, "2.70", 400)
    assert {line.rpartition(":")[0] for line in set(everything) - set(lacking(calls))} <= {
        named(route) for route in TYPES
    }
    assert len(lacking(calls)) == len(everything) - 2


@pytest.mark.parametrize("call", [("2.70", 401), ("2.999", 200), ("3.0", 200), ("nonsense", 400)])
def test_calls_that_say_nothing_about_a_route_do_not_count(call: tuple[str, int]) -> None:
    calls = Calls()
    note(calls, "GET", "/v2/types", None, *call)
    assert lacking(calls) == lacking(Calls())


@pytest.mark.parametrize(("processes", "forgotten"), [(0, 1), (2, 0), (2, 1)])
def test_what_all_processes_have_called_is_put_together(
    tmp_path: Path, processes: int, forgotten: int
) -> None:
    successes = [(named(route), route.status) for route in [*ROUTES, OPENAPI]]
    refusals = [(named(route), 404) for route in [*ROUTES, OPENAPI] if route.policy]
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_successes.py").write_text(TEST.format(calls=successes))
    (tmp_path / "test_refusals.py").write_text(TEST.format(calls=refusals[forgotten:]))
    options = [
        "-c",
        str(REPOSITORY / "pyproject.toml"),
        f"--rootdir={tmp_path}",
        f"--basetemp={tmp_path}/temp",
        "-p",
        "no:cacheprovider",
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *options,
        f"--numprocesses={processes}",
        "--dist=loadfile",
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False
    )
    if forgotten:
        assert done.returncode == 1 and "1 failed, 2 passed" in done.stdout, (
            done.stdout + done.stderr
        )
        assert f"{refusals[0][0]}: no refusal" in done.stdout
    else:
        assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
