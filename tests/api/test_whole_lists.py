"""Lists of shares, snapshots and access rules without a limit are answered whole, however long they
are."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api import whole_lists
from abaca.api.app import create_app
from abaca.db.session import begin, utcnow
from abaca.db.tables import (
    share_access_rules,
    share_instance_access_map,
    share_instances,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from tests.api.conftest import ADMIN, ALICE, Api, BackEnd
from tests.api.test_statements import counted

pytestmark = pytest.mark.each_database

FIRST = 5
"""`max_limit` here: the rows of the first part."""

# the last part is full, so another one is asked for, which is empty
ROWS = FIRST + 2 * whole_lists.PART


@pytest.fixture
def small(conf: cfg.ConfigOpts, engine: Engine) -> Api:
    """An API whose lists are cut soon."""
    conf.set_override("max_limit", FIRST, "api")
    return Api(create_app(conf, engine))


@pytest.fixture
def many(api: Api, back_end: BackEnd, engine: Engine) -> list[str]:
    """The ids of many shares, the newest first; several are made at the same moment."""
    api.share_type(snapshot_support="True")
    first = api.share(api.share_network()["id"], name="n0")["id"]
    back_end.settle(first)
    with begin(engine) as conn:
        share = dict(conn.execute(sa.select(shares)).mappings().one())
        instance = dict(conn.execute(sa.select(share_instances)).mappings().one())
        now = utcnow()
        made = [
            {
                **share,
                "id": str(uuid4()),
                "display_name": f"n{n}",
                "created_at": now + timedelta(seconds=n // 7),
            }
            for n in range(1, ROWS)
        ]
        conn.execute(sa.insert(shares), made)
        conn.execute(
            sa.insert(share_instances),
            [{**instance, "id": str(uuid4()), "share_id": row["id"]} for row in made],
        )
        rows = conn.execute(
            sa.select(shares.c.id).order_by(shares.c.created_at.desc(), shares.c.id)
        ).all()
    return [row.id for row in rows]


def ids(answer: dict[str, Any], member: str = "shares") -> list[str]:
    return [row["id"] for row in answer[member]]


@pytest.mark.parametrize("path", ["/shares", "/shares/detail", "/shares?limit=0"])
@pytest.mark.parametrize("version", ["2.70", "2.8"])
def test_without_a_limit_all_are_there_in_order(
    small: Api, many: list[str], path: str, version: str
) -> None:
    answer = small("GET", path, who=ALICE, version=version)
    assert ids(answer) == many
    assert set(answer) == {"shares"}


@pytest.mark.parametrize("key", ["created_at", "name", "size"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_in_every_order(small: Api, many: list[str], key: str, direction: str) -> None:
    found = small("GET", f"/shares/detail?sort_key={key}&sort_dir={direction}", who=ALICE)["shares"]
    assert {share["id"] for share in found} == set(many) and len(found) == ROWS
    assert [share[key] for share in found] == sorted(
        [share[key] for share in found], reverse=direction == "desc"
    )


def test_an_offset_holds_for_the_whole(small: Api, many: list[str]) -> None:
    assert ids(small("GET", "/shares?offset=3", who=ALICE)) == many[3:]


def test_a_filter_holds_for_all_parts(small: Api, many: list[str], engine: Engine) -> None:
    with begin(engine) as conn:
        conn.execute(
            sa.update(shares).where(shares.c.id.in_(many[::2])).values(display_name="chosen")
        )
        network = conn.scalar(sa.select(share_instances.c.share_network_id).limit(1))
    assert ids(small("GET", "/shares?name=chosen", who=ALICE)) == many[::2]
    assert sorted(ids(small("GET", f"/shares?share_network_id={network}", who=ALICE))) == sorted(
        many
    )


def test_with_a_limit_a_link_leads_on(small: Api, many: list[str]) -> None:
    answer = small("GET", f"/shares?limit={2 * FIRST}", who=ALICE)
    assert ids(answer) == many[:FIRST]
    assert f"offset={FIRST}" in answer["shares_links"][0]["href"]


def test_the_count_comes_with_it(small: Api, many: list[str]) -> None:
    assert small("GET", "/shares?with_count=true", who=ALICE)["count"] == ROWS


def test_what_comes_and_goes_meanwhile_moves_nothing_else(
    conf: cfg.ConfigOpts, engine: Engine, small: Api, many: list[str]
) -> None:
    """Rows are deleted between the parts: no other is missing, and none is there twice."""
    result = small.send("GET", "/v2/shares", who=ALICE)  # as it is when nothing happens
    assert len(result.json["shares"]) == ROWS
    app = create_app(conf, engine)
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/v2/shares", "QUERY_STRING": "",
         "HTTP_X_AUTH_TOKEN": ALICE, "SERVER_NAME": "x", "SERVER_PORT": "80",
        "HTTP_X_OPENSTACK_MANILA_API_VERSION": "2.70", "wsgi.url_scheme": "http",
         "wsgi.input": None, "wsgi.errors": None,
    }  # fmt: skip
    parts = iter(app(environ, lambda *_: None))  # type: ignore[arg-type]
    sent = [next(parts), next(parts)]
    gone = many[3 : FIRST + whole_lists.PART + 40 : 7]
    with begin(engine) as conn:
        conn.execute(sa.delete(shares).where(shares.c.id.in_(gone)))
    text = b"".join([*sent, *parts])
    found = ids(json.loads(text))
    assert len(found) == len(set(found))
    assert set(many) - set(gone) <= set(found)


def test_snapshots_and_access_rules_too(small: Api, many: list[str], engine: Engine) -> None:
    with begin(engine) as conn:
        instance_id = conn.scalar(
            sa.select(share_instances.c.id).where(share_instances.c.share_id == many[0])
        )
        now = utcnow()
        times = [now + timedelta(seconds=n // 7) for n in range(ROWS)]
        project = conn.scalar(sa.select(shares.c.project_id).limit(1))
        taken: list[dict[str, Any]] = [
            {"id": str(uuid4()), "share_id": many[0], "project_id": project, "user_id": "alice",
             "size": 1, "share_proto": "NFS", "metadata": {},
             "created_at": at} for at in times
        ]  # fmt: skip
        conn.execute(sa.insert(share_snapshots), taken)
        conn.execute(
            sa.insert(share_snapshot_instances),
            [
                {
                    "id": str(uuid4()),
                    "snapshot_id": row["id"],
                    "share_instance_id": instance_id,
                    "status": "available",
                    "created_at": now,
                }
                for row in taken
            ],
        )
        rules = [
            {"id": str(uuid4()), "share_id": many[0], "access_type": "ip",
             "access_to": f"10.0.{n // 256}.{n % 256}", "access_level": "rw",
             "metadata": {}, "created_at": at} for n, at in enumerate(times)
        ]  # fmt: skip
        conn.execute(sa.insert(share_access_rules), rules)
        on_it = {"share_instance_id": instance_id, "state": "active", "created_at": now}
        conn.execute(
            sa.insert(share_instance_access_map),
            [{**on_it, "id": str(uuid4()), "access_id": rule["id"]} for rule in rules],
        )
    for path, member, made in (
        ("/snapshots/detail", "snapshots", taken),
        (f"/share-access-rules?share_id={many[0]}", "access_list", rules),
    ):
        found = ids(small("GET", path, who=ALICE), member)
        assert len(found) == ROWS and set(found) == {row["id"] for row in made}


def test_a_part_costs_the_same_number_of_statements_whatever_the_number_of_rows(
    small: Api, many: list[str]
) -> None:
    with counted() as statements:
        small("GET", "/shares", who=ADMIN, version="2.70")
        small("GET", "/shares?all_tenants=1", who=ADMIN)
    parts = 1 + -(-(ROWS - FIRST) // whole_lists.PART)
    assert len(statements) <= 2 * (2 * parts + 1)
