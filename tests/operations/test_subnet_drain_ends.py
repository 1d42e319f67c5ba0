"""How a drain ends: a plain deletion once nobody is connected, or its deadline."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import client_inquiries, share_network_checks, share_network_subnets
from abaca.domain.network_changes import (
    connected_clients,
    share_server_repairs,
    subnet_deletions,
    subnet_drain_deadlines,
    subnet_drains,
)
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.network_changes.subnet_drain_deadlines import LONGEST_PAUSE, RETRIED_FOR
from abaca.domain.network_changes.subnet_drains import CANCEL, FORCE
from abaca.domain.share_networks import share_network_subnets as nouns
from abaca.domain.share_networks import share_networks
from abaca.domain.share_servers import share_servers
from abaca.drivers.interface import MOST_CLIENTS
from abaca.errors import Conflict, Missing
from abaca.reconcile import subnet_drain_deadlines as deadlines
from abaca.values import ServerUpdate
from abaca.worker.process import Worker
from abaca.workflow import queue
from tests.operations.conftest import Install
from tests.operations.scene import available_share, failing, plan, server, server_of, told, world
from tests.operations.test_share_server_clients import answered, client, connect
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)

FIRST_OF_CROWD = IPv4Address("10.2.1.0")
CHECK = "check_update_share_server_network_allocations"
UPDATE = "update_share_server_network_allocations"


class Scene:
    """A share network on two subnets with a share; the tests take the first one away."""

    def __init__(self, stack: Stack, worker: Worker) -> None:
        self.stack, self._worker = stack, worker
        self.network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
        self.subnet, self.other = self.subnets
        self.share = available_share(stack, self.network)
        self.server = server_of(stack, self.share)
        self.address = stack.paths(self.share)[0].partition(":")[0]

    @property
    def subnets(self) -> list[str]:
        found = self.stack.ask(nouns.find, MEMBER, self.network)
        return [subnet["id"] for subnet in found]

    def idle(self) -> None:
        wait_for(lambda: queue.unfinished(self.stack.engine) == [])

    def drain(self, at_deadline: str = CANCEL, seconds: int = 3600) -> None:
        how = {"at_deadline": at_deadline, "seconds": seconds}
        self.stack.do(subnet_drains.start, MEMBER, self.network, self.subnet, **how)
        self.idle()

    def is_draining(self) -> bool:
        try:
            self.stack.ask(subnet_drains.get, MEMBER, self.network, self.subnet)
        except Missing:
            return False
        return True

    def connect(self, *addresses: str) -> None:
        """Exactly these clients are connected by the first subnet."""
        connect(self._worker, self.server, *(client(self.address, each) for each in addresses))
        self.stack.do(lambda conn: conn.execute(sa.delete(client_inquiries)))

    def delete(self) -> None:
        """As the API does, and until it has ended."""
        asked = subnet_deletions.delete
        while pending := self.stack.do(asked, MEMBER, self.network, self.subnet):
            assert isinstance(pending, PendingCheck)
            self.stack.wait(
                lambda conn, id_=pending.id: not subnet_deletions.is_pending(conn, id_)  # type: ignore[misc]
            )
        self.idle()

    def overdue(self, by: timedelta = timedelta(0)) -> None:
        overdue(self.stack, self.subnet, by)

    def meet(self) -> None:
        """The pass of a worker, and what it begins."""
        deadlines.meet_due(self.stack.engine)
        self.idle()

    def pass_by(self) -> None:
        """The pass of a worker, half a minute after the one before."""
        self.stack.do(age_checks)
        deadlines.meet_due(self.stack.engine)

    def standing(self) -> list[str]:
        entries = world(self.stack)["servers"][self.server]["network_info"]
        return [entry["share_network_subnet_id"] for entry in entries]


def overdue(stack: Stack, subnet_id: str, by: timedelta = timedelta(0)) -> None:
    """The deadline was that long ago."""
    change = sa.update(share_network_subnets).where(share_network_subnets.c.id == subnet_id)
    stack.do(lambda conn: conn.execute(change.values(removal_deadline=utcnow() - by)))


def age_checks(conn: Connection) -> None:
    """What drivers were asked, and have answered, is half a minute older."""
    times = ("created_at", "updated_at", "expires_at")
    for row in conn.execute(sa.select(share_network_checks)).all():
        older = {
            name: row._mapping[name] - timedelta(seconds=30) for name in times if row._mapping[name]
        }
        of_row = sa.update(share_network_checks).where(share_network_checks.c.id == row.id)
        conn.execute(of_row.values(older))


@pytest.fixture
def scene(install: Install) -> Iterator[Scene]:
    stack = install(unused_share_server_cleanup_interval=3600)
    with stack.working() as worker:
        yield Scene(stack, worker)


def test_a_drained_subnet_is_deleted_when_nobody_is_connected(scene: Scene) -> None:
    with pytest.raises(Conflict, match=r"one or more shares or share groups\. .* removal set"):
        scene.delete()
    scene.connect("10.1.0.77", "10.1.0.78")
    scene.drain()
    with pytest.raises(Conflict, match=r"2 clients connected there.*--at-deadline force"):
        scene.delete()
    scene.connect("10.1.0.77")
    with pytest.raises(Conflict, match="1 client connected there"):
        scene.delete()
    scene.connect()
    scene.delete()
    assert scene.subnets == scene.standing() == [scene.other]
    assert len(scene.stack.paths(scene.share)) == 1
    assert scene.stack.ask(share_networks.get, MEMBER, scene.network)["status"] == "active"


def test_who_is_connected_elsewhere_holds_nothing_up(scene: Scene) -> None:
    scene.drain()
    scene.connect()
    connect(scene._worker, scene.server, client(scene.stack.paths(scene.share)[1].split(":")[0]))
    scene.delete()
    assert scene.subnets == [scene.other]


def test_nobody_knows_is_not_nobody(scene: Scene) -> None:
    scene.drain()
    plan(scene.stack, failing("get_clients", "Unavailable"))
    with pytest.raises(Conflict, match="cannot be told now who is connected"):
        scene.delete()
    assert scene.is_draining()
    assert scene.subnets == [scene.subnet, scene.other]


def test_clients_that_a_crowd_elsewhere_hides_are_not_cut(scene: Scene) -> None:
    """A list that is full says nothing of who is not in it."""
    scene.drain()
    elsewhere = scene.stack.paths(scene.share)[1].partition(":")[0]
    crowd = [client(elsewhere, str(FIRST_OF_CROWD + n)) for n in range(MOST_CLIENTS)]
    connect(scene._worker, scene.server, *crowd, client(scene.address))
    with pytest.raises(Conflict, match="cannot be told now who is connected"):
        scene.delete()
    connect(scene._worker, scene.server, client(scene.address), *crowd)
    scene.stack.do(lambda conn: conn.execute(sa.delete(client_inquiries)))
    with pytest.raises(Conflict, match="at least 1 client connected there"):
        scene.delete()
    assert scene.subnets == [scene.subnet, scene.other]


def test_an_answer_from_before_the_drain_does_not_count(scene: Scene) -> None:
    """Somebody may have connected between the two."""
    scene.connect()
    asked = connected_clients.of_share
    assert answered(scene.stack, asked, MEMBER, scene.share, sees_all=False)["clients"] == []
    connect(scene._worker, scene.server, client(scene.address))
    scene.drain()
    with pytest.raises(Conflict, match="1 client connected there"):
        scene.delete()


def test_nor_one_from_before_the_driver_refused_newcomers(scene: Scene) -> None:
    scene.drain()
    scene.connect()
    asked = connected_clients.of_share
    assert answered(scene.stack, asked, MEMBER, scene.share, sees_all=False)["clients"] == []
    connect(scene._worker, scene.server, client(scene.address))
    scene.stack.do(subnet_drains.told, scene.server, scene.subnet, ServerUpdate())
    with pytest.raises(Conflict, match="1 client connected there"):
        scene.delete()


def test_without_shares_it_is_deleted_as_ever(install: Install) -> None:
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
        first, second = [each["id"] for each in stack.ask(nouns.find, MEMBER, network)]
        stack.do(subnet_drains.start, MEMBER, network, first)
        assert stack.do(subnet_deletions.delete, MEMBER, network, first) is None
        assert [each["id"] for each in stack.ask(nouns.find, MEMBER, network)] == [second]


def test_the_last_subnet_stays(scene: Scene) -> None:
    scene.drain()
    scene.delete()
    scene.subnet = scene.other
    scene.drain()
    with pytest.raises(Conflict, match="the last one"):
        scene.delete()
    scene.overdue()
    scene.meet()
    assert not scene.is_draining()


def test_at_its_deadline_a_drain_is_cancelled(scene: Scene) -> None:
    scene.drain(CANCEL)
    scene.meet()
    assert scene.is_draining(), "it is not due"
    scene.connect("10.1.0.77")
    scene.overdue()
    scene.meet()
    assert not scene.is_draining()
    assert scene.subnets == [scene.subnet, scene.other]
    assert told(scene.stack) == ["The drain of the subnet was cancelled at its deadline."]
    scene.meet()
    assert len(told(scene.stack)) == 1


def test_at_its_deadline_a_subnet_is_removed_whoever_is_connected(scene: Scene) -> None:
    scene.drain(FORCE)
    scene.connect("10.1.0.77")
    scene.overdue()
    scene.meet()  # asks the drivers
    scene.meet()
    assert scene.subnets == scene.standing() == [scene.other]
    assert "it is being removed, and clients that are still connected" in told(scene.stack)[0]
    assert scene.stack.do(subnet_drain_deadlines.meet, scene.subnet) is None


def test_of_a_subnet_without_servers_its_project_is_told_too(install: Install) -> None:
    """Its row is gone at once."""
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
        first, second = [each["id"] for each in stack.ask(nouns.find, MEMBER, network)]
        stack.do(subnet_drains.start, MEMBER, network, first, at_deadline=FORCE)
        overdue(stack, first)
        deadlines.meet_due(stack.engine)
        assert [each["id"] for each in stack.ask(nouns.find, MEMBER, network)] == [second]
        assert "it is being removed" in told(stack)[0]


def test_a_removal_that_is_refused_at_the_deadline_is_tried_for_a_day(scene: Scene) -> None:
    scene.drain(FORCE)
    scene.overdue()
    scene.stack.do(share_servers.reset_status, scene.server, "error")
    for _ in range(3):
        scene.meet()
    (text,) = told(scene.stack)
    assert text.startswith("The subnet cannot be removed at its deadline; it is tried again: ")
    assert scene.server in text
    assert scene.stack.ask(subnet_drains.get, MEMBER, scene.network, scene.subnet)["obstacle"]
    scene.stack.do(share_servers.reset_status, scene.server, "active")
    scene.meet()
    scene.meet()
    assert scene.subnets == [scene.other]


def test_a_removal_that_is_refused_is_logged_once_for_each_reason(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Projects decide how many drains there are, and that they are refused."""

    def lines() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name == deadlines.__name__ and record.levelno >= logging.WARNING
        ]

    scene.drain(FORCE)
    scene.overdue()
    scene.stack.do(share_servers.reset_status, scene.server, "error")
    for _ in range(3):
        scene.meet()
    assert len(lines()) == 1 and scene.subnet in lines()[0] and "error" in lines()[0]
    plan(scene.stack, failing(CHECK, "Refused"))
    scene.stack.do(share_servers.reset_status, scene.server, "active")
    for _ in range(4):
        scene.meet()
    assert len(lines()) == 2


