"""Clients who ask at the same moment for whatever goes on with the same few nouns: a round is one request of each, started together.

What is asked is drawn from a seed, how it meets is up to the machine. A refusal is an answer like any other; everything else is a find.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from threading import Barrier, Event, Thread
from typing import Any

import sqlalchemy as sa

from abaca.db.tables import share_access_rules, share_network_subnets, share_networks, share_servers, share_snapshots, shares
from abaca.domain import access_rules, share_creation, share_server_repairs, snapshots, subnet_additions
from abaca.domain import share_network_subnets as subnets
from abaca.domain import share_networks as networks
from abaca.domain import share_servers as servers
from abaca.domain import shares as share_nouns
from abaca.domain.share_creation import ShareRequest
from abaca.domain.subnet_additions import SubnetRequest
from abaca.drivers.fake.faults import Fault
from abaca.errors import CallerError
from abaca.values import Caller
from abaca.workflow import inspection, queue
from tests.operations import invariants
from tests.operations.scene import plan
from tests.stack import ADMIN, MEMBER, Stack, wait_for

LIMITS = {"shares": 7, "gigabytes": 20, "share_networks": 3, "snapshots": 4, "snapshot_gigabytes": 8, "per_share_gigabytes": -1}
CIDRS = ("10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24", "10.3.0.0/29", "fd00:2::/64")
ZONES = (None, None, None, "nova", "east")
UPDATE = "update_share_server_network_allocations"
FAILING = (UPDATE, UPDATE, UPDATE, f"check_{UPDATE}", "setup_server", "create_share", "extend_share", "update_access", "ensure_server",
           "teardown_server", "delete_share", "create_snapshot")  # fmt: skip

COLLEAGUE = Caller(user_id="colleague", project_id=MEMBER.project_id, roles=("member",))

Action = Callable[["Crowd", random.Random], object]


class Crowd:
    """`asked`: how often which request was answered, and how."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.asked: Counter[str] = Counter()
        self._seed = seed
        self._round = 0
        self.pairs = stack.network(*CIDRS)
        self.history: list[list[str]] = []

    def gather(self) -> None:
        """What can be asked about: two networks with a few shares."""
        self.meet(create_network, create_network)
        self.meet(*[create_share] * 5)

    def meet(self, *named: Action, size: int = 6) -> None:
        """A round: these requests at once, or `size` drawn ones. All invariants hold meanwhile, and when all work has ended."""
        self._round += 1
        rng = random.Random(f"{self._seed}/{self._round}")
        actions = named or rng.choices(list(ACTIONS), list(ACTIONS.values()), k=size)
        plan(self.stack, *self._faults(rng))
        self.history.append([action.__name__ for action in actions])
        finds: list[str] = []
        start, over = Barrier(len(actions) + 1), Event()
        clients = [Thread(target=self._ask, args=(action, random.Random(rng.random()), start, finds)) for action in actions]
        watcher = Thread(target=self._watch, args=(start, over, finds))
        for thread in (*clients, watcher):
            thread.start()
        for thread in clients:
            thread.join()
        self._rest()
        over.set()
        watcher.join()
        finds += invariants.broken(self.stack.engine, LIMITS, at_rest=True)
        finds += [f"parked: {operation.id}: {operation.reason}" for operation in inspection.find(self.stack.engine)]
        assert not finds, f"seed {self._seed}, round {self._round}, {self.history[-1]}:\n" + "\n".join(finds)

    def _rest(self) -> None:
        wait_for(lambda: not queue.unfinished(self.stack.engine), 60)

    def _ask(self, action: Action, rng: random.Random, start: Barrier, finds: list[str]) -> None:
        start.wait(30)
        try:
            action(self, rng)
            self.asked[f"{action.__name__} done"] += 1
        except CallerError as refusal:
            self.asked[f"{action.__name__} {type(refusal).__name__}"] += 1
        except Nobody:
            self.asked[f"{action.__name__} of nobody"] += 1
        except Exception as error:
            finds.append(f"{action.__name__}: {error!r}")

    def _watch(self, start: Barrier, over: Event, finds: list[str]) -> None:
        start.wait(30)
        while not over.is_set() and not finds:
            finds += invariants.broken(self.stack.engine, LIMITS)
            over.wait(0.005)

    def _faults(self, rng: random.Random) -> list[Fault]:
        """In one of three rounds a method of the driver of alpha fails, once or always."""
        if rng.random() > 0.33:
            return []
        error = rng.choice(("Refused", "NoSpace", "OutcomeUnknown"))
        return [Fault(method=rng.choice(FAILING), error=error, times=rng.choice((1, None)), when=rng.choice(("before", "after")))]  # type: ignore[arg-type]

    def one_of(self, rng: random.Random, column: sa.Column[Any], *conditions: sa.ColumnElement[bool]) -> str:
        """An id that is there, of whatever is there. Raises Nobody."""
        found = self.stack.ask(lambda conn: list(conn.scalars(sa.select(column).where(*conditions).order_by(column))))
        if not found:
            raise Nobody
        return str(rng.choice(found))


class Nobody(Exception):
    """There is nothing that could be asked about."""


def create_network(crowd: Crowd, rng: random.Random) -> None:
    net, subnet = rng.choice(crowd.pairs)
    made = {"name": "n", "description": None, "neutron_net_id": net, "neutron_subnet_id": subnet, "quota_defaults": LIMITS}
    crowd.stack.do(networks.create, MEMBER, **made)


