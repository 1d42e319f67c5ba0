"""Whatever clients ask the API for at the same moment: quotas, room and addresses are never given
twice, everything that goes on is somebody's work, a share is on all subnets of its server, and when
all is deleted nothing is left.

Histories of rounds are drawn by hypothesis, which makes one that goes wrong short. How a round's
requests meet is the machine's doing, so a history may go wrong only now and then: hypothesis then
calls it flaky, and shows it all the same. A few are played here, drawn from the seed of the run;
`make crowd N=100` plays that many. An interleaving that was found to go wrong gets a test by name
beside those of its noun.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    local_ports,
    pools,
    quota_usages,
    share_export_locations,
    share_group_snapshots,
    share_groups,
    share_instances,
    share_network_subnets,
    share_networks,
    share_servers,
    shares,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.share_groups import share_group_snapshots as taken_of_groups
from abaca.domain.shares import affinity
from abaca.reconcile import deferred_deletions
from abaca.workflow import queue
from tests.operations import crowd, crowd_groups, crowd_transfers, invariants
from tests.operations.conftest import Install
from tests.operations.crowd import BACKENDS, LIMITS, OPTIONS, Ask, Place, Round
from tests.operations.crowd_transfers import PLAIN
from tests.operations.scenarios import SPECS, Ground
from tests.operations.scenarios_groups import create_group
from tests.operations.scene import available_share, plan, slate
from tests.properties import Phase, drawn, given, st
from tests.sample import FACTOR
from tests.stack import MEMBER, wait_for

pytestmark = [pytest.mark.each_database, pytest.mark.sampled_file(4)]

HISTORIES = int(os.environ.get("ABACA_CROWD", 2 * FACTOR))
ROUNDS = 16
TRIES = 3  # of each history, once one has gone wrong
GATHERING: tuple[Round, ...] = (
    ([Ask(crowd.create_network, {"pair": number}) for number in (0, 1)], None),
    (
        [
            Ask(crowd.create_share, {"network": number % 2, "size": number, "zone": None})
            for number in (1, 2, 3, 4, 5)
        ],
        None,
    ),
)
"""What can be asked about: two networks with a few shares."""
GROWING: Round = (
    [Ask(crowd.add_subnet, {"network": number, "pair": 2, "zone": None}) for number in (0, 1)],
    None,
)
"""Each of their servers is given a second subnet, so that one can leave."""


@contextmanager
def place(install: Install, *, defers: bool = False) -> Iterator[Place]:
    """Of all that is asked for there, nothing is left in the end. `defers`: deletions are
    deferred."""
    stack = install(BACKENDS, **OPTIONS, is_deferred_deletion_enabled=defers)
    with closing(stack), stack.working() as worker:
        ground = Ground(stack)
        stack.share_type(PLAIN, driver_handles_share_servers="False", **SPECS)
        with closing(Place(stack, worker)) as made:
            ground.wipe()  # what is made once for all stays: counters, zones
            before = slate(stack)
            yield made
            if not made.finds:
                for backend in BACKENDS:
                    plan(stack, backend=backend)
                deferred_deletions.retry(stack.engine, {f"host1@{name}" for name in BACKENDS})
                assert wait_for(lambda: not queue.unfinished(stack.engine))
                ground.wipe()
                assert slate(stack) == before, str(made)


@pytest.mark.sampled(6)
@pytest.mark.timeout(HISTORIES * 120 + 900)  # making a history short may take five minutes
def test_whatever_is_asked_at_once(install: Install) -> None:
    """A history is drawn before it begins: a second run of it that goes better must not draw what
    the first one did not."""
    asked: Counter[str] = Counter()
    went_wrong = False

    @drawn(HISTORIES, "crowd", [Phase.generate, Phase.shrink])
    @given(
        history=st.builds(
            lambda grows, rounds: [GROWING, *rounds] if grows else rounds,
            st.booleans(),
            st.lists(crowd.ROUND, min_size=1, max_size=ROUNDS),
        ),
        defers=st.booleans(),
    )
    def play(history: list[Round], defers: bool) -> None:
        nonlocal went_wrong
        for _ in range(TRIES if went_wrong else 1):
            with place(install, defers=defers) as there:
                for asks, fault in [*GATHERING, *history]:
                    there.meet(asks, fault)
                    went_wrong |= bool(there.finds)
                    assert not there.finds, str(there)
                asked.update(there.asked)

    play()
    print(f"{sum(asked.values())} requests:", *sorted(asked.items()), sep="\n")
    assert asked["create_share done"] > 0


MEETING_ADDITIONS: tuple[list[Ask], ...] = (
    [Ask(crowd.create_share, {"network": number, "size": 1, "zone": None}) for number in (0, 1)],
    [Ask(crowd.add_subnet, {"network": 0, "pair": 3, "zone": None})],
    [Ask(crowd.delete_subnet, {"subnet": number}) for number in range(4)],
    [Ask(crowd.allow, {"share": number, "address": number + 1}) for number in range(3)],
    [Ask(crowd.change_level, {"rule": 0, "level": "ro"}), Ask(crowd.deny, {"rule": 1})],
    [Ask(crowd.set_capability, {"server": 0, "value": value}) for value in (False, True)],
    [
        Ask(crowd.report_capability, {"backend": 0, "capability": crowd.MULTIPLE, "value": value})
        for value in (False, True)
    ],
    [
        Ask(crowd.report_capability, {"backend": 0, "capability": crowd.UPDATES, "value": value})
        for value in (False, True)
    ],
    [Ask(crowd.delete_share, {"share": number}) for number in range(5)],
    [Ask(crowd.delete_server, {"server": number}) for number in range(3)],
    [Ask(crowd.delete_network, {"network": number}) for number in (0, 1)],
)


@pytest.mark.sampled(6)
@pytest.mark.timeout(300)
def test_an_addition_of_a_subnet_meets_each_other_request(install: Install) -> None:
    """Always in this order, whatever hypothesis draws."""
    with place(install) as there:
        for others in MEETING_ADDITIONS:
            additions = [
                Ask(crowd.add_subnet, {"network": number, "pair": 2, "zone": None})
                for number in (0, 1)
            ]
            for asks, fault in [*GATHERING, ([*additions, *others], None)]:
                there.meet(asks, fault)
                assert not there.finds, str(there)
        assert there.asked["add_subnet done"] > 0
        assert {ask.request.__name__ for others in MEETING_ADDITIONS for ask in others} <= {
            name for name, _ in map(str.split, there.asked)
        }


MEETING_REMOVALS: tuple[list[Ask], ...] = (
    [Ask(crowd.create_share, {"network": number, "size": 1, "zone": None}) for number in (0, 1)],
    [Ask(crowd.add_subnet, {"network": number, "pair": 3, "zone": None}) for number in (0, 1)],
    [Ask(crowd.delete_subnet, {"subnet": number}) for number in range(4)],
    [Ask(crowd.allow, {"share": number, "address": number + 1}) for number in range(3)],
    [Ask(crowd.take_snapshot, {"share": number}) for number in range(3)],
    [Ask(crowd.delete_share, {"share": number}) for number in range(5)],
    [Ask(crowd.delete_server, {"server": number}) for number in range(3)],
    [Ask(crowd.delete_network, {"network": number}) for number in (0, 1)],
)


@pytest.mark.sampled(6)
@pytest.mark.timeout(300)
def test_a_removal_of_a_subnet_meets_each_other_request(install: Install) -> None:
    """Always in this order: a subnet is added to each network, then all are to go while something
    else is asked for."""
    with place(install) as there:
        for others in MEETING_REMOVALS:
            additions = [
                Ask(crowd.add_subnet, {"network": number, "pair": 2, "zone": None})
                for number in (0, 1)
            ]
            removals = [Ask(crowd.remove_subnet, {"subnet": number}) for number in range(4)]
            for asks in (*(asks for asks, _ in GATHERING), additions, [*removals, *others]):
                there.meet(asks, None)
                assert not there.finds, str(there)
        assert there.asked["remove_subnet done"] > 0


MEETING_DRAINS: tuple[list[Ask], ...] = (
    [Ask(crowd.create_share, {"network": number, "size": 1, "zone": None}) for number in (0, 1)],
    [Ask(crowd.choose_subnets, {"share": number, "chosen": number}) for number in range(4)],
    [
        *[Ask(crowd.show_clients, {"share": number}) for number in range(2)],
        *[Ask(crowd.show_drain, {"subnet": number}) for number in range(2)],
        Ask(crowd.show_clients_of_server, {"server": 0}),
        Ask(crowd.connect, {"server": 0, "address": 0, "is_there": True}),
    ],
    [Ask(crowd.remove_subnet, {"subnet": number}) for number in range(4)],
    [Ask(crowd.add_subnet, {"network": number, "pair": 3, "zone": None}) for number in (0, 1)],
    [Ask(crowd.delete_share, {"share": number}) for number in range(5)],
    [Ask(crowd.delete_network, {"network": number}) for number in (0, 1)],
)


@pytest.mark.sampled(6)
@pytest.mark.timeout(300)
def test_a_drain_of_a_subnet_meets_each_other_request(install: Install) -> None:
    """Always in this order: a subnet is added to each network, then all drain while something else
    is asked for, and then drains end in each way while it is asked for once more."""
    drains = [Ask(crowd.drain, {"subnet": number, "at_deadline": "force"}) for number in range(4)]
    ends = [
        *[Ask(crowd.let_deadline_come, {"subnet": number}) for number in (0, 1)],
        *[Ask(crowd.delete_drained, {"subnet": number}) for number in (1, 2)],
        *[Ask(crowd.cancel_drain, {"subnet": number}) for number in (2, 3)],
    ]
    with place(install) as there:
        for others in MEETING_DRAINS:
            for asks, _ in (
                *GATHERING,
                GROWING,
                ([*drains, *others], None),
                ([*ends, *others], None),
            ):
                there.meet(asks)
                assert not there.finds, str(there)
        for end in (crowd.drain, crowd.let_deadline_come, crowd.cancel_drain):
            assert there.asked[f"{end.__name__} done"] > 0


@pytest.mark.sampled(6)
@pytest.mark.timeout(300)
def test_groups_and_their_shares_come_and_go_at_once(install: Install) -> None:
    """More groups than the quota allows, shares that come while their group is to go, both while
    subnets are added, and snapshots of the groups meanwhile."""
    network = [Ask(crowd.create_network, {"pair": 0})]
    creations = [Ask(crowd_groups.create_group, {"network": 0, "zone": None}) for _ in range(4)]
    additions = [Ask(crowd.add_subnet, {"network": 0, "pair": 2, "zone": None})]
    members = [
        Ask(crowd_groups.create_member, {"group": number, "size": 1}) for number in (0, 1, 0)
    ]
    ends = [Ask(crowd_groups.delete_group, {"group": number}) for number in range(2)]
    leaving = [Ask(crowd_groups.delete_member, {"share": number}) for number in range(3)]
    taken = [Ask(crowd_groups.create_group_snapshot, {"group": number}) for number in range(2)]
    cloned = [Ask(crowd_groups.clone_group, {"group_snapshot": number}) for number in range(2)]
    given_up = [
        Ask(crowd_groups.delete_group_snapshot, {"group_snapshot": number}) for number in range(2)
    ]
    with place(install) as there:
        for asks in (
            network,
            creations,
            [*members, *additions],
            taken,
            ends,  # one has no shares yet
            cloned,
            [*members, *ends, *taken],
            [*leaving, *given_up],
            [*leaving, *members, *ends],
            [*leaving, *ends],
        ):
            there.meet(asks)
            assert not there.finds, str(there)
        assert there.asked["create_group done"] == crowd.LIMITS["share_groups"]
        for name in ("create_member", "delete_member", "clone_group"):
            assert there.asked[f"{name} done"] > 0, there.asked


@pytest.mark.sampled(4)
@pytest.mark.timeout(300)
def test_shares_change_hands_at_once(install: Install) -> None:
    """Offers that are accepted, withdrawn and made again while their shares are deleted, resized
    and opened by both projects."""
    each = range(3)
    made = [
        Ask(crowd_transfers.create_plain_share, {"size": 1, "project": project})
        for project in (*crowd_transfers.OWNERS, "project")
    ]
    offers = [Ask(crowd_transfers.offer, {"share": number}) for number in each]
    accepted = [
        Ask(crowd_transfers.accept, {"transfer": number, "clear": bool(number % 2)})
        for number in each
    ]
    opened = [Ask(crowd.allow, {"share": number, "address": 1}) for number in each]
    withdrawn = [Ask(crowd_transfers.withdraw, {"transfer": number}) for number in each]
    resized = [Ask(crowd.extend, {"share": number, "size": 2}) for number in each]
    gone = [Ask(crowd.delete_share, {"share": number}) for number in each]
    with place(install) as there:
        for asks in (
            made,
            [*offers, *opened],
            [*offers, *resized],
            [*accepted, *offers, *accepted],
            [*offers, *accepted, *withdrawn],
            [*offers, *gone],
            [*accepted, *gone],
        ):
            there.meet(asks)
            assert not there.finds, str(there)
        assert there.asked["accept done"] > 0 and there.asked["offer done"] > 1, there.asked


COPIED = {"id": "another", "share_server_id": "another"}
BREAKING: dict[str, Callable[[Connection], object]] = {
    "quotas_are_kept": lambda conn: conn.execute(
        sa.update(quota_usages).values(shares=quota_usages.c.shares + 1)
    ),
    "claims_are_right": lambda conn: conn.execute(
        sa.update(pools).values(allocated_capacity_gb=pools.c.allocated_capacity_gb + 1)
    ),
    "pools_are_not_overbooked": lambda conn: conn.execute(
        sa.update(pools).values(allocated_capacity_gb=13)
    ),
    "no_server_is_there_twice": lambda conn: copy(conn, share_servers, mappings),
    "addresses_are_not_kept": lambda conn: conn.execute(
        sa.update(local_ports).values(id=sa.func.upper(local_ports.c.id))
    ),
    "addresses_are_given": lambda conn: conn.execute(sa.delete(local_ports)),
    "shares_are_reached_where_they_shall": lambda conn: conn.execute(
        sa.delete(share_export_locations)
    ),
    "who_gives_up_is_being_changed": lambda conn: conn.execute(
        sa.update(mappings).values(is_leaving=True)
    ),
    "deleted_subnets_are_gone": lambda conn: conn.execute(
        sa.insert(share_network_subnets).from_select(
            ["id", "share_network_id", "metadata", "is_deleting", "created_at"],
            sa.select(
                sa.literal("another"),
                share_networks.c.id,
                sa.literal({}, sa.JSON),
                sa.true(),
                share_networks.c.created_at,
            ),
        )
    ),
    "backups_go_on_with_their_shares": lambda conn: conn.execute(
        sa.update(share_instances).values(status="backup_creating")
    ),
    "members_are_where_their_group_is": lambda conn: conn.execute(
        sa.update(shares).where(shares.c.share_group_id.is_not(None)).values(project_id="another")
    ),
    "groups_that_are_available_are_somewhere": lambda conn: conn.execute(
        sa.update(share_groups).values(share_server_id=None)
    ),
    "group_snapshots_are_whole": lambda conn: conn.execute(
        sa.update(share_group_snapshots).values(status="creating")
    ),
    "clones_are_whole": lambda conn: (
        conn.execute(
            sa.update(shares)
            .where(shares.c.share_group_id.is_not(None))
            .values(source_share_group_snapshot_member_id="x")
        ),
        conn.execute(sa.update(share_groups).values(status="error")),
    ),
    "shares_without_servers_are_reached": lambda conn: conn.execute(
        sa.update(share_instances).values(share_server_id=None, status="available")
    ),
    "hints_are_mutual": lambda conn: conn.execute(
        sa.update(shares).values(metadata={affinity.SAME: "another"})
    ),
    "offered_shares_await_a_transfer": lambda conn: conn.execute(
        sa.update(share_instances).values(status="awaiting_transfer")
    ),
    "what_goes_on_is_somebodys_work": lambda conn: conn.execute(
        sa.update(share_instances).values(status="extending")
    ),
    "nothing_goes_on": lambda conn: conn.execute(
        sa.update(share_instances).values(status="deleting")
    ),
}


def copy(conn: Connection, *tables: sa.Table) -> None:
    """Every row once more, of another share server."""
    for table in tables:
        changed = {name: value for name, value in COPIED.items() if name in table.c}
        for row in conn.execute(sa.select(table)).mappings().all():
            conn.execute(sa.insert(table).values({**row, **changed}))


def test_no_invariant_is_blind(install: Install) -> None:
    stack = install(BACKENDS, **OPTIONS)
    with stack.working():
        network, _ = Ground(stack).share()
        group = create_group(stack, network)
        assert stack.settled_group(group) == "available"
        available_share(stack, network, share_type="snap", share_group_id=group)
        taken = stack.do(taken_of_groups.create, MEMBER, group)["id"]
        assert stack.settled_group_snapshot(taken) == "available"
        assert (
            wait_for(lambda: not queue.unfinished(stack.engine))
            and invariants.broken(stack.engine, LIMITS, at_rest=True) == []
        )
    assert BREAKING.keys() == {invariant.__name__ for invariant in invariants.AT_REST}
    for name, break_it in BREAKING.items():
        stack.do(break_it)
        assert any(
            find.startswith(name) for find in invariants.broken(stack.engine, LIMITS, at_rest=True)
        ), name
