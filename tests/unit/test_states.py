"""The tables of transitions make sense, and `move` obeys them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import begin, create_engine, utcnow
from abaca.db.tables import metadata, project_versions, share_networks
from abaca.domain.rows import states
from abaca.domain.rows.states import IllegalTransition, Noun, Permit

NOUNS = {name: noun for name, noun in vars(states).items() if isinstance(noun, Noun)}


@pytest.mark.parametrize("name", NOUNS)
def test_every_status_is_known_and_can_be_left(name: str) -> None:
    noun = NOUNS[name]
    for status, followers in noun.transitions.items():
        assert followers, f"{status} is a dead end"
        assert status not in followers
        assert followers <= noun.transitions.keys(), (
            f"{status} leads to a status without a line of its own"
        )
    assert states.statuses(noun) == sorted(noun.transitions)


@pytest.mark.parametrize("name", NOUNS)
def test_every_transitional_status_leads_to_rest_and_has_an_end_in_error(name: str) -> None:
    """But for work that harms nothing when it fails: that has an end without."""
    transitions = NOUNS[name].transitions
    for status, end in NOUNS[name].in_progress.items():
        reachable: set[str] = set()
        frontier = {status}
        while frontier:
            frontier = {follower for one in frontier for follower in transitions[one]} - reachable
            reachable |= frontier
        assert reachable - states.IN_PROGRESS
        direct = {follower for follower in transitions[status] if "error" in follower}
        wanted = set() if status in NOUNS[name].unharmed else {end}
        assert direct == wanted, f"work in {status} cannot fail, or in several ways"
        assert end in transitions[status]


@pytest.mark.parametrize("name", NOUNS)
def test_what_is_permitted_is_permitted_by_known_statuses_and_not_by_all(name: str) -> None:
    noun = NOUNS[name]
    for what in noun.permitted:
        permitting = noun.permitted[what]
        assert permitting and len(set(permitting)) == len(permitting), what
        assert set(permitting) < noun.transitions.keys(), what
        assert [status for status in noun.transitions if noun.permits(status, what)] == [
            s for s in noun.transitions if s in permitting
        ]


def test_work_in_progress_permits_no_deletion() -> None:
    for noun in NOUNS.values():
        assert not states.IN_PROGRESS & set(noun.permitted.get(Permit.DELETE, ()))


def test_all_nouns_are_looked_at() -> None:
    assert NOUNS.keys() == {
        "SHARE_NETWORK",
        "SHARE_SERVER",
        "SHARE",
        "SHARE_GROUP",
        "SHARE_GROUP_SNAPSHOT",
        "SNAPSHOT",
        "SNAPSHOT_ACCESS_RULE",
        "BACKUP",
        "HOST",
        "ACCESS_RULES",
        "ACCESS_RULE",
    }
    assert len({(noun.table.name, noun.column) for noun in NOUNS.values()}) == len(NOUNS)


def test_may_follow_is_what_move_allows() -> None:
    assert states.may_follow(states.SHARE, "available", "deleting")
    assert states.may_follow(states.SHARE, "deleting", "deleting")
    assert not states.may_follow(states.SHARE, "deleting", "available")
    assert not states.may_follow(states.SHARE, "no such status", "available")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    """A transaction in a database of share networks alone: a (active), b (network_change), c
    (error)."""
    engine = create_engine(f"sqlite:///{tmp_path}/states.sqlite")
    metadata.create_all(engine, [share_networks, project_versions])
    with begin(engine) as conn:
        for key, status in (("a", "active"), ("b", "network_change"), ("c", "error")):
            conn.execute(
                sa.insert(share_networks).values(
                    id=key, project_id="p", status=status, created_at=utcnow()
                )
            )
        yield conn
    engine.dispose()


def status_of(conn: Connection, key: str) -> str:
    return str(conn.scalar(sa.select(share_networks.c.status).where(share_networks.c.id == key)))


def test_a_move_may_be_repeated_and_changes_columns_once(conn: Connection) -> None:
    states.move(conn, states.SHARE_NETWORK, "a", "network_change", name="first")
    states.move(conn, states.SHARE_NETWORK, "a", "network_change", name="second")
    row = conn.execute(sa.select(share_networks).where(share_networks.c.id == "a")).one()
    assert (row.status, row.name) == ("network_change", "first")
    assert row.updated_at is not None


def test_several_rows_move_together(conn: Connection) -> None:
    states.move(conn, states.SHARE_NETWORK, ["b", "c", "gone"], "active")
    states.move(conn, states.SHARE_NETWORK, [], "active")
    assert [status_of(conn, key) for key in "abc"] == ["active"] * 3


def test_what_the_table_does_not_know_is_a_bug(conn: Connection) -> None:
    with pytest.raises(IllegalTransition, match="error → network_change of c"):
        states.move(conn, states.SHARE_NETWORK, ["a", "c"], "network_change")


def test_force_goes_past_the_table(conn: Connection) -> None:
    states.force(conn, states.SHARE_NETWORK, "c", "network_change")
    assert status_of(conn, "c") == "network_change"
