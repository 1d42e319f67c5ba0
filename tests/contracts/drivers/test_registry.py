"""Drivers by name, found through the entry points of what is installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.drivers import registry
from abaca.drivers.fake import FakeDriver
from abaca.errors import Unavailable
from abaca.networks.neutron import NeutronNetworks


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[None]:
    """A distribution with entry points, as pip leaves it."""
    folder = tmp_path / "site" / "some_drivers-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: some-drivers\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[abaca.share_drivers]\nacme = abaca.drivers.fake:FakeDriver\ngone = "
        "no_such_module:Driver\nodd = abaca.drivers.fake.faults:Fault\n"
    )
    sys.path.insert(0, str(tmp_path / "site"))
    yield
    sys.path.remove(str(tmp_path / "site"))


def test_the_in_tree_drivers_are_installed() -> None:
    assert {"fake", "linux"} <= set(registry.known())
    assert isinstance(registry.load("fake", "alpha", {}), FakeDriver)


def test_drivers_are_found_by_name(installed: None) -> None:
    assert {"acme", "gone", "odd"} <= set(registry.known())
    driver = registry.load("acme", "alpha", {"pools": "p:1"})
    assert isinstance(driver, FakeDriver)
    assert (driver.backend_name, driver.get_pools()[0].pool_name) == ("alpha", "p")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unknown", r"There is no driver 'unknown'\. Known drivers: .*acme.*gone.*odd"),
        ("gone", r"The driver 'gone' cannot be loaded: No module named 'no_such_module'"),
        ("odd", r"The driver 'odd' \(abaca\.drivers\.fake\.faults:Fault\) is not a ShareDriver"),
    ],
)
def test_drivers_that_cannot_be_had(installed: None, name: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        registry.load(name, "alpha", {})


def test_rejected_options_reach_the_administrator(installed: None) -> None:
    with pytest.raises(Unavailable, match="option pools"):
        registry.load("acme", "alpha", {"pools": "?"})


def test_options_that_are_secrets_are_marked() -> None:
    """What a sample or a complaint shows of an option goes by that mark."""
    options = {
        f"{name} {option}": said
        for name in registry.known()
        for option, said in registry.driver_class(name).OPTIONS.items()
    }
    options |= {f"neutron {option}": said for option, said in NeutronNetworks.OPTIONS.items()}
    secret = {"neutron password", "neutron application_credential_secret"}
    assert {name for name, said in options.items() if said.is_secret} == secret
    assert {name for name in options if re.search("password|secret|token", name)} == secret