def delete_network(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(networks.delete, MEMBER, crowd.one_of(rng, share_networks.c.id))


def add_subnet(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.add_subnet(crowd.one_of(rng, share_networks.c.id), rng.choice(crowd.pairs), zone=rng.choice(ZONES))


def delete_subnet(crowd: Crowd, rng: random.Random) -> None:
    subnet = crowd.one_of(rng, share_network_subnets.c.id)
    network = crowd.one_of(rng, share_network_subnets.c.share_network_id, share_network_subnets.c.id == subnet)
    crowd.stack.do(subnets.delete, MEMBER, network, subnet)


def move_network(crowd: Crowd, rng: random.Random) -> None:
    net, subnet = rng.choice(crowd.pairs)
    crowd.stack.do(networks.update, MEMBER, crowd.one_of(rng, share_networks.c.id), {"neutron_net_id": net, "neutron_subnet_id": subnet})


def create_share(crowd: Crowd, rng: random.Random) -> None:
    network = crowd.one_of(rng, share_networks.c.id, ~share_networks.c.is_deleting)
    wanted = ShareRequest(share_proto="NFS", size=rng.randint(1, 5), share_type="snap", share_network_id=network, availability_zone=rng.choice(ZONES))
    crowd.stack.do(share_creation.create, rng.choice((MEMBER, COLLEAGUE)), wanted, LIMITS)


def create_share_from_snapshot(crowd: Crowd, rng: random.Random) -> None:
    snapshot = crowd.one_of(rng, share_snapshots.c.id)
    crowd.stack.do(share_creation.create, MEMBER, ShareRequest(share_proto="NFS", size=5, snapshot_id=snapshot), LIMITS)


def delete_share(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(share_nouns.delete, MEMBER, crowd.one_of(rng, shares.c.id))


def force_delete_share(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(share_nouns.force_delete, ADMIN, crowd.one_of(rng, shares.c.id))


def extend(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(share_nouns.extend, MEMBER, crowd.one_of(rng, shares.c.id), rng.randint(2, 8), LIMITS)


def shrink(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(share_nouns.shrink, MEMBER, crowd.one_of(rng, shares.c.id), rng.randint(1, 3))


def allow(crowd: Crowd, rng: random.Random) -> None:
    rule: dict[str, Any] = {"access_type": "ip", "access_to": f"10.9.0.{rng.randint(1, 5)}", "access_level": "rw"}
    crowd.stack.do(access_rules.allow, MEMBER, crowd.one_of(rng, shares.c.id), **rule)


def deny(crowd: Crowd, rng: random.Random) -> None:
    rule = crowd.one_of(rng, share_access_rules.c.id)
    share = crowd.one_of(rng, share_access_rules.c.share_id, share_access_rules.c.id == rule)
    crowd.stack.do(access_rules.deny, MEMBER, share, rule)


def change_level(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(access_rules.change_level, MEMBER, crowd.one_of(rng, share_access_rules.c.id), rng.choice(("rw", "ro")))


def take_snapshot(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(snapshots.create, MEMBER, crowd.one_of(rng, shares.c.id), quota_defaults=LIMITS)


def delete_snapshot(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(snapshots.delete, MEMBER, crowd.one_of(rng, share_snapshots.c.id))


def force_delete_snapshot(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(snapshots.force_delete, ADMIN, crowd.one_of(rng, share_snapshots.c.id))


def revert(crowd: Crowd, rng: random.Random) -> None:
    snapshot = crowd.one_of(rng, share_snapshots.c.id)
    share = crowd.one_of(rng, share_snapshots.c.share_id, share_snapshots.c.id == snapshot)
    crowd.stack.do(snapshots.revert, MEMBER, share, snapshot, LIMITS)


def delete_server(crowd: Crowd, rng: random.Random) -> None:
    crowd.stack.do(servers.delete, crowd.one_of(rng, share_servers.c.id))


def set_capability(crowd: Crowd, rng: random.Random) -> None:
    """Of several servers at once, mostly to what lets them grow."""
    chosen = [crowd.one_of(rng, share_servers.c.id) for _ in range(3)]
    crowd.stack.do(share_server_repairs.update_capabilities, chosen, ["network_allocation_update_support"], rng.random() < 0.8)


def retry_addition(crowd: Crowd, rng: random.Random) -> None:
    server = crowd.one_of(rng, share_servers.c.id, share_servers.c.status.in_(("error", "network_change")))
    crowd.stack.do(share_server_repairs.retry_network_update, server)


def abandon_addition(crowd: Crowd, rng: random.Random) -> None:
    server = crowd.one_of(rng, share_servers.c.id, share_servers.c.status.in_(("error", "network_change")))
    crowd.stack.do(share_server_repairs.abandon_network_update, server)


def recheck(crowd: Crowd, rng: random.Random) -> None:
    net, subnet = rng.choice(crowd.pairs)
    wanted = SubnetRequest(neutron_net_id=net, neutron_subnet_id=subnet)
    crowd.stack.do(subnet_additions.check, MEMBER, crowd.one_of(rng, share_networks.c.id), wanted, reset_operation=rng.random() < 0.5)


ACTIONS: dict[Action, int] = {
    create_network: 3, delete_network: 1, add_subnet: 6, delete_subnet: 3, move_network: 1, create_share: 8, create_share_from_snapshot: 2,
    delete_share: 4, force_delete_share: 1, extend: 3, shrink: 2, allow: 3, deny: 2, change_level: 1, take_snapshot: 3, delete_snapshot: 2,
    force_delete_snapshot: 1, revert: 1, delete_server: 2, set_capability: 2, retry_addition: 2, abandon_addition: 2, recheck: 1,
}  # fmt: skip
"""How often each is asked for beside the others."""
