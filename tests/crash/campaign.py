"""A campaign: rounds of operations under kills, a pause after each in which everything has to
settle and be right, and in the end a clean slate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, islice
from threading import Event
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import read, utcnow
from abaca.db.tables import backup_schedules, metadata, quota_usages, snapshot_schedules
from abaca.domain.share_types.share_types import (
    HANDLES_SERVERS,
    MOUNT_POINT_NAME_SUPPORT,
    MOUNT_POINT_PREFIX,
)
from abaca.drivers.linux import inventory
from abaca.workflow import queue
from tests.crash import fake_world, keeper, linux_world, rows, visits
from tests.crash.customer import PLAIN_TYPE, Board, Customer, Types
from tests.crash.decisions import SIDES, Decision, decisions
from tests.crash.keeper import Keeper
from tests.crash.site import BACKEND, PLAIN_BACKEND, Site
from tests.crash.tenant import EVERYBODY, SHARE_TYPE
from tests.operations.scenarios import SPECS, SPECS_OF_CEPH
from tests.operations.scenarios_groups import group_type_for
from tests.service import wait_until

KILLS = {
    "worker": 10,
    "api": 4,
    "postgresql": 8,
    "worker postgresql": 1,
    "api worker postgresql": 1,
}
CEPH_KILLS = {"mon": 5, "mgr": 4, "osd": 5, "mds": 6, "worker mds": 2, "mon mgr osd mds": 2}
LONGEST_DOWN = 1.5
LEAST_SECONDS, MOST_ROUNDS = 15.0, 4  # of a round; until something can be visited
STAYS = {
    *(
        "availability_zones",
        "hosts",
        "messages",
        "pools",
        "project_versions",
        "quota_usages",
        "services",
        "share_group_type_share_type_mappings",
        "share_group_types",
        "share_type_extra_specs",
        "share_types",
    ),
    *("share_usages", "worker_leases"),
}
"""Tables that hold rows on a clean slate, too."""


class Measure(NamedTuple):
    """How hard it goes: projects, seconds of a round, between two operations of a project, between
    two kills; and the bound to settle within."""

    projects: int
    round_seconds: float
    pauses: tuple[float, float]
    kill_pauses: tuple[float, float]
    settle_seconds: float


MEASURES = {
    "fake": Measure(4, 45.0, (0.0, 0.3), (0.3, 8.0), 90.0),
    "linux": Measure(2, 60.0, (0.1, 0.8), (1.0, 14.0), 150.0),
    "ceph": Measure(2, 60.0, (0.3, 1.6), (2.0, 14.0), 300.0),
}


@dataclass
class Report:
    """What happened. `violations`: what must not be; nothing else makes a campaign fail. `errors`:
    nouns that ended in error, as they may."""

    form: str
    seed: int
    seconds: float = 0.0
    rounds: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    ended_by_themselves: Counter[str] = field(default_factory=Counter)
    settled: list[float] = field(default_factory=list)
    looked_up: Counter[str] = field(default_factory=Counter)
    visits: int = 0
    errors: dict[str, None] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """Operations that were accepted."""
        return sum(
            number for (_, outcome), number in self.outcomes.items() if outcome == "accepted"
        )

    def __str__(self) -> str:
        by_kind: dict[str, dict[str, int]] = {}
        for (kind, outcome), number in sorted(self.outcomes.items()):
            by_kind.setdefault(kind, {})[outcome] = number
        lines = [
            f"{self.form}: seed {self.seed}, {self.seconds / 60:.1f} minutes, {self.rounds} rounds",
            f"operations: {sum(self.outcomes.values())}",
            *(f"  {kind}: {_counted(outcomes)}" for kind, outcomes in by_kind.items()),
            f"requests without an answer, looked up: {_counted(self.looked_up)}",
            f"kills: {sum(self.kills.values())} ({_counted(self.kills)})",
            "processes that ended by themselves and were started again: "
            f"{_counted(self.ended_by_themselves)}",
            f"settled within: {', '.join(f'{seconds:.1f}' for seconds in self.settled)} s",
            f"export locations tried by NFS: {self.visits}",
            f"in error: {len(self.errors)}",
            *(f"  {error}" for error in self.errors),
            f"violations: {len(self.violations)}",
            *(f"  {violation}" for violation in self.violations),
        ]
        return "\n".join(lines)


class Campaign:
    """On a site that is not prepared yet. `say` gets a line now and then."""

    def __init__(
        self, site: Site, seed: int, say: Callable[[str], object] = lambda _: None
    ) -> None:
        self.site = site
        self.seed = seed
        self.measure = MEASURES[site.form]
        board = Board()
        self.tenants = [
            Customer(site, f"project-{number}", board)
            for number in range(1, self.measure.projects + 1)
        ]
        self.keeper = Keeper(site, keeper.NAME, board)
        self.clients = [*self.tenants, self.keeper]
        self.report = Report(site.form, seed)
        self._say = say

    def run(self, seconds: float) -> Report:
        """So many seconds of rounds with what follows each; then everything is deleted. Ends with
        the first round that shows a violation."""
        roles = {tenant.name: "member" for tenant in self.tenants}
        self.site.prepare({**roles, self.keeper.name: "admin"})
        types = self._make_types()
        for client in self.clients:
            client.types = types
            client.settle_in()
        began = time.monotonic()
        killer = self._killer()
        sequences = [
            decisions(self.seed, client.name, client.weights, *self.measure.pauses)
            for client in self.clients
        ]
        while not self.report.violations:
            left = seconds - (time.monotonic() - began)
            if left <= 0 and not self._has_nothing_to_visit():
                break
            self._round(
                sequences, killer, min(max(left, LEAST_SECONDS), self.measure.round_seconds)
            )
            self.report.rounds += 1
            self._settle()
            self._say(
                f"round {self.report.rounds}: {sum(self.report.kills.values())} kills, settled in "
                f"{self.report.settled[-1]:.1f} s"
            )
        if not self.report.violations:
            self._wipe()
        self.report.seconds = time.monotonic() - began
        return self._ended()

    def _has_nothing_to_visit(self) -> bool:
        """A Ceph that is killed holds up what is asked for, so the first rounds may leave nothing
        that clients could use."""
        return bool(self.site.ceph) and not self.report.visits and self.report.rounds < MOST_ROUNDS

    def _killer(self) -> Iterator[Decision]:
        """However short the campaign is, Ceph is killed where there is one."""
        pauses = self.measure.kill_pauses
        if not self.site.ceph:
            return decisions(self.seed, "killer", KILLS, *pauses)
        first = islice(decisions(self.seed, "first killer", CEPH_KILLS, *pauses), 1)
        return chain(first, decisions(self.seed, "killer", KILLS | CEPH_KILLS, *pauses))

    def _make_types(self) -> dict[str, Types]:
        """Of shares on share servers, and of others, which may have mount point names."""
        stack = self.site.stack
        specs = {
            SHARE_TYPE: SPECS_OF_CEPH if self.site.ceph else SPECS,
            PLAIN_TYPE: {
                **SPECS,
                HANDLES_SERVERS: "False",
                MOUNT_POINT_NAME_SUPPORT: "True",
                MOUNT_POINT_PREFIX: "of_",
            },
        }
        return {
            name: Types(stack.share_type(name, **of_type), stack.do(group_type_for, name))
            for name, of_type in specs.items()
        }

    def _round(
        self, sequences: list[Iterator[Decision]], killer: Iterator[Decision], seconds: float
    ) -> None:
        """Clients in threads of their own; kills in this one, because PostgreSQL ends with the
        thread that started it."""
        stop, deadline = Event(), time.monotonic() + seconds
        self._set_schedules(timedelta(seconds=seconds / 2))
        with ThreadPoolExecutor(len(self.clients)) as threads:
            work = [
                threads.submit(client.work, sequence, stop)
                for client, sequence in zip(self.clients, sequences, strict=True)
            ]
            try:
                for decision in killer:
                    stop.wait(min(decision.pause, max(deadline - time.monotonic(), 0)))
                    if time.monotonic() >= deadline:
                        break
                    self.report.kills[decision.kind] += 1
                    self.site.kill(decision.kind.split(), LONGEST_DOWN * decision.dice[0] / SIDES)
            finally:
                stop.set()
            for each in work:
                each.result()

    # --- pauses -----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Wait until nothing goes on, and see whether all is well."""
        began = time.monotonic()
        self.site.until_whole()
        self._set_schedules(timedelta(days=1))
        try:
            wait_until(self._is_at_rest, "everything to settle", self.measure.settle_seconds)
        except AssertionError:
            self.report.violations += [
                f"not settled within {self.measure.settle_seconds:g} s: {what}"
                for what in self._unsettled()
            ]
        self.report.settled.append(time.monotonic() - began)
        if self.report.violations:
            return
        for client in self.clients:
            self.report.violations += [
                f"{client.name}: {broken}" for broken in client.promises.settle(client.found())
            ]
        self._judge()

    def _judge(self) -> None:
        engine = self.site.stack.engine
        self.report.violations += rows.violations(engine)
        self.report.errors |= dict.fromkeys(self.site.stack.ask(rows.errors))
        fakes = [PLAIN_BACKEND]
        if self.site.form == "fake":
            fakes.append(BACKEND)
        else:
            self.report.violations += linux_world.violations(
                engine, self.site.namespace, self.site.worker_folder, BACKEND, self.site.ceph
            )
            found, tried = visits.violations(self.site.namespace, self.tenants)
            self.report.violations += found
            self.report.visits += tried
        for backend in fakes:
            self.report.violations += fake_world.violations(
                engine,
                self.site.worker_folder / f"{backend}.json",
                f"host1@{backend}",
                {share.instance_id for share in self.keeper.let_go},
            )
        self._see_strangers()

    def _see_strangers(self) -> None:
        """No project sees a share of another."""
        shares = {tenant.name: tenant.shares() for tenant in self.tenants}
        for tenant in self.tenants:
            for other, theirs in shares.items():
                for share in theirs[:1] if other != tenant.name else []:
                    answer = tenant.caller("GET", f"/v2/shares/{share['id']}")
                    if answer.status != 404:
                        self.report.violations.append(
                            f"{tenant.name} is answered {answer.status} for a share of {other}"
                        )

    def _set_schedules(self, ahead: timedelta) -> None:
        """When the next snapshots and backups of all schedules are due."""
        for table in (snapshot_schedules, backup_schedules):
            update = sa.update(table).values(next_at=utcnow() + ahead)
            self.site.stack.do(Connection.execute, update)

    def _is_at_rest(self) -> bool:
        return not queue.unfinished(self.site.stack.engine)

    def _unsettled(self) -> list[Any]:
        return [*queue.unfinished(self.site.stack.engine), *self.site.stack.ask(rows.going_on)]

    # --- the end ----------------------------------------------------------------------------------

    def _wipe(self) -> None:
        """Open every share to everybody once, and see that it is; then delete all that there is,
        and see that nothing is left."""
        for tenant in self.tenants:
            for share in tenant.shares():
                for access_to in EVERYBODY if share["status"] == "available" else ():
                    tenant.allow(share, access_to)
        self._settle()
        self.report.violations += self.keeper.manage_all()
        self._settle()
        for list_, delete in (
            (Customer.transfers, Customer.withdraw),
            (Customer.backups, Customer.delete_backup),
            (Customer.group_snapshots, Customer.delete_group_snapshot),
            (Customer.snapshots, Customer.delete_snapshot),
            (Customer.shares, Customer.delete_share),
            (Customer.groups, Customer.delete_group),
        ):
            for client in self.clients:
                for thing in list_(client):
                    self._demand(delete(client, thing), thing)
            self._settle()
        for tenant in self.tenants:
            for network in tenant.share_networks():
                for subnet in network["share_network_subnets"][1:]:
                    self._demand(tenant.delete_subnet(network, subnet), subnet)
                self._demand(tenant.delete_share_network(network), network)
        self._settle()
        for tenant in self.tenants:
            for network in tenant.networks():
                self._demand(tenant.delete_network(network), network)
        self.report.violations += self._left()

    def _demand(self, outcome: str, thing: dict[str, Any]) -> None:
        if outcome != "accepted":
            self.report.violations.append(f"the deletion of {thing} was {outcome}")

    def _left(self) -> list[str]:
        """What is not as it was in the beginning."""
        with read(self.site.stack.engine) as conn:
            counted = {
                table.name: conn.scalar(sa.select(sa.func.count()).select_from(table))
                for table in metadata.sorted_tables
            }
            used = [dict(row) for row in conn.execute(sa.select(quota_usages)).mappings()]
        left = [
            f"{number} rows of {name} are left"
            for name, number in counted.items()
            if number and name not in STAYS
        ]
        left += [
            f"counted against quotas: {row}"
            for row in used
            if any(isinstance(value, int) and value for value in row.values())
        ]
        if self.site.form != "fake":
            there = inventory.leftovers(self.site.namespace, self.site.worker_folder)
            left += [
                f"{kind} are left: {there[kind]}"
                for kind in ("links", "processes", "exports", "subvolumes")
                if there[kind]
            ]
        if self.site.ceph:
            stored = linux_world.in_ceph(self.site.ceph, self.site.namespace)
            left += [f"{kind} are left in Ceph: {names}" for kind, names in stored.items() if names]
        return left

    def _ended(self) -> Report:
        for client in self.clients:
            self.report.outcomes += client.outcomes
            self.report.violations += [
                f"{client.name}: {violation}" for violation in client.caller.violations
            ]
            self.report.looked_up["done"] += client.promises.found_done
            self.report.looked_up["not done"] += client.promises.found_not_done
        self.report.ended_by_themselves.update(
            {name: part.ended_by_itself for name, part in self.site.parts.items()}
        )
        return self.report


def _counted(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counts.items())
