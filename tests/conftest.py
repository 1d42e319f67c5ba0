"""What every test may use: a fresh database of each kind, empty or made from a template.

`--databases=sqlite` (or `postgresql`, or both with a comma, which is the default) chooses the
kinds.

Every run of a single test pays for this module: what takes long to import is imported where it is
used.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import sample, thinning
from tests.api.calls import CALLS
from tests.databases import (
    KINDS,
    Databases,
    Initialise,
    PostgresqlCluster,
    PostgresqlDatabases,
    SqliteDatabases,
    find_postgresql,
    memory,
)
from tests.openstack.fixtures import (  # noqa: F401 - fixtures
    keystone,
    keystone_template,
    neutron,
    neutron_lab,
    neutron_template,
)
from tests.service import PATIENCE
from tests.walk_report import REPORT

if TYPE_CHECKING:
    from tests.ceph_cluster import Ceph

LEFT_OUT = pytest.StashKey[int]()  # how many tests a thinned run leaves out
EVERY_ROUTE = ("tests/api/called_routes.py", "every_route_has_been_called")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--databases",
        default=",".join(KINDS),
        help=f"comma-separated: {', '.join(KINDS)} (default: all)",
    )
    parser.addoption(
        "--thinned",
        action="store_true",
        help="leave out, by the seed, what tests/thinning.py says",
    )


def pytest_report_header() -> str:
    return sample.told()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    sampled = REPORT.lines()
    if left_out := terminalreporter.config.stash.get(LEFT_OUT, 0):
        sampled.append(f"{left_out} tests were left out by the sample (tests/thinning.py)")
    if sampled or terminalreporter.stats.get("failed"):
        sampled.append(sample.told())
    for line in sampled:
        terminalreporter.write_line(line)


# --- a run of several processes ------------------------------------------------------------------
# The first one hands out the tests, and puts together what the others have seen.


def _is_one_of_several(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files whose tests may take long come first: none begins when the other processes have
    ended."""
    if config.option.thinned:
        _leave_out(config, items)
    if _is_one_of_several(config):
        longest: dict[Path, float] = {}
        for item in items:
            longest[item.path] = max(longest.get(item.path, 0), _limit_of(item))
        items.sort(key=lambda item: -longest[item.path])
    for item in items:
        if limit := _limit_of(item):
            item.add_marker(pytest.mark.timeout(PATIENCE * limit), append=False)


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = thinning.keep(items, config.option.databases.split(","))
    left_out = [item for item in items if item not in kept]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = len(left_out)
    items[:] = [item for item in items if item in kept]


def _limit_of(item: pytest.Item) -> float:
    """The seconds that a test says it may take; 0 when it says nothing."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _is_one_of_several(session.config):
        told = {
            "walked": REPORT.told(),
            "calls": CALLS.told(),
            "left out": session.config.stash.get(LEFT_OUT, 0),
        }
        session.config.workeroutput |= told  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Another process has ended. One that crashed tells nothing, and has failed a test."""
    told = getattr(node, "workeroutput", None)
    if told:
        REPORT.add(told["walked"])
        CALLS.add(told["calls"])
        node.config.stash[LEFT_OUT] = told["left out"]  # the same in each


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """When all tests have ended, one more: those of `tests/api` have called every route."""
    has_run = yield
    is_first = not _is_one_of_several(session.config)
    if CALLS.is_whole and is_first and not session.config.option.collectonly:
        session.config.hook.pytest_runtest_logreport(report=_every_route_has_been_called())
    return has_run


def _every_route_has_been_called() -> pytest.TestReport:
    from tests.api.called_routes import lacking

    began = time.time()
    lacks = lacking(CALLS)
    return pytest.TestReport(
        nodeid="::".join(EVERY_ROUTE),
        location=(EVERY_ROUTE[0], None, EVERY_ROUTE[1]),
        keywords={},
        outcome="failed" if lacks else "passed",
        longrepr="\n".join(lacks) or None,
        when="call",
        start=began,
        stop=time.time(),
    )


# --- databases -----------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--databases").split(",")
        unknown = set(kinds) - set(KINDS)
        if unknown:
            raise pytest.UsageError(f"--databases: no such kind: {', '.join(sorted(unknown))}")
        metafunc.parametrize("database_kind", kinds, scope="session")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a command that runs in this process sets for its children ends with the test."""
    before = dict(os.environ)
    yield
    os.environ.update(before)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


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
    """`template_database(initialise)`: the URL of a fresh copy of the database that
    `initialise(url)` made once this session."""
    urls: list[str] = []

    def create(initialise: Initialise) -> str:
        urls.append(databases.create_from(initialise))
        return urls[-1]

    yield create
    for url in urls:
        databases.drop(url)


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """A real one. Skips where it cannot be had, saying what is missing."""
    from tests import ceph_cluster

    if reason := ceph_cluster.unavailable_reason():
        pytest.skip(reason)
    with ceph_cluster.running(tmp_path_factory.mktemp("ceph")) as made:
        yield made
