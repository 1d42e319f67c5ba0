"""Processes of a new release on a database that nobody has migrated yet: they say so and end."""

from __future__ import annotations

import subprocess

import pytest

from abaca import config
from abaca.admin import state_dir
from abaca.db import migrations
from tests.service import installation


@pytest.mark.parametrize("process", ["api", "worker"])
def test_it_names_the_command_that_is_missing(process: str) -> None:
    with installation() as made:
        conf = config.load(overrides={"state_dir": str(made.state_dir)})
        state_dir.prepare(conf)
        migrations.downgrade(config.database_url(conf), migrations.revisions()[1])
        done = subprocess.run(
            made.command(process), capture_output=True, text=True, timeout=60, check=False, cwd="/"
        )
    assert done.returncode == 1
    assert "run `abaca-manage db sync`" in done.stderr
