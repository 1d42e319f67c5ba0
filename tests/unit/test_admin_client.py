"""`abaca client`: what it refuses. That it makes clients who reach shares:
tests/e2e/test_tutorials.py."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from oslo_config import cfg

from abaca import config
from abaca.admin import cli, state_dir
from abaca.db.session import begin, create_engine
from abaca.domain.local_networks import local_networks
from abaca.values import Caller
from tests.service import reachable_folder

ADMIN = Caller(user_id="admin", project_id="admin", roles=("admin",), is_admin=True)


@pytest.fixture(scope="module")
def conf() -> Iterator[cfg.ConfigOpts]:
    """An installation with a network `blue`, and two that are called `green`."""
    with reachable_folder() as folder:
        conf = config.load([os.devnull], {"state_dir": str(folder / "state")})
        state_dir.prepare(conf)
        engine = create_engine(config.database_url(conf))
        with begin(engine) as conn:
            for name in ("blue", "green", "green"):
                local_networks.create(conn, ADMIN, name=name)
        engine.dispose()
        yield conf


def call(conf: cfg.ConfigOpts, *arguments: str) -> Result:
    command = ["client", *arguments, "--config-file", os.devnull, "--state-dir", conf.state_dir]
    return CliRunner().invoke(cli.main, command)


@pytest.mark.parametrize("verb", ["add", "remove"])
@pytest.mark.parametrize("name", ["abaca", "abaca1f2e3", "abaca.6f0c", "a.b", "../x", "", "a" * 33])
def test_abacas_own_namespaces_are_no_clients(conf: cfg.ConfigOpts, verb: str, name: str) -> None:
    options = ("--network", "blue", "--address", "10.0.0.1/24") if verb == "add" else ()
    result = call(conf, verb, name, *options)
    assert result.exit_code == 1 and f"'{name}' cannot be a client's name" in result.output


@pytest.mark.parametrize(
    ("network", "address", "said"),
    [
        ("red", "10.0.0.9/24", "--network red: no local network."),
        ("green", "10.0.0.9/24", "--network green: several local networks have that name"),
        ("blue", "ten", "--address ten: an address with its prefix length is expected"),
    ],
)
def test_what_is_not_there_is_named(
    conf: cfg.ConfigOpts, network: str, address: str, said: str
) -> None:
    result = call(conf, "add", "laptop", "--network", network, "--address", address)
    assert result.exit_code == 1 and said in result.output
