"""What `make test` leaves out by the seed, and what it never does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import PATIENCE

pytestmark = pytest.mark.slow("all tests are collected, several times")

ROOT = Path(__file__).parents[2]
ON_BOTH = "tests/api/test_share_type_access.py"  # each of its tests runs on both kinds
TABLE = "tests/attack/test_attacks.py"  # sampled(16)
DATABASE = "tests/api/test_calls_at_once.py"  # each_database
FILES = [
    f"tests/clients/test_{name}.py"
    for name in (
        *("csi", "gophercloud", "terraform", "horizon"),
        *("clock", "door", "own_tls", "restarts"),
    )
]  # sampled_file(8)


def collected(*arguments: str, seed: str = "1", times: str = "1") -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=os.environ | {"ABACA_SEED": seed, "ABACA_SAMPLE": times},
        capture_output=True,
        text=True,
        timeout=100 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.fixture(scope="module")
def everything() -> list[str]:
    return collected(ON_BOTH, TABLE, DATABASE)


def test_a_thinned_run_leaves_out_most_of_a_table_and_of_what_ran_on_sqlite(
    everything: list[str],
) -> None:
    thinned = collected("--thinned", ON_BOTH, TABLE, DATABASE)
    left_out = set(everything) - set(thinned)
    assert thinned == [test for test in everything if test not in left_out]
    assert {test.partition("::")[0] for test in left_out} == {ON_BOTH, TABLE}
    for file, one_of in ((ON_BOTH, 10), (TABLE, 16)):
        table = [
            test
            for test in everything
            if test.startswith(file) and (file == TABLE or "postgresql" in test)
        ]
        assert len(table) // one_of <= len(set(thinned) & set(table)) <= -(-len(table) // one_of)
    assert not [test for test in left_out if test.startswith(ON_BOTH) and "sqlite" in test]


def test_of_files_that_set_up_much_one_in_eight_runs_whole() -> None:
    whole = collected(*FILES)
    thinned = collected("--thinned", *FILES)
    (file,) = {test.partition("::")[0] for test in thinned}
    assert thinned == [test for test in whole if test.startswith(file)]


def test_a_larger_sample_leaves_less_out(everything: list[str]) -> None:
    once, twice = (collected("--thinned", ON_BOTH, TABLE, DATABASE, times=n) for n in "12")
    assert set(once) < set(twice) < set(everything)
    assert collected("--thinned", *FILES, times="8") == collected(*FILES)


def test_the_largest_sample_leaves_nothing_out(everything: list[str]) -> None:
    assert collected("--thinned", ON_BOTH, TABLE, DATABASE, times="all") == everything


def test_whoever_asks_for_one_kind_of_database_has_all_of_it(everything: list[str]) -> None:
    alone = [test for test in everything if test.startswith(ON_BOTH) and "postgresql" in test]
    assert collected("--thinned", "--databases=postgresql", ON_BOTH) == alone
