"""Tests of one process do not see what a command set for its children in another test."""

from __future__ import annotations

import os

from click.testing import CliRunner

from abaca.admin import cli

SET = "PYTHONSAFEPATH"
BEFORE = os.environ.get(SET)


def test_a_command_sets_something_for_its_children() -> None:
    assert CliRunner().invoke(cli.main, ["doctor", "--help"]).exit_code == 0
    assert os.environ[SET] == "1"


def test_the_next_test_does_not_see_it() -> None:
    assert os.environ.get(SET) == BEFORE
