"""Deferred deletion over the API: who sees what is being deleted, and what is done with it. Its
end: tests/operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.db.session import begin
from abaca.db.tables import pools, share_instances, share_snapshot_instances, shares
from tests.api.conftest import ADMIN, ALICE, BOB, READER, Api, BackEnd

AUDITOR = "otto:red:reader,auditor"
ALLOW = {"access_type": "ip", "access_to": "10.0.0.9"}


@pytest.fixture
def share(api: Api, back_end: BackEnd, engine: Engine, conf: cfg.ConfigOpts) -> str:
    """A share that is available, public, and can do everything; its id. Deletions are deferred."""
    conf.set_override("is_deferred_deletion_enabled", True)
    api.share_type()
    made = str(api.share(api.share_network()["id"], name="one", size=2)["id"])
    back_end.settle(made, "10.0.0.5:/shares/x")
    with begin(engine) as conn:
        everything = {"create_share_from_snapshot_support": True, "is_public": True}
        conn.execute(sa.update(shares).values(snapshot_support=True, **everything))
    return made


@pytest.fixture
def snapshot(api: Api, back_end: BackEnd, share: str, engine: Engine) -> str:
    made = api("POST", "/snapshots", {"snapshot": {"share_id": share}}, who=ALICE, status=202)
    with begin(engine) as conn:
        conn.execute(sa.text("UPDATE share_snapshot_instances SET status = 'available'"))
    return str(made["snapshot"]["id"])


def usage(api: Api, project: str = "red", who: str = ALICE) -> tuple[int, ...]:
    quotas = api("GET", f"/quota-sets/{project}/detail", who=who)["quota_set"]
    names = ("shares", "gigabytes", "snapshots", "snapshot_gigabytes")
    return tuple(quotas[name]["in_use"] for name in names)


def ids(api: Api, url: str, who: str, **more: Any) -> list[str]:
    (rows,) = [value for value in api("GET", url, who=who, **more).values() if type(value) is list]
    return [row["id"] for row in rows]


def test_only_administrators_see_the_share(api: Api, share: str) -> None:
    """shares.get, shares.find, shares.count, shares.get_version"""
    lists = (
        "/shares",
        "/shares/detail",
        "/shares?is_public=true",
        "/shares?name=one",
        "/shares/detail?name~=on",
        "/shares/detail?sort_key=size&limit=5&offset=0",
        "/shares/detail?export_location_path=10.0.0.5:/shares/x",
    )
    for url in lists:
        assert ids(api, url, ALICE) == [share], url
    assert usage(api) == (1, 2, 0, 0)
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    assert usage(api) == (0, 0, 0, 0)
    for url in lists:
        for who in (ALICE, READER, BOB):
            assert ids(api, url, who) == [], url
    assert api("GET", "/shares?with_count=true", who=ALICE)["count"] == 0
    assert api("GET", "/shares?with_count=true&name~=on", who=ALICE)["count"] == 0
    for version in ("2.8", "2.99"):
        for who in (ALICE, READER, BOB):
            api.fault("GET", f"/shares/{share}", None, 404, who=who, version=version)
        shown = api("GET", f"/shares/{share}", who=ADMIN, version=version)["share"]
        assert shown["status"] == "deferred_deleting"
    assert ids(api, "/shares?all_tenants=1", ADMIN) == [share]
    assert ids(api, "/shares?all_tenants=1&status=deferred_deleting", ADMIN) == [share]
    assert api("GET", "/shares?with_count=true&all_tenants=1", who=ADMIN)["count"] == 1


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "/shares/{share}/metadata", None),
        ("POST", "/shares/{share}/metadata", {"metadata": {"a": "b"}}),
        ("GET", "/shares/{share}/export_locations", None),
        ("PUT", "/shares/{share}", {"share": {"display_name": "x"}}),
        ("DELETE", "/shares/{share}", None),
        ("GET", "/share-access-rules?share_id={share}", None),
        ("POST", "/shares/{share}/action", {"allow_access": ALLOW}),
        ("POST", "/shares/{share}/action", {"extend": {"new_size": 3}}),
        ("POST", "/shares/{share}/action", {"soft_delete": None}),
        ("POST", "/shares/{share}/action", {"restore": None}),
        ("POST", "/snapshots", {"snapshot": {"share_id": "{share}"}}),
    ],
)
def test_to_its_project_it_is_gone(api: Api, share: str, method: str, url: str, body: Any) -> None:
    status = 400 if url.startswith("/share-access-rules") else 404
    if isinstance(body, dict) and "snapshot" in body:
        body = {"snapshot": {"share_id": share}}
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    for who in (ALICE, BOB):
        words = api.fault(method, url.format(share=share), body, status, who=who, version="2.82")
        assert "could not be found" in words


def test_its_access_rules_are_gone_too(api: Api, share: str) -> None:
    """By their ids, and in the list of the rules of all shares; no lock is placed on them."""
    body = {"allow_access": ALLOW}
    made = api("POST", f"/shares/{share}/action", body, who=ALICE, version="2.82")
    rule = str(made["access"]["id"])
    lists = "/share-access-rules"
    assert ids(api, lists, ALICE, version="2.82") == [rule]
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    assert ids(api, lists, ALICE, version="2.82") == []
    metadata = {"metadata": {"a": "b"}}
    lock = {"resource_type": "access_rule", "resource_id": rule, "resource_action": "show"}
    for method, url, given in (
        ("GET", f"{lists}/{rule}", None),
        ("PUT", f"{lists}/{rule}/metadata", metadata),
        ("POST", "/resource-locks", {"resource_lock": lock}),
    ):
        status = 400 if url == "/resource-locks" else 404
        words = api.fault(method, url, given, status, who=ALICE, version="2.82")
        assert f"Access rule {rule} could not be found" in words
    assert ids(api, lists, ADMIN, version="2.82") == [rule]


@pytest.mark.parametrize("hint", ["same_host", "different_host"])
def test_no_share_is_placed_by_it(api: Api, share: str, hint: str) -> None:
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    network = api.share_network()["id"]
    new = {"share_proto": "NFS", "size": 1, "share_network_id": network}
    body = {"share": new | {"scheduler_hints": {hint: share}}}
    words = api.fault("POST", "/shares", body, 404, who=ALICE, version="2.65")
    assert f"Share {share} could not be found" in words


def test_its_name_in_dns_is_free(api: Api, share: str, conf: cfg.ConfigOpts) -> None:
    conf.set_override("domain", "shares.example", group="dns")
    named: dict[str, Any] = {"metadata": {"dns_name": "docs"}}
    api("POST", f"/shares/{share}/metadata", named, who=ALICE)
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    assert api.share(api.share_network()["id"], who=ALICE, **named)["metadata"] == named["metadata"]


def test_a_share_is_soft_deleted_as_soon_as_no_snapshot_is_seen(
    api: Api, share: str, snapshot: str
) -> None:
    url, body = f"/shares/{share}/action", {"soft_delete": None}
    assert "1 dependent snapshots" in api.fault("POST", url, body, 403, who=ALICE, version="2.69")
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    api("POST", url, body, who=ALICE, status=202, version="2.69")


def test_administrators_do_not_bring_it_back(api: Api, back_end: BackEnd, share: str) -> None:
    """Its quota may have been used."""
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    back_end.settle(share, status="error_deferred_deleting")
    url = f"/shares/{share}/action"
    instance = ids(api, f"/shares/{share}/instances", ADMIN)[0]
    for place in (url, f"/share_instances/{instance}/action"):
        words = api.fault("POST", place, {"reset_status": {"status": "available"}}, 403)
        assert "its project has its quota back" in words
    for status in ("deferred_deleting", "error_deferred_deleting"):
        api.fault("POST", url, {"reset_status": {"status": status}}, 400)
    api("POST", url, {"force_delete": None}, status=202)
    assert api("GET", f"/shares/{share}")["share"]["status"] == "deferred_deleting"
    assert usage(api) == (0, 0, 0, 0)


def test_only_administrators_see_the_snapshot(api: Api, share: str, snapshot: str) -> None:
    """snapshots.get, snapshots.LISTING"""
    assert usage(api) == (1, 2, 1, 2)
    assert ids(api, "/snapshots", ALICE) == [snapshot]
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    assert usage(api) == (1, 2, 0, 0)
    assert ids(api, "/snapshots", ALICE) == ids(api, "/snapshots/detail", ALICE) == []
    assert api("GET", "/snapshots?with_count=true", who=ALICE, version="2.79")["count"] == 0
    url = f"/snapshots/{snapshot}"
    for method, place, body in (
        ("GET", url, None),
        ("DELETE", url, None),
        ("PUT", url, {"snapshot": {"display_name": "x"}}),
        ("GET", f"{url}/metadata", None),
        ("GET", f"{url}/export-locations", None),
        ("GET", f"{url}/access-list", None),
    ):
        api.fault(method, place, body, 404, who=ALICE)
    assert api("GET", url)["snapshot"]["status"] == "deferred_deleting"
    assert ids(api, "/snapshots?all_tenants=1", ADMIN) == [snapshot]
    words = api.fault("POST", f"{url}/action", {"reset_status": {"status": "available"}}, 403)
    assert "has its quota back" in words


@pytest.mark.parametrize(
    ("check", "seen_by"),
    [
        ("rule:admin", {ADMIN}),
        ("rule:admin or role:auditor", {ADMIN, AUDITOR}),
        ("rule:reader", {ADMIN, ALICE, READER, AUDITOR}),
        ("!", set()),
    ],
)
def test_the_policy_says_who_sees_them(
    api: Api,
    share: str,
    snapshot: str,
    conf: cfg.ConfigOpts,
    engine: Engine,
    check: str,
    seen_by: set[str],
) -> None:
    """In lists, counts and by the id; of another project only administrators, and a public share
    everybody who sees its like. What is done to it stays an administrator's."""
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    with begin(engine) as conn:
        conn.execute(sa.update(shares).values(is_public=False))
    rules = (
        "share:list_shares_in_deferred_deletion_states",
        "share_snapshot:list_snapshots_in_deferred_deletion_states",
    )
    Path(conf.state_dir, "policy.yaml").write_text(
        "".join(f'"{name}": "{check}"\n' for name in rules)
    )
    api = Api(create_app(conf, engine))
    for who in (ADMIN, ALICE, READER, AUDITOR, BOB):
        everything = "all_tenants=1&" if who == ADMIN else ""
        for what, id_ in (("shares", share), ("snapshots", snapshot)):
            seen = [id_] if who in seen_by else []
            for url in (f"/{what}", f"/{what}/detail"):
                for version in ("2.8", "2.99"):
                    asked = f"{url}?{everything}"
                    assert ids(api, asked, who, version=version) == seen, (who, url)
            counted = api("GET", f"/{what}?{everything}with_count=true", who=who, version="2.99")
            assert counted["count"] == len(seen), who
            for version in ("2.8", "2.99"):
                status = 200 if seen else 404
                api.expect(status, "GET", f"/v2/{what}/{id_}", who=who, version=version)
    api.fault("DELETE", f"/shares/{share}", None, 404, who=ALICE)
    body = {"share": {"display_name": "x"}}
    api.fault("PUT", f"/shares/{share}", body, 404, who=ALICE)
    api.fault("DELETE", f"/snapshots/{snapshot}", None, 404, who=ALICE)


