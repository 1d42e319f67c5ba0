"""What every test may use: a fresh database of each kind, empty or made from a template.

`--databases=sqlite` (or `postgresql`, or both with a comma, which is the default) chooses the kinds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.databases import KINDS, Databases, Initialise, PostgresqlCluster, PostgresqlDatabases, SqliteDatabases, find_postgresql, memory
from tests.openstack.fixtures import keystone, keystone_template, neutron, neutron_lab, neutron_template  # noqa: F401 - fixtures
from tests.walk import REPORT

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of what is tested
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--databases", default=",".join(KINDS), help=f"comma-separated: {', '.join(KINDS)} (default: all)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in REPORT.lines():
        terminalreporter.write_line(line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--databases").split(",")
        unknown = set(kinds) - set(KINDS)
        if unknown:
            raise pytest.UsageError(f"--databases: no such kind: {', '.join(sorted(unknown))}")
        metafunc.parametrize("database_kind", kinds, scope="session")


@pytest.fixture(scope="session")
def postgresql_databases() -> Iterator[Databases]:
    """Databases of a PostgreSQL cluster that runs for this session."""
    binaries = find_postgresql()
    if binaries is None:
        pytest.skip("PostgreSQL is missing (Debian: postgresql)")
    cluster = PostgresqlCluster(binaries)
    try:
        cluster.start()
        yield PostgresqlDatabases(cluster.port)
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def sqlite_databases() -> Iterator[Databases]:
    with tempfile.TemporaryDirectory(prefix="abaca-tests-", dir=memory()) as folder:
        yield SqliteDatabases(Path(folder))


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, database_kind: str) -> Databases:
    """The source of databases of the kind that this test runs on."""
    source: Databases = request.getfixturevalue(f"{database_kind}_databases")
    return source


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of a fresh, empty database; the test runs once for each kind."""
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture
def template_database(databases: Databases) -> Iterator[Callable[[Initialise], str]]:
    """`template_database(initialise)`: the URL of a fresh copy of the database that `initialise(url)` made once this session."""
    urls: list[str] = []

    def create(initialise: Initialise) -> str:
        urls.append(databases.create_from(initialise))
        return urls[-1]

    yield create
    for url in urls:
        databases.drop(url)
