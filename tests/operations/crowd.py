"""Clients who ask the API at the same moment for whatever goes on with the same few nouns: a round
is some requests that start together.

What is asked is drawn by hypothesis, how it meets is up to the machine. A refusal is an answer like
any other; everything else is a find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import msgspec
import sqlalchemy as sa
from falcon.testing import Result
from sqlalchemy.engine import Connection

from abaca import config
from abaca.api.app import create_app
from abaca.db.session import create_engine, utcnow
from abaca.db.tables import (
    network_allocations,
    share_access_rules,
    share_backups,
    share_network_subnets,
    share_networks,
    share_servers,
    share_snapshot_access_rules,
    share_snapshots,
    shares,
)
from abaca.domain.network_changes import share_server_repairs
from abaca.domain.rows.draining import DRAINS, METADATA_KEY, METADATA_VALUE
from abaca.domain.shares import export_choices
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault
from abaca.errors import CallerError
from abaca.reconcile import subnet_drain_deadlines
from abaca.values import Client, ExportChoice
from abaca.worker.process import Worker
from abaca.workflow import inspection, queue
from tests.api.conftest import Api
from tests.operations import invariants
from tests.operations.crowd_backups import back_up, delete_backup, restore_backup
from tests.operations.crowd_groups import (
    clone_group,
    create_group,
    create_group_snapshot,
    create_member,
    delete_group,
    delete_group_snapshot,
    delete_member,
)
from tests.operations.crowd_transfers import (
    OWNERS,
    accept,
    create_plain_share,
    offer,
    owner,
    withdraw,
)
from tests.operations.scene import declare, plan, world
from tests.properties import st
from tests.stack import Stack, wait_for

LIMITS = {
    "shares": 7,
    "gigabytes": 20,
    "share_networks": 3,
    "snapshots": 4,
    "snapshot_gigabytes": 8,
    "share_groups": 3,
    "share_group_snapshots": 2,
    "backups": 3,
    "backup_gigabytes": 8,
    "per_share_gigabytes": -1,
}
BACKENDS = {
    "alpha": {"pools": "one:12,two:6"},
    "beta": {"pools": "three:9", "availability_zone": "east"},
    "gamma": {"pools": "four:9", "driver_handles_share_servers": "false"},
}
"""Two in two zones, with little room, and one without share servers."""
OPTIONS = {
    "worker.retry_seconds": 0.1,
    "worker.report_interval": 0.1,
    "service_down_time": 600,
    "periodic_deferred_delete_interval": 3600,  # none begins by itself between the rounds
    "api.auth_strategy": "noauth",
    **{f"quota.{resource}": limit for resource, limit in LIMITS.items()},
}
CIDRS = ("10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24", "10.3.0.0/29", "fd00:2::/64")
ADMIN, MEMBER, COLLEAGUE = (
    "admin:admin-project:admin",
    "member:project:member",
    "colleague:project:member",
)
VERSION = "2.88"
MULTIPLE, UPDATES = "share_server_multiple_subnet_support", "network_allocation_update_support"
REMOVALS = "share_server_subnet_removal_support"
_TIRED = 5
_UNASKED = (
    "cannot be asked now who is connected"  # 503: a driver that fails, a server in the making
)

_never = Event()


class Nobody(Exception):
    """There is nothing that could be asked about."""


class Place:
    """An installation with its worker and two applications that know nothing of each other, as two
    API processes.

    `asked`: how often which request was answered, and how. `history`: what was asked at once, round
    by round. `finds`: what was wrong. `keys`: of transfers, by their ids.
    """

    def __init__(self, stack: Stack, worker: Worker) -> None:
        self.stack = stack
        self.worker = worker
        self.pairs = stack.network(*CIDRS)
        self.asked: Counter[str] = Counter()
        self.history: list[Sequence[Ask]] = []
        self.finds: list[str] = []
        self.keys: dict[str, str] = {}
        self._engines = [create_engine(config.database_url(stack.conf)) for _ in range(2)]
        self._apis = [Api(create_app(stack.conf, engine)) for engine in self._engines]

    def close(self) -> None:
        for engine in self._engines:
            engine.dispose()

    def send(
        self, client: int, method: str, path: str, body: Any = None, who: str = MEMBER
    ) -> Result:
        """The answer to the client, whose requests all go to the same API process."""
        return self._apis[client % 2].send(method, f"/v2{path}", body, version=VERSION, who=who)

    def one_of(
        self, column: sa.Column[Any], which: int, *conditions: sa.ColumnElement[bool]
    ) -> str:
        """An id of whatever is there: the oldest has number 0, and after the youngest it goes
        round. Raises Nobody."""
        table = column.table
        found = self.stack.ask(
            lambda conn: list(
                conn.scalars(
                    sa.select(column).where(*conditions).order_by(table.c.created_at, table.c.id)
                )
            )
        )
        if not found:
            raise Nobody
        return str(found[which % len(found)])

    def __str__(self) -> str:
        return "\n".join([*self.finds, "asked, at once each:", *map(str, self.history)])

    def meet(self, asks: Sequence[Ask], fault: Fault | None = None) -> None:
        """A round: all of it at once, while a method of the driver of alpha fails. What is wrong
        meanwhile, or when all has ended, is a find."""
        plan(self.stack, *[fault] if fault else [])
        self.history.append(asks)
        start, over = Barrier(len(asks) + 1), Event()
        with ThreadPoolExecutor(len(asks) + 1) as pool:
            watcher = pool.submit(self._watch, start, over)
            clients = [
                pool.submit(self._ask, number, ask, start) for number, ask in enumerate(asks)
            ]
            try:
                self.asked.update(client.result() for client in clients)
                wait_for(lambda: not queue.unfinished(self.stack.engine), 60)
            finally:
                over.set()
            watcher.result()
        self.finds += invariants.broken(self.stack.engine, LIMITS, at_rest=True)
        self.finds += [
            f"parked: {operation.id}: {operation.reason}"
            for operation in inspection.find(self.stack.engine)
        ]
        self.finds += self._outdated()
        self.finds += self._unlike()

    def _ask(self, client: int, ask: Ask, start: Barrier) -> str:
        """What was asked, and how it was answered."""
        start.wait(30)
        try:
            answer = ask.request(self, client, **ask.arguments)
        except Nobody:
            outcome = "of nobody"
        except CallerError as refusal:  # of what is no request of the API, but a command
            outcome = type(refusal).__name__
        except Exception as error:
            self.finds.append(f"{ask}: {error!r}")
            outcome = "failed"
        else:
            outcome = (
                "done" if answer is None or answer.status_code < 300 else str(answer.status_code)
            )
            if answer is not None and answer.status_code >= 500 and _UNASKED not in answer.text:
                self.finds.append(f"{ask}: {answer.status_code} {answer.text}")
        return f"{ask.request.__name__} {outcome}"

    def _watch(self, start: Barrier, over: Event) -> None:
        start.wait(30)
        while not over.is_set() and not self.finds:
            self.finds += invariants.broken(self.stack.engine, LIMITS)
            over.wait(0.005)

    def _outdated(self) -> list[str]:
        """Whatever an API process has kept, it answers as the other one does."""
        paths = ("/shares/detail", "/share-networks/detail", "/snapshots/detail")
        told = [
            (path, [self.send(client, "GET", path).json for client in range(2)]) for path in paths
        ]
        return [
            f"{path}: {one} or {other}"
            for path, (one, other) in told
            if _unlinked(one) != _unlinked(other)
        ]

    def _unlike(self) -> list[str]:
        """What back ends hold of share servers in use is what is stored: on which subnets they
        stand, and which of those drain; of shares with active rules, where they are exported and
        to whom."""
        worlds = [world(self.stack, backend) for backend in BACKENDS]
        servers = {id_: server for each in worlds for id_, server in each["servers"].items()}
        held = {id_: share for each in worlds for id_, share in each["shares"].items()}
        subnets, instances = self.stack.ask(invariants.in_use)
        known = set(self.stack.ask(lambda conn: conn.scalars(sa.select(share_backups.c.id)).all()))
        copies = {id_ for each in worlds for id_ in (*each["backups"], *each["fixed"])}
        found = [f"backup {id_} has no row" for id_ in copies - known]
        for id_, stored in subnets.items():
            entries = servers[id_]["network_info"]
            there = {entry["share_network_subnet_id"]: entry["is_draining"] for entry in entries}
            if there.keys() != stored.keys() or any(
                there[subnet] != drains for subnet, drains in stored.items() if drains is not None
            ):
                found.append(f"share server {id_} stands on {there}, not on {stored}")
        for id_, (choice, rules) in instances.items():
            admitted = {rule["access_to"] for rule in held[id_]["access_rules"]}
            if msgspec.convert(held[id_]["export_choice"], ExportChoice) != choice or (
                choice.is_free and admitted != rules
            ):
                found.append(f"share instance {id_} is {held[id_]}, not {choice} with {rules}")
        for id_, rules in self.stack.ask(invariants.without_servers).items():
            admitted = {rule["access_to"] for rule in held[id_]["access_rules"]}
            if admitted != rules:
                found.append(f"share instance {id_} admits {admitted}, not {rules}")
        mounted = {id_: one for each in worlds for id_, one in each["snapshots"].items()}
        for id_, rules in self.stack.ask(invariants.mounted_by).items():
            admitted = {rule["access_to"] for rule in mounted[id_]["access_rules"]}
            if admitted != rules:
                found.append(f"snapshot instance {id_} admits {admitted}, not {rules}")
        return found


def _unlinked(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if not name.endswith("_links")}


@dataclass(frozen=True)
class Ask:
    """One request with its arguments; numbers among them say which one of what is there
    (`Place.one_of`)."""

    request: Callable[..., Result | None]
    arguments: Mapping[str, Any]

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.request.__name__}({arguments})"


Round = tuple[list[Ask], Fault | None]
"""What is asked at once, and what fails meanwhile."""


# --- share networks and subnets -------------------------------------------------------------------


def _neutron(place: Place, pair: int) -> dict[str, str]:
    net, subnet = place.pairs[pair]
    return {"neutron_net_id": net, "neutron_subnet_id": subnet}


def create_network(place: Place, client: int, pair: int) -> Result:
    return place.send(client, "POST", "/share-networks", {"share_network": _neutron(place, pair)})


def delete_network(place: Place, client: int, network: int) -> Result:
    return place.send(
        client, "DELETE", f"/share-networks/{place.one_of(share_networks.c.id, network)}"
    )


def move_network(place: Place, client: int, network: int, pair: int) -> Result:
    return place.send(
        client,
        "PUT",
        f"/share-networks/{place.one_of(share_networks.c.id, network)}",
        {"share_network": _neutron(place, pair)},
    )


def add_subnet(place: Place, client: int, network: int, pair: int, zone: str | None) -> Result:
    """Repeated while the drivers are being asked, as the answer says."""
    path = f"/share-networks/{place.one_of(share_networks.c.id, network)}/subnets"
    wanted = {**_neutron(place, pair), "availability_zone": zone}
    for _ in range(_TIRED):
        answer = place.send(client, "POST", path, {"share-network-subnet": wanted})
        if "check pending" not in answer.text:
            break
    return answer


def check_subnet(place: Place, client: int, network: int, pair: int, reset: bool) -> Result:
    path = f"/share-networks/{place.one_of(share_networks.c.id, network)}/action"
    return place.send(
        client,
        "POST",
        path,
        {"share_network_subnet_create_check": {**_neutron(place, pair), "reset_operation": reset}},
    )


def delete_subnet(place: Place, client: int, subnet: int) -> Result:
    return place.send(client, "DELETE", _subnet_path(place, subnet))


def remove_subnet(place: Place, client: int, subnet: int) -> Result:
    """With shares on it or not, by an administrator; repeated while the drivers are being asked, as
    the answer says."""
    path = f"{_subnet_path(place, subnet)}/action"
    for _ in range(_TIRED):
        answer = place.send(client, "POST", path, {"force_delete": None}, ADMIN)
        if "check pending" not in answer.text:
            break
    return answer


def check_removal(place: Place, client: int, subnet: int, reset: bool) -> Result:
    return place.send(
        client,
        "POST",
        f"{_subnet_path(place, subnet)}/action",
        {"share_network_subnet_delete_check": {"reset_operation": reset}},
        ADMIN,
    )


def drain(place: Place, client: int, subnet: int, at_deadline: str) -> Result:
    wanted = {"deadline": 3600, "at_deadline": at_deadline}
    return place.send(client, "PUT", f"{_subnet_path(place, subnet)}/removal", wanted)


def drain_by_property(place: Place, client: int, subnet: int) -> Result:
    wanted = {"metadata": {METADATA_KEY: METADATA_VALUE}}
    return place.send(client, "POST", f"{_subnet_path(place, subnet)}/metadata", wanted)


def show_drain(place: Place, client: int, subnet: int) -> Result:
    return place.send(client, "GET", f"{_subnet_path(place, subnet, DRAINS)}/removal")


def cancel_drain(place: Place, client: int, subnet: int) -> Result:
    return place.send(client, "DELETE", f"{_subnet_path(place, subnet, DRAINS)}/removal")


def delete_drained(place: Place, client: int, subnet: int) -> Result:
    """Repeated while back ends are being asked, as the answer says."""
    path = _subnet_path(place, subnet, DRAINS)
    for _ in range(_TIRED):
        answer = place.send(client, "DELETE", path)
        if "still being asked" not in answer.text:
            break
    return answer


def let_deadline_come(place: Place, _client: int, subnet: int) -> None:
    """Of a subnet that drains: passes of a worker see to it, and later the deadline is far again,
    so that nothing begins by itself between the rounds."""
    key = place.one_of(share_network_subnets.c.id, subnet, DRAINS)
    of_subnet = sa.update(share_network_subnets).where(
        share_network_subnets.c.id == key, share_network_subnets.c.removal_deadline.is_not(None)
    )
    for hours in (*[0] * _TIRED, 1):
        move = of_subnet.values(removal_deadline=utcnow() + timedelta(hours=hours))
        place.stack.do(Connection.execute, move)
        subnet_drain_deadlines.meet_due(place.stack.engine)
        _never.wait(0.05)  # the drivers may have answered by the next time


def _subnet_path(place: Place, subnet: int, *which: sa.ColumnElement[bool]) -> str:
    key = place.one_of(share_network_subnets.c.id, subnet, *which)
    network = place.one_of(
        share_network_subnets.c.share_network_id, 0, share_network_subnets.c.id == key
    )
    return f"/share-networks/{network}/subnets/{key}"


# --- shares ---------------------------------------------------------------------------------------


def _act(
    place: Place, client: int, share: int, action: str, arguments: Any, who: str | None = None
) -> Result:
    key = place.one_of(shares.c.id, share)
    path = f"/shares/{key}/action"
    return place.send(client, "POST", path, {action: arguments}, who or owner(place, key))


def create_share(place: Place, client: int, network: int, size: int, zone: str | None) -> Result:
    wanted = {
        "share_proto": "NFS", "size": size, "share_type": "snap", "availability_zone": zone,
        "share_network_id": place.one_of(share_networks.c.id, network,
         ~share_networks.c.is_deleting),
    }  # fmt: skip
    return place.send(
        client, "POST", "/shares", {"share": wanted}, (MEMBER, COLLEAGUE)[client % 3 % 2]
    )


def create_share_from_snapshot(place: Place, client: int, snapshot: int) -> Result:
    wanted = {
        "share_proto": "NFS",
        "size": 5,
        "snapshot_id": place.one_of(share_snapshots.c.id, snapshot),
    }
    return place.send(client, "POST", "/shares", {"share": wanted})


def choose_subnets(place: Place, client: int, share: int, chosen: int | str) -> Result:
    """Export a share on a family of subnets, or on one, whose number is given."""
    if isinstance(chosen, int):
        chosen = place.one_of(share_network_subnets.c.id, chosen)
    path = f"/shares/{place.one_of(shares.c.id, share)}/metadata"
    return place.send(client, "POST", path, {"metadata": {export_choices.KEY: chosen}})


def choose_no_subnets(place: Place, client: int, share: int) -> Result:
    key = place.one_of(shares.c.id, share, shares.c.export_choice.is_not(None))
    return place.send(client, "DELETE", f"/shares/{key}/metadata/{export_choices.KEY}")


def show_clients(place: Place, client: int, share: int) -> Result:
    return place.send(client, "GET", f"/shares/{place.one_of(shares.c.id, share)}/clients")


def delete_share(place: Place, client: int, share: int) -> Result:
    key = place.one_of(shares.c.id, share)
    return place.send(client, "DELETE", f"/shares/{key}", who=owner(place, key))


def force_delete_share(place: Place, client: int, share: int) -> Result:
    return _act(place, client, share, "force_delete", None, ADMIN)


def soft_delete(place: Place, client: int, share: int) -> Result:
    return _act(place, client, share, "soft_delete", None)


def restore(place: Place, client: int, share: int) -> Result:
    return _act(place, client, share, "restore", None)


def extend(place: Place, client: int, share: int, size: int) -> Result:
    return _act(place, client, share, "extend", {"new_size": size})


def shrink(place: Place, client: int, share: int, size: int) -> Result:
    return _act(place, client, share, "shrink", {"new_size": size})


def allow(place: Place, client: int, share: int, address: int) -> Result:
    rule = {"access_type": "ip", "access_to": f"10.9.0.{address}", "access_level": "rw"}
    return _act(place, client, share, "allow_access", rule)


def deny(place: Place, client: int, rule: int) -> Result:
    key = place.one_of(share_access_rules.c.id, rule)
    share = place.one_of(share_access_rules.c.share_id, 0, share_access_rules.c.id == key)
    return place.send(
        client, "POST", f"/shares/{share}/action", {"deny_access": {"access_id": key}}
    )


def change_level(place: Place, client: int, rule: int, level: str) -> Result:
    path = f"/share-access-rules/{place.one_of(share_access_rules.c.id, rule)}"
    return place.send(client, "PUT", path, {"update_access": {"access_level": level}})


def take_snapshot(place: Place, client: int, share: int) -> Result:
    return place.send(
        client, "POST", "/snapshots", {"snapshot": {"share_id": place.one_of(shares.c.id, share)}}
    )


def delete_snapshot(place: Place, client: int, snapshot: int) -> Result:
    return place.send(
        client, "DELETE", f"/snapshots/{place.one_of(share_snapshots.c.id, snapshot)}"
    )


def force_delete_snapshot(place: Place, client: int, snapshot: int) -> Result:
    path = f"/snapshots/{place.one_of(share_snapshots.c.id, snapshot)}/action"
    return place.send(client, "POST", path, {"force_delete": None}, ADMIN)


def allow_of_snapshot(place: Place, client: int, snapshot: int, address: int) -> Result:
    path = f"/snapshots/{place.one_of(share_snapshots.c.id, snapshot)}/action"
    rule = {"access_type": "ip", "access_to": f"10.9.0.{address}"}
    return place.send(client, "POST", path, {"allow_access": rule})


def deny_of_snapshot(place: Place, client: int, rule: int) -> Result:
    table = share_snapshot_access_rules
    key = place.one_of(table.c.id, rule)
    path = f"/snapshots/{place.one_of(table.c.snapshot_id, 0, table.c.id == key)}/action"
    return place.send(client, "POST", path, {"deny_access": {"access_id": key}})


def revert(place: Place, client: int, snapshot: int) -> Result:
    key = place.one_of(share_snapshots.c.id, snapshot)
    share = place.one_of(share_snapshots.c.share_id, 0, share_snapshots.c.id == key)
    return place.send(client, "POST", f"/shares/{share}/action", {"revert": {"snapshot_id": key}})


# --- the administrator's, by API and by command; and what back ends report ------------------------


def delete_server(place: Place, client: int, server: int) -> Result:
    return place.send(
        client, "DELETE", f"/share-servers/{place.one_of(share_servers.c.id, server)}", who=ADMIN
    )


def show_clients_of_server(place: Place, client: int, server: int) -> Result:
    path = f"/share-servers/{place.one_of(share_servers.c.id, server)}/clients"
    return place.send(client, "GET", path, who=ADMIN)


def connect(place: Place, _client: int, server: int, address: int, is_there: bool) -> None:
    """A client is connected to a server by one of its addresses, or nobody is."""
    key = place.one_of(share_servers.c.id, server)
    at = place.one_of(
        network_allocations.c.ip_address, address, network_allocations.c.share_server_id == key
    )
    there = [Client(address="10.9.0.1", server_address=at, protocol="NFS")] if is_there else []
    for backend in place.worker.backends:
        assert isinstance(backend.driver, FakeDriver)
        if key in backend.driver.world()["servers"]:
            with suppress(KeyError):  # it has gone meanwhile
                backend.driver.set_clients(key, there)


def set_capability(
    place: Place, _client: int, server: int, value: bool, capability: str = UPDATES
) -> None:
    """Of several servers at once."""
    chosen = [place.one_of(share_servers.c.id, number) for number in (server, server + 1, server)]
    place.stack.do(share_server_repairs.update_capabilities, chosen, [capability], value)


def retry_change(place: Place, _client: int, server: int) -> None:
    failed = share_servers.c.status.in_(("error", "network_change"))
    place.stack.do(
        share_server_repairs.retry_network_update, place.one_of(share_servers.c.id, server, failed)
    )


def abandon_change(place: Place, _client: int, server: int) -> None:
    failed = share_servers.c.status.in_(("error", "network_change"))
    place.stack.do(
        share_server_repairs.abandon_network_update,
        place.one_of(share_servers.c.id, server, failed),
    )


def report_capability(
    place: Place, _client: int, backend: int, capability: str, value: bool
) -> None:
    declare(place.worker, backend, **{capability: value})


# --- what is drawn --------------------------------------------------------------------------------

_WHICH = st.integers(0, 6)
_NETWORK = st.integers(0, 2)
_PAIR = st.integers(0, len(CIDRS) - 1)
_ZONE = st.sampled_from((None, None, None, "nova", "east"))
_MOSTLY = st.sampled_from((True, True, True, True, False))
_UPDATE = "update_share_server_network_allocations"
_FAILING = (_UPDATE, _UPDATE, _UPDATE, f"check_{_UPDATE}", "setup_server", "create_share",
            "extend_share", "update_access", "update_share_server_drains", "get_clients",
            "ensure_server", "teardown_server", "delete_share", "create_snapshot",
            "update_snapshot_access", "begin_backup", "end_restore")  # fmt: skip

Asks = st.SearchStrategy[Ask]


def _ask(request: Callable[..., Result | None], **arguments: st.SearchStrategy[Any]) -> Asks:
    return st.tuples(*arguments.values()).map(
        lambda values: Ask(request, dict(zip(arguments, values, strict=True)))
    )


_ADDITION = _ask(add_subnet, network=_NETWORK, pair=_PAIR, zone=_ZONE)
_CREATION = _ask(create_share, network=_NETWORK, size=st.integers(1, 5), zone=_ZONE)
_MEETING_ADDITIONS: tuple[Asks, ...] = (
    _CREATION,
    _ADDITION,
    _ask(delete_subnet, subnet=_WHICH),
    _ask(delete_network, network=_NETWORK),
    _ask(allow, share=_WHICH, address=st.integers(1, 5)),
    _ask(deny, rule=_WHICH),
    _ask(change_level, rule=_WHICH, level=st.sampled_from(("rw", "ro"))),
    _ask(delete_server, server=_WHICH),
    _ask(set_capability, server=_WHICH, value=_MOSTLY),
    _ask(
        report_capability,
        backend=st.integers(0, 1),
        capability=st.sampled_from((MULTIPLE, UPDATES, REMOVALS)),
        value=_MOSTLY,
    ),
)
_LEAVING: tuple[Asks, ...] = (
    _ask(remove_subnet, subnet=_WHICH),
    _ask(remove_subnet, subnet=_WHICH),
    _ask(drain, subnet=_WHICH, at_deadline=st.sampled_from(("cancel", "force"))),
    _ask(drain, subnet=_WHICH, at_deadline=st.sampled_from(("cancel", "force"))),
    _ask(drain_by_property, subnet=_WHICH),
    _ask(let_deadline_come, subnet=_WHICH),
    _ask(delete_drained, subnet=_WHICH),
    _ask(cancel_drain, subnet=_WHICH),
)
"""How subnets leave share servers in use, or stay after all."""
_MEETING_REMOVALS: tuple[Asks, ...] = (
    *_LEAVING,
    *_MEETING_ADDITIONS,
    _ask(choose_subnets, share=_WHICH, chosen=st.sampled_from(("ipv4", "ipv6")) | _WHICH),
    _ask(choose_no_subnets, share=_WHICH),
    _ask(connect, server=_WHICH, address=_WHICH, is_there=st.booleans()),
    _ask(take_snapshot, share=_WHICH),
    _ask(show_drain, subnet=_WHICH),
    _ask(show_clients, share=_WHICH),
    _ask(show_clients_of_server, server=_WHICH),
    _ask(check_removal, subnet=_WHICH, reset=st.booleans()),
    _ask(set_capability, server=_WHICH, value=_MOSTLY, capability=st.just(REMOVALS)),
)
_WEIGHED: dict[Asks, int] = {
    **dict.fromkeys(_MEETING_REMOVALS, 1),
    **dict.fromkeys(_MEETING_ADDITIONS, 2),
    _ADDITION: 6,
    _CREATION: 8,
    _ask(create_network, pair=_PAIR): 3,
    _ask(move_network, network=_NETWORK, pair=_PAIR): 1,
    _ask(check_subnet, network=_NETWORK, pair=_PAIR, reset=st.booleans()): 1,
    _ask(create_share_from_snapshot, snapshot=_WHICH): 2,
    _ask(delete_share, share=_WHICH): 4,
    _ask(force_delete_share, share=_WHICH): 1,
    _ask(soft_delete, share=_WHICH): 2,
    _ask(restore, share=_WHICH): 2,
    _ask(extend, share=_WHICH, size=st.integers(2, 8)): 3,
    _ask(shrink, share=_WHICH, size=st.integers(1, 3)): 2,
    _ask(take_snapshot, share=_WHICH): 3,
    _ask(delete_snapshot, snapshot=_WHICH): 2,
    _ask(force_delete_snapshot, snapshot=_WHICH): 1,
    _ask(revert, snapshot=_WHICH): 1,
    _ask(allow_of_snapshot, snapshot=_WHICH, address=st.integers(1, 5)): 3,
    _ask(deny_of_snapshot, rule=_WHICH): 2,
    _ask(create_group, network=_NETWORK, zone=_ZONE): 3,
    _ask(create_member, group=_WHICH, size=st.integers(1, 3)): 4,
    _ask(delete_member, share=_WHICH): 3,
    _ask(delete_group, group=_WHICH): 2,
    _ask(clone_group, group_snapshot=_WHICH): 3,
    _ask(create_group_snapshot, group=_WHICH): 3,
    _ask(delete_group_snapshot, group_snapshot=_WHICH): 2,
    _ask(create_plain_share, size=st.integers(1, 3), project=st.sampled_from(sorted(OWNERS))): 4,
    _ask(offer, share=_WHICH): 4,
    _ask(accept, transfer=_WHICH, clear=st.booleans()): 4,
    _ask(withdraw, transfer=_WHICH): 1,
    _ask(back_up, share=_WHICH): 3,
    _ask(restore_backup, backup=_WHICH): 2,
    _ask(delete_backup, backup=_WHICH): 2,
    _ask(retry_change, server=_WHICH): 2,
    _ask(abandon_change, server=_WHICH): 2,
}


def _any_of(several: Sequence[Asks]) -> Asks:
    return st.sampled_from(several).flatmap(lambda asks: asks)


_ANYTHING = _any_of([asks for asks, weight in _WEIGHED.items() for _ in range(weight)])
_SOME_FAULT = st.builds(
    Fault, method=st.sampled_from(_FAILING),
     error=st.sampled_from(("Refused", "NoSpace", "OutcomeUnknown")),
    times=st.sampled_from((1, None)), when=st.sampled_from(("before", "after")),
)  # fmt: skip
_FAULT: st.SearchStrategy[Fault | None] = st.sampled_from((False, False, True)).flatmap(
    lambda fails: _SOME_FAULT if fails else st.none()
)
"""In one of three rounds a method of the driver of alpha fails, once or always."""


def _meeting(one: Asks, others: Sequence[Asks]) -> st.SearchStrategy[list[Ask]]:
    """One of these, and some of those at the same moment."""
    some = st.lists(_any_of(others), min_size=1, max_size=5)
    return st.builds(lambda first, rest: [first, *rest], one, some)


ROUND: st.SearchStrategy[Round] = st.tuples(
    st.lists(_ANYTHING, min_size=2, max_size=8)
    | _meeting(_ADDITION, _MEETING_ADDITIONS)
    | _meeting(_any_of(_LEAVING), _MEETING_REMOVALS),
    _FAULT,
)
