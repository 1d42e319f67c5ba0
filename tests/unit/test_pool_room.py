"""How much of a pool may be promised, over all histories: what is promised stays owed until it is
held."""

from __future__ import annotations

from abaca.drivers.linux.pools.room import GIB, Promise, room, size_of_image
from tests.properties import given, st

TOTAL = 100 * GIB
SIZES = st.integers(1, 40)
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["create", "write", "snapshot"]), st.integers(0, 5), st.floats(0, 1)),
    max_size=40,
)


class Shares:
    """A pool as btrfs would hold it, without anything written beside: shares (size, held alone) and
    what only snapshots hold."""

    def __init__(self) -> None:
        self.shares: list[tuple[int, int]] = []
        self.kept = 0

    @property
    def free(self) -> int:
        return TOTAL - self.kept - sum(alone for _, alone in self.shares)

    def left(self) -> int:
        return room(TOTAL, self.free, [Promise(*share) for share in self.shares]).left(1)


@given(ACTIONS)
def test_every_share_can_be_filled_after_whatever_was_allowed(
    actions: list[tuple[str, int, float]],
) -> None:
    pool = Shares()
    for action, index, part in actions:
        size, alone = pool.shares[index] if index < len(pool.shares) else (0, 0)
        if action == "create" and int(part * 40) * GIB <= pool.left():
            pool.shares.append((int(part * 40) * GIB, 0))
        elif action == "write" and size:
            pool.shares[index] = size, max(alone, int(part * size))
        elif action == "snapshot" and size and alone <= pool.left():
            pool.kept += alone
            pool.shares[index] = size, 0
        assert sum(size - alone for size, alone in pool.shares) <= pool.free
    assert pool.left() >= 0


@given(SIZES)
def test_of_an_image_as_much_can_be_promised_as_was_asked_for(gib: int) -> None:
    total = size_of_image(gib * GIB)
    assert room(total, total, []).total >= gib * GIB


def test_what_snapshots_keep_is_told_apart_from_what_shares_hold() -> None:
    written = room(TOTAL, TOTAL - 10 * GIB, [Promise(20 * GIB, 10 * GIB)])
    snapshotted = room(TOTAL, TOTAL - 10 * GIB, [Promise(20 * GIB, 0)])
    assert written.kept_beside == 0
    assert 8 * GIB < snapshotted.kept_beside <= 10 * GIB
    assert written.left(1) - snapshotted.left(1) == 10 * GIB


def test_a_pool_promised_several_times() -> None:
    found = room(TOTAL, TOTAL, [Promise(120 * GIB, 0)])
    assert found.left(1) < 0 < found.left(2) == found.left(1) + found.total
