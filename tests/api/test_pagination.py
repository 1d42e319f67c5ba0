"""limit, offset, sorting and next links, on lists that are long enough."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import create_app
from tests.api.conftest import ADMIN, ALICE, Api, BackEnd
from tests.api.test_statements import counted


@pytest.fixture
def names(api: Api, back_end: BackEnd) -> list[str]:
    api.share_type()
    network = api.share_network()["id"]
    made = [f"share-{number}" for number in range(5)]
    for name in made:
        api.share(network, name=name)
    return made


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=-1", "limit param must be positive"),
        ("limit=x", "limit param must be an integer"),
        ("limit=", "limit param must be an integer"),
        ("offset=-1", "offset param must be positive"),
        ("offset=x", "offset param must be an integer"),
        ("offset=" + "9" * 5000, "offset param must be an integer"),
        ("sort_dir=up", "Bad sort_dir 'up': must be asc or desc."),
    ],
)
@pytest.mark.parametrize(
    "path", ["/shares", "/share-networks", "/types", "/messages", "/share-servers"]
)
def test_bad_pages(api: Api, path: str, query: str, message: str) -> None:
    assert api.fault("GET", f"{path}?{query}", None, 400) == message


SORTED = [
    "/types", "/share-networks", "/security-services", "/share-servers", "/shares",
     "/share_instances", "/share-access-rules", "/resource-locks",
    "/snapshots", "/snapshot-instances", "/messages",
]  # fmt: skip


@pytest.mark.parametrize("path", SORTED)
def test_sort_keys(api: Api, path: str) -> None:
    """Every list tells an unknown one in the same words, and can be sorted by each that it names
    then."""
    told = api.fault("GET", f"{path}?sort_key=id;drop", None, 400, version="2.82")
    known = re.fullmatch(
        r"[A-Z][a-z ]+ cannot be sorted by 'id;drop'\. Known sort keys: ([a-z_, ]+)\.", told
    )
    assert known is not None, told
    keys = known[1].split(", ")
    assert keys == sorted(keys) and {"id", "created_at"} <= set(keys)
    for key in keys:
        for direction in ("asc", "desc"):
            api("GET", f"{path}?sort_key={key}&sort_dir={direction}", version="2.82")


def test_lists_that_say_nothing_of_their_order_are_sorted_too(api: Api) -> None:
    for name in ("b", "a", "c"):
        api.share_type(name)
        api.share_network(who=ADMIN, name=name)
        api("POST", "/security-services", {"security_service": {"type": "ldap", "name": name}})

    def names(path: str, query: str) -> list[str]:
        return [row["name"] for row in next(iter(api("GET", f"{path}?{query}").values()))]

    for path in ("/types", "/share-networks", "/security-services"):
        assert names(path, "sort_key=name&sort_dir=asc") == ["a", "b", "c"], path
        assert names(path, "sort_key=name") == ["c", "b", "a"], path
        assert names(path, "sort_key=name&sort_dir=asc&limit=1&offset=1") == ["b"], path
    assert names("/types", "") == ["b", "a", "c"] == names("/share-networks", "")[::-1]


def test_next_links_lead_through_the_whole_list(api: Api, names: list[str]) -> None:
    seen: list[str] = []
    path = "/shares?limit=2&sort_key=name&sort_dir=asc"
    for _ in range(4):
        answer = api("GET", path, who=ALICE)
        seen += [share["name"] for share in answer["shares"]]
        if "shares_links" not in answer:
            break
        (link,) = answer["shares_links"]
        assert link["rel"] == "next"
        url = urlsplit(link["href"])
        assert url.path == "/v2/shares" and parse_qs(url.query)["sort_key"] == ["name"]
        path = f"{url.path.removeprefix('/v2')}?{url.query}"
    assert seen == names


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=2&offset=1", [1, 2]),
        ("offset=4", [4]),
        ("offset=99", []),
        ("offset=" + "9" * 30, []),
        ("limit=0", [0, 1, 2, 3, 4]),
        ("limit=99", [0, 1, 2, 3, 4]),
    ],
)
def test_pages(api: Api, names: list[str], query: str, found: list[int]) -> None:
    answer = api("GET", f"/shares?sort_key=name&sort_dir=asc&{query}", who=ALICE)
    assert [share["name"] for share in answer["shares"]] == [names[number] for number in found]


def test_max_limit(
    engine: Engine, api: Api, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    conf = config.load(
        [],
        {
            "state_dir": str(tmp_path_factory.mktemp("state")),
            "api.auth_strategy": "noauth",
            "api.max_limit": 3,
        },
    )
    small = Api(create_app(conf, engine))
    answer = small("GET", "/shares?limit=4", who=ALICE)
    assert len(answer["shares"]) == 3 and "limit=3&offset=3" in answer["shares_links"][0]["href"]
    for query in ("", "?limit=0"):
        assert set(small("GET", f"/shares{query}", who=ALICE)) == {"shares"}, (
            "without a limit it is whole; see test_whole_lists"
        )


def test_counting(api: Api, names: list[str]) -> None:
    assert api("GET", "/shares?limit=2&with_count=true", who=ALICE)["count"] == 5
    assert "count" not in api("GET", "/shares?with_count=false", who=ALICE)
    assert "count" not in api("GET", "/shares?with_count=true", who=ALICE, version="2.41")


@pytest.mark.parametrize(
    ("more", "is_joined"), [("", False), ("&project_id=red", False), ("&status=creating", True)]
)
def test_what_is_counted_is_joined_only_where_it_is_filtered(
    api: Api, names: list[str], more: str, is_joined: bool
) -> None:
    """Each share's instance, looked at for nothing, is most of what counting 10,000 costs."""
    with counted() as statements:
        answer = api("GET", f"/shares?with_count=true{more}", who=ALICE)
    assert answer["count"] == len(answer["shares"]) == 5
    counts = [one for one in statements if "count(" in one]
    assert ["share_instances" in one for one in counts] == [is_joined]


def test_public_endpoint_in_links(
    engine: Engine, api: Api, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    state_dir = str(tmp_path_factory.mktemp("state"))
    conf = config.load(
        [],
        {
            "state_dir": state_dir,
            "api.auth_strategy": "noauth",
            "api.public_endpoint": "https://shares.example/api/",
        },
    )
    answer = Api(create_app(conf, engine))("GET", "/shares?limit=1", who=ALICE)
    assert answer["shares_links"][0]["href"].startswith("https://shares.example/api/v2/shares?")
    share = answer["shares"][0]
    assert [link["href"] for link in share["links"]] == [
        f"https://shares.example/api/v2/shares/{share['id']}",
        f"https://shares.example/api/shares/{share['id']}",
    ]
