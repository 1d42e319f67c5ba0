"""Shares are kept encoded by each API process: whatever changes is seen at once, also by a process
that has just shown the old."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from tests.api.conftest import ADMIN, ALICE, BOB, Api, BackEnd


@pytest.fixture
def other(conf: cfg.ConfigOpts, engine: Engine) -> Api:
    """Another process of the same service."""
    return Api(create_app(conf, engine))


def views(api: Api, share_id: str, who: str, version: str) -> list[dict[str, Any]]:
    """The share by itself, in the list, and in the short list."""
    lists = [
        api("GET", path, who=who, version=version)["shares"]
        for path in ("/shares/detail", "/shares")
    ]
    return [
        api("GET", f"/shares/{share_id}", who=who, version=version)["share"],
        *[row for rows in lists for row in rows if row["id"] == share_id],
    ]


Change = Callable[[Api, BackEnd, str], Any]
CHANGES: dict[str, Change] = {
    "name": lambda api, _, id_: api(
        "PUT", f"/shares/{id_}", {"share": {"display_name": "renamed"}}, who=ALICE
    ),
    "metadata": lambda api, _, id_: api(
        "POST", f"/shares/{id_}/metadata", {"metadata": {"k": "v"}}, who=ALICE
    ),
    "status": lambda api, _, id_: api(
        "POST", f"/shares/{id_}/action", {"reset_status": {"status": "error"}}, status=202
    ),
    "the worker's": lambda _api, back_end, id_: back_end.settle(id_, "10.0.0.5:/x", progress="7%"),
    "the type's name": lambda api, _, _id: api(
        "PUT",
        f"/types/{api('GET', '/types')['share_types'][0]['id']}",
        {"share_type": {"name": "new"}},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen_at_once_in_every_process(
    api: Api, other: Api, back_end: BackEnd, change: str
) -> None:
    api.share_type()
    made = api.share(api.share_network()["id"])["id"]
    back_end.settle(made, "10.0.0.5:/x")
    for who, version in ((ALICE, "2.70"), (ADMIN, "2.70"), (ALICE, "2.9")):
        assert views(other, made, who, version) == views(api, made, who, version)
    before = views(other, made, ALICE, "2.70")
    CHANGES[change](api, back_end, made)
    after = views(other, made, ALICE, "2.70")
    assert after[1] != before[1]
    for who, version in ((ALICE, "2.70"), (ADMIN, "2.70"), (ALICE, "2.9")):
        assert views(other, made, who, version) == views(api, made, who, version)
    assert "host" not in after[0], "what administrators were shown is not shown to others"


def test_a_share_that_is_gone_or_of_another_project_is_not_shown_although_it_is_kept(
    api: Api, other: Api, back_end: BackEnd
) -> None:
    api.share_type()
    made = api.share(api.share_network()["id"])["id"]
    back_end.settle(made)
    for one in (api, other):
        assert len(views(one, made, ALICE, "2.70")) == 3
        one.fault("GET", f"/shares/{made}", None, 404, who=BOB)
        assert one("GET", "/shares/detail", who=BOB)["shares"] == []
    back_end.remove(made)
    other.fault("GET", f"/shares/{made}", None, 404, who=ALICE)
    assert other("GET", "/shares/detail", who=ALICE)["shares"] == []


def test_links_follow_the_address_that_was_asked(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    made = api.share(api.share_network()["id"])["id"]
    for host in ("one.example", "two.example", "one.example"):
        answer = api.send("GET", f"/v2/shares/{made}", who=ALICE, headers={"Host": host}).json
        assert answer["share"]["links"][0]["href"] == f"http://{host}/v2/shares/{made}"