def test_no_share_is_made_from_it(api: Api, share: str, snapshot: str) -> None:
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    body = {"share": {"share_proto": "NFS", "size": 2, "snapshot_id": snapshot}}
    assert snapshot in api.fault("POST", "/shares", body, 404, who=ALICE)


def test_the_share_is_deleted_as_soon_as_no_snapshot_is_seen(
    api: Api, share: str, snapshot: str
) -> None:
    assert "1 dependent snapshots" in api.fault("DELETE", f"/shares/{share}", None, 403, who=ALICE)
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    assert usage(api) == (0, 0, 0, 0)


@pytest.fixture
def stuck(api: Api, share: str, snapshot: str, engine: Engine) -> str:
    """A newer snapshot of the share, which its project has deleted and its back end did not; its
    id."""
    made = api("POST", "/snapshots", {"snapshot": {"share_id": share}}, who=ALICE, status=202)
    id_ = str(made["snapshot"]["id"])
    instances = sa.update(share_snapshot_instances)
    with begin(engine) as conn:
        conn.execute(instances.values(status="available"))
    api("DELETE", f"/snapshots/{id_}", who=ALICE, status=202)
    with begin(engine) as conn:
        this = share_snapshot_instances.c.snapshot_id == id_
        conn.execute(instances.where(this).values(status="error_deferred_deleting"))
    return id_


