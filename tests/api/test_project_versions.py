"""The version of a project: it rises with whatever callers are shown, for those who are shown it,
and whoever has it is told so by one statement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, utcnow
from abaca.db.tables import services, shares
from tests.api.conftest import ADMIN, ALICE, BOB, NOBODY, Api, BackEnd
from tests.api.test_statements import counted

pytestmark = pytest.mark.each_database
PATH = "/v2/project-version"
Write = Callable[[Api, str, str], Any]


@pytest.fixture
def share(api: Api, back_end: BackEnd, engine: Engine) -> str:
    api.share_type()
    made = str(api.share(api.share_network()["id"])["id"])
    back_end.settle(made, "10.0.0.5:/shares/x")
    with begin(engine) as conn:
        conn.execute(sa.update(shares).values(snapshot_support=True))
    return made


def _local(api: Api, kind: str, body: dict[str, Any]) -> Any:
    answer = api.send("POST", f"/network/v2.0/{kind}s", {kind: body}, who=ALICE, version=None)
    assert answer.status_code == 201
    return answer.json[kind]["id"]


def _act(api: Api, share: str, **action: Any) -> None:
    api("POST", f"/shares/{share}/action", action, status=202, who=ALICE)


WRITES: dict[str, Write] = {
    "a share": lambda api, _share, network: api.share(network),
    "its name": lambda api, share, _: api(
        "PUT", f"/shares/{share}", {"share": {"display_name": "x"}}, who=ALICE
    ),
    "its metadata": lambda api, share, _: api(
        "POST", f"/shares/{share}/metadata", {"metadata": {"a": "b"}}, who=ALICE
    ),
    "its size": lambda api, share, _: _act(api, share, extend={"new_size": 2}),
    "its end": lambda api, share, _: api("DELETE", f"/shares/{share}", status=202, who=ALICE),
    "a rule": lambda api, share, _: api(
        "POST",
        f"/shares/{share}/action",
        {"allow_access": {"access_type": "ip", "access_to": "10.0.0.1"}},
        who=ALICE,
    ),
    "a snapshot": lambda api, share, _: api(
        "POST", "/snapshots", {"snapshot": {"share_id": share}}, status=202, who=ALICE
    ),
    "a share network": lambda api, _share, _network: api.share_network(),
    "its description": lambda api, _share, network: api(
        "PUT", f"/share-networks/{network}", {"share_network": {"description": "x"}}, who=ALICE
    ),
    "a security service": lambda api, _share, _network: api(
        "POST", "/security-services", {"security_service": {"type": "ldap"}}, who=ALICE
    ),
    "a lock": lambda api, share, _: api(
        "POST",
        "/resource-locks",
        {"resource_lock": {"resource_type": "share", "resource_id": share}},
        who=ALICE,
        version="2.81",
    ),
    "a local network": lambda api, _share, _network: _local(api, "network", {"name": "n"}),
}


@pytest.mark.parametrize("what", WRITES)
def test_it_rises_with(api: Api, share: str, what: str) -> None:
    network = api("GET", f"/shares/{share}", who=ALICE)["share"]["share_network_id"]
    before = version(api)
    WRITES[what](api, share, network)
    assert version(api) > before


def test_who_has_it_is_told_so_by_one_statement(api: Api, share: str) -> None:
    first = api.expect(200, "GET", PATH, who=ALICE)
    tag = first.headers["etag"]
    with counted() as statements:
        again = api.send("GET", PATH, who=ALICE, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"] == "private, no-cache"
    assert len(statements) == 1
    api.share_network()
    new = api.send("GET", PATH, who=ALICE, headers={"If-None-Match": tag})
    assert new.status_code == 200 and new.headers["etag"] != tag


def test_it_is_the_projects_own_unless_an_administrator_changes_something(
    api: Api, share: str
) -> None:
    before = version(api, BOB)
    api.share_network()
    assert version(api, BOB) == before
    api.share_type("another")
    assert version(api, BOB) > before


def test_what_several_projects_see_is_everybodys(api: Api, share: str) -> None:
    network = _local(api, "network", {"name": "n"})
    before = version(api, BOB)
    body = {"network_id": network, "cidr": "10.9.0.0/24", "ip_version": 4}
    _local(api, "subnet", body)
    assert version(api, BOB) > before


def test_administrators_ask_for_all_projects(api: Api, share: str) -> None:
    before = version(api, ADMIN, "?all_tenants=1"), version(api, ADMIN)
    api.share_network()
    assert version(api, ADMIN, "?all_tenants=1") > before[0]
    assert version(api, ADMIN) == before[1]
    assert version(api, BOB, "?all_tenants=1") == version(api, BOB)


def test_nothing_rises_by_reading_or_by_heartbeats(api: Api, engine: Engine, share: str) -> None:
    before = version(api, ADMIN, "?all_tenants=1")
    for path in ("/shares/detail", f"/shares/{share}", "/share-networks/detail", "/quota-sets/red"):
        api("GET", path, who=ALICE)
    with begin(engine) as conn:
        conn.execute(sa.update(services).values(expires_at=utcnow() + timedelta(hours=2)))
    api.fault("POST", "/share-networks", {"share_network": {"neutron_net_id": "n"}}, 400, who=ALICE)
    assert version(api, ADMIN, "?all_tenants=1") == before


def test_who_may_not_read_is_not_told(api: Api) -> None:
    api.fault("GET", "/project-version", None, 403, who=NOBODY)


def version(api: Api, who: str = ALICE, query: str = "") -> int:
    return int(api("GET", f"/project-version{query}", who=who)["project_version"]["version"])
