"""Fixtures: one Keystone and one Neutron for a session. Tests make projects, users and networks of
their own in them.

Every run of a test imports this; the clients, which take two seconds, are imported by the tests
that need them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.openstack import process

if TYPE_CHECKING:
    from tests.openstack.keystone import Keystone
    from tests.openstack.lab import NeutronLab
    from tests.openstack.neutron import Neutron


@pytest.fixture(scope="session")
def keystone_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every Keystone of this session is a copy of."""
    lack = process.missing()
    if lack:
        pytest.skip(lack)
    from tests.openstack.keystone import make_template

    return make_template(tmp_path_factory.mktemp("keystone") / "template")


@pytest.fixture(scope="session")
def keystone(keystone_template: Path) -> Iterator[Keystone]:
    """A Keystone that runs for the whole session; it is not to be stopped."""
    from tests.openstack.keystone import Keystone

    made = Keystone(keystone_template, keystone_template.parent / "shared")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def neutron_template(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that every Neutron of this session has a copy of."""
    from tests.openstack.neutron import make_template

    return make_template(tmp_path_factory.mktemp("neutron") / "template")


@pytest.fixture(scope="session")
def neutron(keystone: Keystone, neutron_template: Path) -> Iterator[Neutron]:
    """A Neutron that runs for the whole session; it is not to be stopped."""
    from tests.openstack.neutron import Neutron

    made = Neutron(neutron_template, neutron_template.parents[1] / "shared", keystone)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def neutron_lab(keystone: Keystone, neutron: Neutron) -> NeutronLab:
    """The shared Neutron, with a user of Abaca's there."""
    from tests.openstack.lab import NeutronLab

    return NeutronLab(keystone)
