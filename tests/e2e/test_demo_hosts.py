"""The demonstration with several hosts, as tests: a real Ceph, two workers in namespaces of their
own, the unmodified `openstack` command and `abaca-manage`.

One play, in order: a step that fails makes the next ones fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abaca.admin.demo_steps import Play
from tests import hosts_demo
from tests.ceph_cluster import Ceph
from tests.databases import Databases
from tests.e2e.played import played
from tests.hosts_demo import HostsScene
from tests.stack import initialise

pytestmark = [
    pytest.mark.sampled_file(4),
    pytest.mark.play,
    pytest.mark.root,
    pytest.mark.slow("a Ceph, two workers, and a client that waits for leases and grace periods"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def play(ceph: Ceph, postgresql_databases: Databases) -> Iterator[Play]:
    with played(
        lambda: HostsScene(print, ceph, postgresql_databases.create_from(initialise))
    ) as play:
        yield play


def test_two_hosts_start_with_an_api(play: Play) -> None:
    hosts_demo.start(play)


def test_a_tenants_network_and_share_are_made(play: Play) -> None:
    hosts_demo.make(play)


def test_a_client_writes_and_holds_a_lock(play: Play) -> None:
    hosts_demo.write(play)


def test_the_host_is_drained_while_it_writes(play: Play) -> None:
    hosts_demo.drain(play)


def test_the_host_of_its_server_dies_and_it_goes_on(play: Play) -> None:
    hosts_demo.die(play)


def test_the_dead_host_comes_back_without_the_server(play: Play) -> None:
    hosts_demo.come_back(play)


def test_everything_is_deleted_again(play: Play) -> None:
    hosts_demo.delete(play)