@pytest.mark.parametrize("who", [ALICE, ADMIN])
def test_a_share_is_reverted_to_the_newest_that_is_seen(
    api: Api, share: str, snapshot: str, stuck: str, engine: Engine, who: str
) -> None:
    with begin(engine) as conn:
        conn.execute(sa.update(shares).values(revert_to_snapshot_support=True))
    body = {"revert": {"snapshot_id": snapshot}}
    api("POST", f"/shares/{share}/action", body, who=who, status=202)
    assert api("GET", f"/shares/{share}", who=ALICE)["share"]["status"] == "reverting"


def test_a_share_is_backed_up_as_soon_as_no_snapshot_is_seen(
    api: Api, share: str, snapshot: str, stuck: str, engine: Engine
) -> None:
    with begin(engine) as conn:
        stats = conn.execute(sa.select(pools.c.stats)).scalar_one()
        stats["capabilities"] |= {"backup_support": True}
        conn.execute(sa.update(pools).values(stats=stats))
    ask = ("POST", "/share-backups", {"share_backup": {"share_id": share}})
    assert "while it has snapshots" in api.fault(*ask, 400, who=ALICE, version="2.80")
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    api(*ask, who=ALICE, status=202, version="2.80")


def test_a_share_changes_hands_with_what_is_not_seen(
    api: Api, share: str, snapshot: str, stuck: str, engine: Engine
) -> None:
    """Quotas of the other project count what it sees; all snapshots of a share have its project."""
    with begin(engine) as conn:
        conn.execute(sa.update(share_instances).values(share_network_id=None, share_server_id=None))
        states = sa.select(
            share_snapshot_instances.c.snapshot_id, share_snapshot_instances.c.status
        )
        assert dict(conn.execute(states).all()) == {
            snapshot: "available",
            stuck: "error_deferred_deleting",
        }
    offer: dict[str, Any] = {"transfer": {"share_id": share}}
    made = api("POST", "/share-transfers", offer, who=ALICE, status=202, version="2.77")["transfer"]
    accept = {"accept": {"auth_key": made["auth_key"], "clear_access_rules": True}}
    url = f"/share-transfers/{made['id']}/accept"
    api("POST", url, accept, who=BOB, status=202, version="2.77")
    assert usage(api) == (0, 0, 0, 0)
    assert usage(api, "blue", BOB) == (1, 2, 1, 2)
    assert ids(api, "/snapshots", BOB) == [snapshot]
    assert api("GET", f"/snapshots/{stuck}", version="2.99")["snapshot"]["project_id"] == "blue"