def test_after_a_refusal_it_is_not_tried_for_a_while(scene: Scene) -> None:
    """The longer it has been tried, the longer; neither for ever nor when the day is over."""
    scene.drain(FORCE)
    scene.stack.do(share_servers.reset_status, scene.server, "error")

    def is_due() -> bool:
        return scene.stack.ask(subnet_drain_deadlines.due) == [scene.subnet]

    scene.overdue(timedelta(hours=1))
    assert is_due()
    scene.meet()
    assert not is_due()
    refused(scene.stack, scene.subnet, LONGEST_PAUSE - timedelta(minutes=2))
    assert not is_due()
    refused(scene.stack, scene.subnet, LONGEST_PAUSE)
    assert is_due()
    scene.meet()
    assert not is_due()
    scene.overdue(RETRIED_FOR)
    assert is_due()


def refused(stack: Stack, subnet_id: str, ago: timedelta) -> None:
    """The last try was that long ago."""
    change = sa.update(share_network_subnets).where(share_network_subnets.c.id == subnet_id)
    stack.do(lambda conn: conn.execute(change.values(updated_at=utcnow() - ago)))


def test_after_a_day_the_drain_is_cancelled(scene: Scene) -> None:
    scene.drain(FORCE)
    scene.stack.do(share_servers.reset_status, scene.server, "error")
    scene.overdue(RETRIED_FOR)
    scene.meet()
    assert not scene.is_draining()
    assert told(scene.stack)[0].startswith("The subnet could not be removed for a day")


