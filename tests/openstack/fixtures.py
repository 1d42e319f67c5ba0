"""Fixtures: one Keystone and one Neutron for a session. Tests make projects, users and networks of their own in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openstack import keystone as keystone_module
from tests.openstack import neutron as neutron_module
from tests.openstack import process
from tests.openstack.keystone import Keystone
from tests.openstack.lab import NeutronLab
from tests.openstack.neutron import Neutron


@pytest.fixture(scope="session")
def keystone_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every Keystone of this session is a copy of."""
    lack = process.missing()
    if lack:
        pytest.skip(lack)
    return keystone_module.make_template(tmp_path_factory.mktemp("keystone") / "template")


@pytest.fixture(scope="session")
def keystone(keystone_template: Path) -> Iterator[Keystone]:
    """A Keystone that runs for the whole session; it is not to be stopped."""
    made = Keystone(keystone_template, keystone_template.parent / "shared")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def neutron_template(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that every Neutron of this session has a copy of."""
    return neutron_module.make_template(tmp_path_factory.mktemp("neutron") / "template")


@pytest.fixture(scope="session")
def neutron(keystone: Keystone, neutron_template: Path) -> Iterator[Neutron]:
    """A Neutron that runs for the whole session; it is not to be stopped."""
    made = Neutron(neutron_template, neutron_template.parents[1] / "shared", keystone)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def neutron_lab(keystone: Keystone, neutron: Neutron) -> NeutronLab:
    """The shared Neutron, with a user of Abaca's there."""
    return NeutronLab(keystone)