def test_without_the_option_a_share_still_goes_after_its_snapshots(
    api: Api, share: str, snapshot: str, stuck: str, conf: cfg.ConfigOpts
) -> None:
    """Not refused for what its project does not see, nor stuck in its sight."""
    conf.set_override("is_deferred_deletion_enabled", False)
    assert "1 dependent snapshots" in api.fault("DELETE", f"/shares/{share}", None, 403, who=ALICE)
    conf.set_override("is_deferred_deletion_enabled", True)
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    conf.set_override("is_deferred_deletion_enabled", False)
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    assert usage(api) == (0, 0, 0, 0)
    assert api("GET", f"/shares/{share}")["share"]["status"] == "deferred_deleting"


def test_without_the_option_nothing_is_deferred(
    api: Api, share: str, snapshot: str, conf: cfg.ConfigOpts
) -> None:
    conf.set_override("is_deferred_deletion_enabled", False)
    api("DELETE", f"/snapshots/{snapshot}", who=ALICE, status=202)
    assert api("GET", f"/snapshots/{snapshot}", who=ALICE)["snapshot"]["status"] == "deleting"
    assert usage(api) == (1, 2, 1, 2)


def test_the_force_of_administrators_defers_nothing(api: Api, share: str) -> None:
    api("POST", f"/shares/{share}/action", {"force_delete": None}, status=202)
    assert api("GET", f"/shares/{share}", who=ALICE)["share"]["status"] == "deleting"
    assert usage(api) == (1, 2, 0, 0)


def test_a_share_that_was_never_placed_goes_at_once(api: Api, share: str) -> None:
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    made = api.share(api.share_network()["id"], size=500)["id"]
    assert usage(api)[0] == 1
    api("DELETE", f"/shares/{made}", who=ALICE, status=202)
    assert usage(api) == (0, 0, 0, 0)
    api.fault("GET", f"/shares/{made}", None, 404)
