"""What is counted against one project's quotas is counted against another's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.capacity import quota_usages
from abaca.domain.capacity.quota_usages import Owner
from abaca.domain.capacity.quotas import Scope
from abaca.errors import OverQuota

RED, BLUE = Owner("red", "alice"), Owner("blue", "bob")
LIMITS = {"shares": 4, "gigabytes": 10, "per_share_gigabytes": 5}
HALF_A_SECOND = 0.5


def used(engine: Engine, scope: Scope) -> tuple[int, int]:
    with read(engine) as conn:
        counts = quota_usages.in_use(conn, scope)
    return counts["shares"], counts["gigabytes"]


def every_scope(owner: Owner) -> list[Scope]:
    project = Scope(project_id=owner.project_id)
    return [
        project,
        Scope(project_id=owner.project_id, user_id=owner.user_id),
        Scope(project_id=owner.project_id, share_type_id="gold"),
    ]


def own(engine: Engine, owner: Owner, shares: int, gigabytes: int) -> None:
    with begin(engine) as conn:
        quota_usages.claim(conn, *owner, "gold", defaults=None, shares=shares, gigabytes=gigabytes)


@pytest.mark.parametrize(("source", "target"), [(RED, BLUE), (BLUE, RED)])
def test_every_scope_of_both_projects_follows(engine: Engine, source: Owner, target: Owner) -> None:
    own(engine, source, 3, 6)
    with begin(engine) as conn:
        quota_usages.move(conn, source, target, "gold", defaults=LIMITS, shares=1, gigabytes=5)
    assert {used(engine, scope) for scope in every_scope(source)} == {(2, 1)}
    assert {used(engine, scope) for scope in every_scope(target)} == {(1, 5)}


@pytest.mark.parametrize(("source", "target"), [(RED, BLUE), (BLUE, RED)])
@pytest.mark.parametrize(
    ("amounts", "share_size"),
    [({"shares": 2}, None), ({"gigabytes": 8}, None), ({"gigabytes": 6}, 6)],
)
def test_limits_of_the_new_project_hold(
    engine: Engine, source: Owner, target: Owner, amounts: dict[str, int], share_size: int | None
) -> None:
    own(engine, source, 4, 10)
    own(engine, target, 3, 3)
    with pytest.raises(OverQuota), begin(engine) as conn:
        quota_usages.move(
            conn, source, target, "gold", defaults=LIMITS, share_size=share_size, **amounts
        )
    assert {used(engine, scope) for scope in every_scope(source)} == {(4, 10)}
    assert {used(engine, scope) for scope in every_scope(target)} == {(3, 3)}


def test_a_full_project_passes_things_from_user_to_user(engine: Engine) -> None:
    own(engine, RED, 4, 10)
    with begin(engine) as conn:
        quota_usages.move(conn, RED, Owner("red", "anne"), defaults=LIMITS, shares=1)
    assert used(engine, Scope(project_id="red")) == (4, 10)
    assert used(engine, Scope(project_id="red", user_id="anne")) == (1, 0)


@pytest.mark.parametrize(("source", "target"), [(RED, BLUE), (BLUE, RED)])
def test_moves_of_both_directions_lock_in_the_same_order(
    engine: Engine, source: Owner, target: Owner
) -> None:
    """While the usage of the project with the lower id is held, a move holds nothing of the other:
    who holds the one may take the other."""
    own(engine, RED, 2, 2)
    own(engine, BLUE, 2, 2)

    def move() -> None:
        with begin(engine) as conn:
            quota_usages.move(conn, source, target, "gold", defaults=LIMITS, shares=1)

    with ThreadPoolExecutor(1) as pool:
        with begin(engine) as conn:
            quota_usages.claim(conn, *BLUE, "gold", defaults=None, shares=1)
            moving = pool.submit(move)
            wait([moving], HALF_A_SECOND)
            quota_usages.claim(conn, *RED, "gold", defaults=None, shares=1)
        moving.result()
    assert used(engine, Scope(project_id="red"))[0] + used(engine, Scope(project_id="blue"))[0] == 6
