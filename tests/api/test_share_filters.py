"""Lists of shares: the filters that `test_shares` does not try."""

from __future__ import annotations

import pytest

from abaca.domain.shares import share_queries
from tests.api.conftest import ADMIN, ALICE, BOB, Api, BackEnd


@pytest.fixture
def shares(api: Api, back_end: BackEnd) -> list[str]:
    api.share_type("gold", snapshot_support="True", colour="red")
    api.share_type("silver", colour="blue")
    network = api.share_network()["id"]
    made = [
        api.share(network, name=f"s{size}", size=size, share_type=kind)["id"]
        for size, kind in [(1, "gold"), (2, "gold"), (3, "silver")]
    ]
    for share_id in made:
        back_end.settle(share_id, f"10.0.0.5:/shares/{share_id}")
    return made


def names(api: Api, query: str, version: str = "2.70", who: str = ALICE) -> list[str]:
    return [
        share["name"]
        for share in api(
            "GET", f"/shares?sort_key=size&sort_dir=asc&{query}", who=who, version=version
        )["shares"]
    ]


def test_by_extra_specs(api: Api, shares: list[str]) -> None:
    assert names(api, "extra_specs={'snapshot_support': 'true'}") == ["s1", "s2"]
    every = "all_tenants=1&extra_specs="
    assert names(api, every + "{'colour': 'red'}", who=ADMIN) == ["s1", "s2"]
    assert names(api, every + "{'colour': 'RED', 'snapshot_support': 'true'}", who=ADMIN) == [
        "s1",
        "s2",
    ]
    assert names(api, every + "{'colour': 'blue'}", who=ADMIN) == ["s3"]
    assert names(api, every + "{'colour': 'red', 'no': 'such'}", who=ADMIN) == []
    api.fault("GET", "/shares?extra_specs=red", None, 400, who=ALICE)


def test_extra_specs_that_callers_do_not_see_are_not_looked_for(
    api: Api, shares: list[str]
) -> None:
    assert (
        names(api, "extra_specs={'colour': 'red'}")
        == names(api, "extra_specs={'colour': 'red', 'snapshot_support': 'true'}")
        == []
    )


@pytest.mark.parametrize("key", ["host", "share_server_id"])
def test_callers_sort_by_nothing_that_they_do_not_see(
    api: Api, shares: list[str], key: str
) -> None:
    api.fault("GET", f"/shares?sort_key={key}", None, 403, who=ALICE)
    assert len(api("GET", f"/shares?sort_key={key}&all_tenants=1", who=ADMIN)["shares"]) == 3


def test_by_share_group(api: Api, shares: list[str]) -> None:
    assert names(api, "share_group_id=x", "2.31") == []
    assert len(names(api, "share_group_id=x", "2.30")) == 3  # not a filter of that version


def test_by_export_location(api: Api, shares: list[str]) -> None:
    path = f"10.0.0.5:/shares/{shares[1]}"
    location = api("GET", f"/shares/{shares[1]}/export_locations")["export_locations"][0]["id"]
    assert (
        names(api, f"export_location_path={path}")
        == names(api, f"export_location_id={location}")
        == ["s2"]
    )
    assert names(api, "export_location_path=/no") == names(api, "export_location_id=no") == []


def test_the_count_is_of_all_pages(api: Api, shares: list[str]) -> None:
    for path in ("/shares", "/shares/detail"):
        answer = api(
            "GET",
            f"{path}?with_count=true&limit=1&extra_specs={{'snapshot_support': 'True'}}",
            who=ALICE,
            version="2.42",
        )
        assert (answer["count"], len(answer["shares"])) == (2, 1)
        assert "count" not in api("GET", f"{path}?with_count=true", who=ALICE, version="2.41")


def test_pages_cover_everything_once(api: Api, shares: list[str]) -> None:
    seen = [names(api, f"limit=1&offset={offset}") for offset in range(4)]
    assert seen == [["s1"], ["s2"], ["s3"], []]


def test_lists_that_share_a_statement_are_answered_by_their_own_values(
    api: Api, shares: list[str]
) -> None:
    for _ in range(2):  # the second time every statement is there
        assert [names(api, f"name=s{size}") for size in (1, 2, 3)] == [["s1"], ["s2"], ["s3"]]
        assert names(api, "name=s1&status=available") == ["s1"]
        assert names(api, "name=s1&status=error") == []
        assert [len(names(api, f"limit={limit}")) for limit in (1, 2, 3)] == [1, 2, 3]
        assert names(api, "", who=BOB) == names(api, "all_tenants=1", who=BOB) == []
        assert names(api, "all_tenants=1&name=s2", who=ADMIN) == ["s2"]
        counts = [
            api("GET", f"/shares?with_count=true&{query}", who=who)["count"]
            for query, who in [("name=s2", ALICE), ("name=s4", ALICE), ("", ALICE), ("", BOB)]
        ]
        assert counts == [1, 0, 3, 0]


def test_no_more_than_a_number_of_statements_is_kept(api: Api, shares: list[str]) -> None:
    most = share_queries.kept().maxsize
    assert most is not None
    for limit in range(1, most + 10):
        names(api, f"limit={limit}")
    assert share_queries.kept().currsize == most
