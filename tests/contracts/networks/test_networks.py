"""The contract of network plug-ins: over the fake one, and over the local one on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, utcnow
from abaca.db.tables import local_addresses_set_aside
from abaca.domain.local_networks import local_networks, local_subnets, rbac_policies
from abaca.domain.local_networks.local_ports import SqlPortStore
from abaca.errors import DatabaseAway, NoSpace, OutcomeUnknown, Refused, Unavailable
from abaca.networks import registry
from abaca.networks.conformance import PROJECT, NetworkConformance, NetworkLab, request
from abaca.networks.fake import FakeNetworks
from abaca.networks.interface import NetworkPlugin
from abaca.networks.local import SET_ASIDE_FOR, LocalNetworks
from abaca.values import Caller, Subnet
from tests.databases import Initialise
from tests.stack import wait_for


class FakeLab:
    def __init__(self) -> None:
        self.plugin = FakeNetworks()

    def add_subnet(
        self, cidr: str, *, network_id: str | None = None, project_id: str = PROJECT
    ) -> Subnet:
        return self.plugin.add_subnet(cidr, network_id=network_id, project_id=project_id)


class LocalLab:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.plugin: NetworkPlugin = registry.load("local", {}, SqlPortStore(engine))

    def add_subnet(
        self, cidr: str, *, network_id: str | None = None, project_id: str = PROJECT
    ) -> Subnet:
        caller = Caller(user_id="u", project_id=project_id)
        with begin(self.engine) as conn:
            network_id = network_id or local_networks.create(conn, caller)["id"]
            made = local_subnets.create(
                conn, caller, network_id=network_id, cidr=cidr, ip_version=ip_network(cidr).version
            )
        return self.plugin.get_subnet(project_id, network_id, made["id"])


@pytest.fixture
def engine(template_database: Callable[[Initialise], str]) -> Iterator[Engine]:
    made = create_engine(template_database(migrations.upgrade))
    yield made
    made.dispose()


class LocalRules(NetworkConformance):
    """The contract, and what subnets in Abaca's own hands are beyond it."""

    def test_a_subnet_that_is_not_the_project_s_to_use_gives_no_address(
        self, network_lab: NetworkLab
    ) -> None:
        """Whatever was found before; also not with one that is, and no address is taken over."""
        mine, others = (
            network_lab.add_subnet("10.1.0.0/24"),
            network_lab.add_subnet("10.2.0.0/24", project_id="another"),
        )
        plugin = network_lab.plugin
        before = [plugin.free_addresses(subnet) for subnet in (mine, others)]
        for project_id in (PROJECT, ""):
            with pytest.raises(Refused, match="There is no subnet"):
                plugin.allocate([request(mine), request(others, project_id=project_id)])
            with pytest.raises(Refused, match="There is no subnet"):
                plugin.take_over(request(others, project_id=project_id), ["10.2.0.7"])
        assert [plugin.free_addresses(subnet) for subnet in (mine, others)] == before
        assert plugin.allocate([request(others, project_id="another")])


class TestFakeNetworks(LocalRules):
    @pytest.fixture
    def network_lab(self) -> FakeLab:
        return FakeLab()

    @pytest.mark.parametrize("after", [False, True])
    def test_faults_on_demand(self, after: bool) -> None:
        lab = FakeLab()
        subnet = lab.add_subnet("10.1.0.0/29")
        lab.plugin.fail("allocate", OutcomeUnknown("lost"), after=after)
        with pytest.raises(OutcomeUnknown):
            lab.plugin.allocate([request(subnet)])
        assert lab.plugin.free_addresses(subnet) == (4 if after else 5)
        assert len(lab.plugin.allocate([request(subnet)])) == 1