@pytest.mark.parametrize("error", ["Refused", "hang"])
def test_a_driver_that_is_against_it_is_not_asked_for_ever(scene: Scene, error: str) -> None:
    plan(scene.stack, failing(CHECK, error))
    scene.drain(FORCE)
    scene.overdue()
    for _ in range(6):
        scene.pass_by()
        if error != "hang":
            scene.idle()
    texts = told(scene.stack)
    assert len(texts) == len(set(texts)), "each reason is told once"
    assert any("tried again" in text for text in texts) is (error == "Refused")
    assert scene.is_draining()
    scene.overdue(RETRIED_FOR)
    scene.pass_by()
    assert not scene.is_draining()
    assert told(scene.stack)[0].startswith("The subnet could not be removed for a day")


def test_after_a_day_without_a_worker_it_is_tried_still(scene: Scene) -> None:
    scene.drain(FORCE)
    scene.overdue(RETRIED_FOR)
    for _ in range(2):
        scene.pass_by()
        scene.idle()
    assert scene.subnets == [scene.other]


def test_while_the_network_changes_a_deadline_waits(scene: Scene) -> None:
    scene.drain(CANCEL)
    scene.overdue()
    scene.stack.do(share_networks.reset_status, ADMIN, scene.network, "network_change")
    scene.meet()
    scene.stack.do(share_networks.reset_status, ADMIN, scene.network, "active")
    assert scene.is_draining()
    assert told(scene.stack) == []
    scene.meet()
    assert not scene.is_draining()


