"""Scheduler hints of new shares: on the host of others, not on it, on one pool only."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.api.wire.bodies import MOST_METADATA
from abaca.db.session import begin, read
from abaca.db.tables import quota_usages, share_instances, shares
from abaca.domain.shares import affinity
from abaca.domain.shares import share_instances as instances
from tests.api.conftest import ALICE, BOB, POOL, UNKNOWN, Api, BackEnd

SAME, DIFFERENT = affinity.SAME, affinity.DIFFERENT
OTHER_POOL = "host2@beta#pool2"
NEWEST = "2.99"


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    """Alice's; there are two pools."""
    back_end.arrive("host2@beta", "pool2")
    api.share_type()
    return str(api.share_network()["id"])


def hinted(api: Api, network: str, version: str = NEWEST, **hints: Any) -> dict[str, Any]:
    """As an administrator sees the new share, so with its host."""
    made = api.share(network, version=version, scheduler_hints=hints)
    return dict(api("GET", f"/shares/{made['id']}", version=NEWEST)["share"])


def metadata(api: Api, share_id: str) -> dict[str, str]:
    return dict(api("GET", f"/shares/{share_id}", who=ALICE)["share"]["metadata"])


def test_on_the_same_host(api: Api, network: str) -> None:
    for _ in range(2):  # wherever the first one is
        first = hinted(api, network)
        second = hinted(api, network, same_host=first["id"])
        third = hinted(api, network, same_host=f"{first['id']}, {second['id'].upper()}")
        assert first["host"] == second["host"] == third["host"] != ""


def test_not_on_the_same_host(api: Api, network: str) -> None:
    first = hinted(api, network)
    second = hinted(api, network, different_host=first["id"])
    assert {first["host"], second["host"]} == {POOL, OTHER_POOL}
    nowhere = hinted(api, network, different_host=f"{first['id']},{second['id']}")
    assert nowhere["status"] == "error"


def test_both_sides_keep_each_other(api: Api, network: str) -> None:
    first, second = hinted(api, network)["id"], hinted(api, network)["id"]
    third = hinted(api, network, same_host=first, different_host=second)["id"]
    fourth = hinted(api, network, same_host=first)["id"]
    assert metadata(api, third) == {SAME: first, DIFFERENT: second}
    assert metadata(api, first) == {SAME: f"{third},{fourth}"}
    assert metadata(api, second) == {DIFFERENT: third}
    api.fault("DELETE", f"/shares/{first}/metadata/{SAME}", None, 403, who=ALICE)
    api(
        "PUT",
        f"/shares/{first}/metadata",
        {"metadata": {"a": "b"}},
        who=ALICE,
    )
    assert metadata(api, first) == {"a": "b", SAME: f"{third},{fourth}"}


def test_hints_leave_with_the_share(api: Api, engine: Engine, network: str) -> None:
    first = hinted(api, network)["id"]
    second = hinted(api, network, same_host=first)["id"]
    third = hinted(api, network, same_host=first)["id"]
    with begin(engine) as conn:
        one = sa.select(share_instances.c.id).where(share_instances.c.share_id == second)
        instances.remove(conn, conn.execute(one).scalar_one())
    assert metadata(api, first) == {SAME: third}
    with begin(engine) as conn:
        affinity.forget(conn, first)
        affinity.forget(conn, first)
    assert metadata(api, first) == metadata(api, third) == {}


def test_shares_that_name_each_other_and_were_never_placed_are_deleted(
    api: Api, network: str
) -> None:
    first = hinted(api, network)["id"]
    second = hinted(api, network, same_host=first, different_host=first)
    assert second["status"] == "error"
    told = api("GET", f"/messages?resource_id={second['id']}", who=ALICE)["messages"]
    assert "scheduler hints" in told[0]["user_message"] and "pool" not in told[0]["user_message"]
    api("DELETE", f"/shares/{second['id']}", who=ALICE, status=202)
    assert metadata(api, first) == {}


def test_hints_that_name_another_projects_share_touch_nothing_of_it(
    api: Api, engine: Engine, network: str
) -> None:
    """Whoever may write the keys by hand, as where `admin_only_metadata` does not list them."""
    own = hinted(api, network)["id"]
    others = api.share(api.share_network(who=BOB)["id"], who=BOB)["id"]
    with begin(engine) as conn:
        for share_id, named in ((own, others), (others, own)):
            row = sa.update(shares).where(shares.c.id == share_id)
            conn.execute(row.values(metadata={SAME: named}))
        kept = sa.select(shares.c.metadata, shares.c.updated_at).where(shares.c.id == others)
        before = conn.execute(kept).one()
        one = sa.select(share_instances.c.id).where(share_instances.c.share_id == own)
        instances.remove(conn, conn.execute(one).scalar_one())
        assert conn.execute(kept).one() == before and before.metadata == {SAME: own}