class TestLocalNetworks(LocalRules):
    @pytest.fixture
    def network_lab(self, engine: Engine) -> LocalLab:
        return LocalLab(engine)

    def test_the_message_of_a_full_subnet_has_the_numbers(self, network_lab: LocalLab) -> None:
        subnet = network_lab.add_subnet("10.0.0.0/29")
        network_lab.plugin.allocate([request(subnet, count=4)])
        with pytest.raises(NoSpace) as error:
            network_lab.plugin.allocate([request(subnet, count=2)])
        assert (
            error.value.message
            == f"subnet {subnet.neutron_subnet_id} (10.0.0.0/29) has 1 free address, 2 are needed"
        )

    def test_what_other_machines_use_is_given_to_nobody_for_an_hour(
        self, network_lab: LocalLab, engine: Engine
    ) -> None:
        """It counts as given, unless it is a managed server's own."""
        subnet = network_lab.add_subnet("10.0.0.0/29")
        mine = request(subnet, count=2)
        plugin = network_lab.plugin
        used = [each.ip_address for each in plugin.allocate([mine])[0]]
        plugin.set_aside(mine.server_id, used)
        assert plugin.free_addresses(subnet) == 3
        given = [each.ip_address for each in plugin.allocate([request(subnet, count=3)])[0]]
        assert not set(given) & set(used)
        with pytest.raises(NoSpace) as error:
            plugin.allocate([request(subnet)])
        assert error.value.message == (
            f"subnet {subnet.neutron_subnet_id} (10.0.0.0/29) has 0 free addresses, 1 is needed; "
            f"set aside, because other machines use them: {', '.join(sorted(used))}"
        )
        [taken_over] = plugin.take_over(request(subnet), used[:1])
        assert taken_over.ip_address == used[0]
        with begin(engine) as conn:
            (longest,) = conn.scalars(
                sa.select(sa.func.max(local_addresses_set_aside.c.expires_at))
            )
            assert timedelta(0) < longest - utcnow() <= SET_ASIDE_FOR
            conn.execute(sa.update(local_addresses_set_aside).values(expires_at=utcnow()))
        assert plugin.allocate([request(subnet)])[0][0].ip_address == used[1]

    def test_what_was_set_aside_and_is_over_goes(
        self, network_lab: LocalLab, engine: Engine
    ) -> None:
        subnet = network_lab.add_subnet("10.0.0.0/29")
        used = []
        for number in range(3):
            mine = request(subnet)
            used.append(network_lab.plugin.allocate([mine])[0][0].ip_address)
            network_lab.plugin.set_aside(mine.server_id, used[-1:])
            if number == 1:
                with begin(engine) as conn:
                    conn.execute(sa.update(local_addresses_set_aside).values(expires_at=utcnow()))
        with begin(engine) as conn:
            kept = list(conn.scalars(sa.select(local_addresses_set_aside.c.ip_address)))
        assert kept == used[-1:]
        assert network_lab.plugin.free_addresses(subnet) == 4

    def test_shared_networks_are_for_all_projects(
        self, network_lab: LocalLab, engine: Engine
    ) -> None:
        admin = Caller(user_id="u", project_id="admin", is_admin=True)
        with begin(engine) as conn:
            network = local_networks.create(conn, admin, shared=True)
            made = local_subnets.create(
                conn, admin, network_id=network["id"], cidr="10.1.0.0/24", ip_version=4
            )
        assert (
            network_lab.plugin.get_subnet(PROJECT, network["id"], made["id"]).segmentation_id
            == network["segmentation_id"]
        )

    def test_the_only_subnet_need_not_be_named(self, network_lab: LocalLab) -> None:
        subnet = network_lab.add_subnet("10.1.0.0/24")
        assert network_lab.plugin.get_subnet(PROJECT, subnet.neutron_net_id, None) == subnet
        network_lab.add_subnet("10.2.0.0/24", network_id=subnet.neutron_net_id)
        with pytest.raises(Refused, match="2 subnets"):
            network_lab.plugin.get_subnet(PROJECT, subnet.neutron_net_id, None)


def test_a_policy_that_is_being_deleted_gives_no_address(engine: Engine) -> None:
    """Whoever asks at that moment waits for it."""
    lab = LocalLab(engine)
    subnet, owner = (
        lab.add_subnet("10.1.0.0/24", project_id="a"),
        Caller(user_id="u", project_id="a"),
    )
    with begin(engine) as conn:
        policy = rbac_policies.create(
            conn, owner, network_id=subnet.neutron_net_id, target_project=PROJECT
        )
    assert lab.plugin.allocate([request(subnet)])[0]
    with ThreadPoolExecutor(1) as threads:
        with begin(engine) as conn:
            rbac_policies.delete(conn, owner, policy["id"])
            given = threads.submit(lab.plugin.allocate, [request(subnet)])
            wait_for(lambda: given.done() or _waits(engine))
        with pytest.raises(Refused, match="There is no subnet"):
            given.result(60)


def _waits(engine: Engine) -> bool:
    """Whether somebody waits for a row. On SQLite whoever writes waits for the other writer."""
    if engine.dialect.name == "sqlite":
        return True
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    with engine.connect() as conn:
        return bool(conn.scalar(waiting))


def test_a_server_has_one_address_a_place(engine: Engine) -> None:
    """A share network subnet that was given another local subnet must be released first; nothing is
    given twice behind its back."""
    lab = LocalLab(engine)
    one, two = lab.add_subnet("10.1.0.0/24"), lab.add_subnet("10.2.0.0/24")
    lab.plugin.allocate([request(one, server_id="s", share_network_subnet_id="n")])
    with pytest.raises(Refused, match="release it first"):
        lab.plugin.allocate([request(two, server_id="s", share_network_subnet_id="n")])


def test_a_database_that_is_gone_is_a_back_end_error() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    plugin = LocalNetworks({}, SqlPortStore(engine))
    with pytest.raises(DatabaseAway):
        plugin.get_subnet(PROJECT, "n", "s")
    with pytest.raises(DatabaseAway):
        plugin.release("s")


def test_an_unknown_plug_in_is_named(engine: Engine) -> None:
    with pytest.raises(Unavailable, match=r"'nosuch'.*local"):
        registry.load("nosuch", {}, SqlPortStore(engine))