def test_one_that_is_in_the_way_holds_up_no_other(scene: Scene) -> None:
    stuck = scene.subnet
    scene.drain(FORCE)
    scene.overdue(timedelta(minutes=1))
    scene.stack.do(share_servers.reset_status, scene.server, "error")
    scene.subnet = scene.other
    scene.drain(CANCEL)
    scene.overdue()
    scene.meet()
    assert not scene.is_draining()
    scene.subnet = stuck
    assert scene.is_draining()


def test_nor_does_one_whose_row_nobody_understands(scene: Scene) -> None:
    scene.drain(CANCEL)
    scene.overdue(timedelta(minutes=1))
    hostile = sa.update(share_network_subnets).where(share_network_subnets.c.id == scene.subnet)
    scene.stack.do(lambda conn: conn.execute(hostile.values(metadata=["no", "object"])))
    scene.subnet = scene.other
    scene.drain(CANCEL)
    scene.overdue()
    scene.meet()
    assert not scene.is_draining()


def test_after_an_abandoned_removal_it_drains_without_a_deadline(scene: Scene) -> None:
    scene.drain(FORCE)
    scene.overdue()
    plan(scene.stack, failing(UPDATE, "Refused"))
    scene.meet()
    scene.meet()
    assert server(scene.stack, scene.server)["status"] == "error"
    plan(scene.stack)
    scene.stack.do(share_server_repairs.abandon_network_update, scene.server)
    scene.idle()
    assert server(scene.stack, scene.server)["status"] == "active"
    drain = scene.stack.ask(subnet_drains.get, MEMBER, scene.network, scene.subnet)
    assert (drain["deadline"], drain["ends_at"]) == (None, None)
    scene.meet()
    assert scene.subnets == [scene.subnet, scene.other]
    scene.stack.do(subnet_drains.cancel, MEMBER, scene.network, scene.subnet)
    scene.idle()
    assert not scene.is_draining()