def test_a_share_that_is_named_with_all_the_metadata_it_may_have_can_lose_some(
    api: Api, network: str
) -> None:
    most = {f"key{number}": "x" for number in range(MOST_METADATA)}
    full = api.share(network, metadata=most)["id"]
    hinted(api, network, same_host=full, different_host=full)
    api("DELETE", f"/shares/{full}/metadata/key0", who=ALICE)
    pair = {"meta": {"key1": "y"}}
    api("PUT", f"/shares/{full}/metadata/key1", pair, who=ALICE)
    assert len(metadata(api, full)) == MOST_METADATA + 1
    api.fault("PUT", f"/shares/{full}/metadata/more", {"meta": {"more": "x"}}, 400, who=ALICE)


@pytest.mark.parametrize(
    ("hints", "status"),
    [
        ({"same_host": UNKNOWN}, 404),
        ({"different_host": UNKNOWN}, 404),
        ({"same_host": "x"}, 400),
        ({"same_host": f"{UNKNOWN},x"}, 400),
        ({"same_host": [UNKNOWN]}, 400),
        ({"different_host": 5}, 400),
        ({"same_host": {"a": "b"}}, 400),
        ({"only_host": POOL}, 403),
    ],
)
def test_bad_hints_leave_nothing_behind(
    api: Api, engine: Engine, network: str, hints: dict[str, Any], status: int
) -> None:
    """Upstream leaves an invisible share and its quota behind."""
    body = {"share_proto": "NFS", "size": 1, "share_network_id": network, "scheduler_hints": hints}
    api.fault("POST", "/shares", {"share": body}, status, who=ALICE, version=NEWEST)
    with read(engine) as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(shares)) == 0
        used = conn.scalars(sa.select(quota_usages.c.shares)).all()
        assert sum(used) == 0


def test_shares_of_others_cannot_be_named(api: Api, network: str) -> None:
    """Nor public ones: what is told is what is told of an id that nobody has."""
    theirs = api.share(api.share_network(who=BOB)["id"], who=BOB)["id"]
    api("PUT", f"/shares/{theirs}", {"share": {"is_public": True}}, who="root:blue:admin")
    body = {"share_proto": "NFS", "size": 1, "share_network_id": network}
    said = [
        api.fault(
            "POST",
            "/shares",
            {"share": {**body, "scheduler_hints": {"same_host": share_id}}},
            404,
            who=ALICE,
            version=NEWEST,
        ).replace(share_id, "")
        for share_id in (theirs, UNKNOWN)
    ]
    assert said[0] == said[1]


def test_a_share_is_named_by_so_many(api: Api, engine: Engine, network: str) -> None:
    first = hinted(api, network)["id"]
    full = {SAME: ",".join([UNKNOWN] * affinity.MOST)}
    with begin(engine) as conn:
        conn.execute(sa.update(shares).where(shares.c.id == first).values(metadata=full))
    body = {"share_proto": "NFS", "size": 1, "share_network_id": network}
    for hints in (
        {"same_host": first},
        {"different_host": ",".join(f"{UNKNOWN[:-2]}{n:02d}" for n in range(affinity.MOST + 1))},
    ):
        share = {"share": {**body, "scheduler_hints": hints}}
        told = api.fault("POST", "/shares", share, 400, who=ALICE, version=NEWEST)
        assert str(affinity.MOST) in told
    assert hinted(api, network, different_host=first)["status"] == "creating"


def test_administrators_choose_the_pool(api: Api, engine: Engine, network: str) -> None:
    body = {"share_proto": "NFS", "size": 1, "share_network_id": network, "share_type": "gold"}

    def placed(version: str, pool: str) -> tuple[str, str, bool]:
        share = {"share": {**body, "scheduler_hints": {"only_host": pool}}}
        made = api("POST", "/shares", share, version=version)["share"]["id"]
        with read(engine) as conn:
            one = sa.select(share_instances.c.is_pinned).where(share_instances.c.share_id == made)
            pinned = conn.execute(one).scalar_one()
        shown = api("GET", f"/shares/{made}")["share"]
        return shown["status"], shown["host"], pinned

    for pool in (POOL, OTHER_POOL):
        assert placed("2.67", pool) == ("creating", pool, True)
    assert placed("2.67", "nobody@nowhere#pool") == ("error", "", True)
    assert placed("2.66", "nobody@nowhere#pool")[::2] == ("creating", False)
    assert placed("2.64", "nobody@nowhere#pool")[::2] == ("creating", False)


def test_hints_of_later_versions_are_dropped(api: Api, network: str) -> None:
    made = hinted(api, network, version="2.64", same_host="x")
    assert (made["status"], made["metadata"]) == ("creating", {})
