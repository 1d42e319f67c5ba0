"""Mount point names over the API: who may give which, and what they come to. In paths:
`drivers.conformance.mount_point_names`."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.db.tables import shares
from abaca.domain.driver_views import driver_values
from tests.api.conftest import ALICE, BOB, Api, BackEnd

SUPPORT = "mount_point_name_support"
PREFIX = "provisioning:mount_point_prefix"


@pytest.fixture(autouse=True)
def pool(back_end: BackEnd) -> None:
    back_end.arrive(
        "host1@names", driver_handles_share_servers=False, mount_point_name_support=True
    )


def make_type(api: Api, name: str = "named", **specs: str) -> None:
    extra = {"driver_handles_share_servers": "False", SUPPORT: "<is> True", **specs}
    body = {"share_type": {"name": name, "share_type_access:is_public": True, "extra_specs": extra}}
    api("POST", "/types", body)


def ask(api: Api, name: Any, who: str = ALICE, share_type: str = "named", **more: Any) -> Any:
    wanted = {"share_proto": "NFS", "size": 1, "share_type": share_type, "mount_point_name": name}
    return api.send("POST", "/v2/shares", {"share": wanted}, who=who, version="2.84", **more)


def stored(engine: Engine) -> list[str | None]:
    with read(engine) as conn:
        return list(
            conn.scalars(sa.select(shares.c.mount_point_name).order_by(shares.c.created_at))
        )


def test_a_name_is_kept_with_its_project(api: Api, engine: Engine) -> None:
    make_type(api)
    made = [ask(api, "data"), ask(api, "data", who=BOB), ask(api, None), ask(api, "")]
    assert [answer.status_code for answer in made] == [200] * 4
    assert stored(engine) == ["red_data", "blue_data", None, None]
    assert "mount_point_name" not in made[0].json["share"]
    with read(engine) as conn:
        seen = driver_values.shares(conn, shares.c.mount_point_name == "red_data")
    assert [share.mount_point_name for share in seen] == ["red_data"]


def test_a_project_has_a_name_once(api: Api, engine: Engine) -> None:
    make_type(api)
    assert ask(api, "data").status_code == 200
    again = ask(api, "data")
    assert (again.status_code, "red_data is in use" in again.text) == (409, True)
    quotas = api("GET", "/quota-sets/red/detail", who=ALICE)["quota_set"]
    assert quotas["shares"]["in_use"] == 1
    assert ask(api, "Data").status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".", "a/b", "/", "a b", " ", "a\n", "\n", "\x00", '"; }', "a'b", "a\\b", "%2e"),
        *("\N{LATIN SMALL LETTER E WITH ACUTE}", "{project_id}", "a" * 252, "$x", "a,b", "~"),
    ],
    ids=ascii,
)
def test_what_is_no_name_is_refused(api: Api, engine: Engine, name: str) -> None:
    make_type(api)
    refused = ask(api, name)
    assert refused.status_code == 400, refused.text
    assert stored(engine) == []


@pytest.mark.parametrize("name", [7, True, ["a"], {"a": "b"}])
def test_a_name_is_text(api: Api, name: Any) -> None:
    make_type(api)
    assert ask(api, name).status_code == 400


def test_the_longest_name(api: Api, engine: Engine) -> None:
    make_type(api)
    assert ask(api, "a" * 251).status_code == 200
    assert [len(name or "") for name in stored(engine)] == [255]


@pytest.mark.parametrize("name", ["0-4be5-a5b5-5ec0bd1d2a4e", "0" * 24])
def test_no_name_is_the_id_of_another_share(api: Api, name: str) -> None:
    """Their paths would be the same."""
    make_type(api, **{PREFIX: "5f0f6a5e-6bb1-4be5-a5b5-5ec0bd1d2a4e"[: 36 - len(name)]})
    if name == "0" * 24:
        make_type(api, "hex", **{PREFIX: "5f0f6a5e"})
    refused = ask(api, name, share_type="hex" if name == "0" * 24 else "named")
    assert refused.status_code == 400
    assert "could be the id of another share" in refused.text


def test_a_type_without_names(api: Api, engine: Engine) -> None:
    make_type(api, **{SUPPORT: "False"})
    refused = ask(api, "data")
    assert (refused.status_code, f"{SUPPORT}=True" in refused.text) == (400, True)
    made = ask(api, None)
    assert made.status_code == 200


def test_a_type_says_what_names_begin_with(api: Api, engine: Engine) -> None:
    make_type(api, **{PREFIX: "vol-{project_id}-"})
    make_type(api, "bare", **{PREFIX: "x_"})
    ask(api, "data")
    ask(api, "data", share_type="bare")
    assert stored(engine) == ["vol-red-data", "x_data"]
    assert ask(api, "data", who=BOB, share_type="bare").status_code == 409  # all projects' names
    shown = api("GET", "/types", who=ALICE, version="2.84")["share_types"]
    assert "vol-{project_id}-" in [each["extra_specs"].get(PREFIX) for each in shown]


@pytest.mark.parametrize(
    "prefix", ["a/b", "{user_id}", "{project_id.__class__}", "{0}", "ä", "a b"]
)
def test_what_is_no_prefix_is_refused(api: Api, prefix: str) -> None:
    specs = {"driver_handles_share_servers": "False", PREFIX: prefix}
    api.fault("POST", "/types", {"share_type": {"name": "odd", "extra_specs": specs}}, 400)


def test_a_project_whose_id_is_no_name(api: Api) -> None:
    make_type(api)
    refused = ask(api, "data", who="carol:of the south:member")
    assert (refused.status_code, "of the south_data" in refused.text) == (400, True)


def test_a_pool_that_can_do_it_is_chosen(api: Api, back_end: BackEnd, engine: Engine) -> None:
    back_end.arrive("host1@nameless", driver_handles_share_servers=False)
    make_type(api)
    for number in range(3):
        made = ask(api, f"data{number}").json["share"]
        assert api("GET", f"/shares/{made['id']}")["share"]["host"].startswith("host1@names#")


def test_before_2_84_it_is_nothing(api: Api, engine: Engine) -> None:
    make_type(api)
    wanted = {"share_proto": "NFS", "size": 1, "share_type": "named", "mount_point_name": "data"}
    api("POST", "/shares", {"share": wanted}, who=ALICE, version="2.83")
    assert stored(engine) == [None]


def test_lists_are_filtered_by_it(api: Api) -> None:
    make_type(api)
    one = ask(api, "data").json["share"]["id"]
    ask(api, "other")

    def found(who: str, version: str) -> list[str]:
        url = "/shares?mount_point_name=red_data&is_public=true"
        return [share["id"] for share in api("GET", url, who=who, version=version)["shares"]]

    assert found(ALICE, "2.84") == [one]
    assert found(BOB, "2.84") == []
    assert len(found(ALICE, "2.83")) == 2


def test_it_is_free_again_when_the_share_has_gone(api: Api, engine: Engine) -> None:
    make_type(api)
    made = ask(api, "data").json["share"]["id"]
    with begin(engine) as conn:
        conn.execute(sa.delete(shares).where(shares.c.id == made))
    assert ask(api, "data").status_code == 200


def test_a_share_that_names_its_project_is_not_handed_over(
    api: Api, back_end: BackEnd, engine: Engine
) -> None:
    make_type(api)
    make_type(api, "bare", **{PREFIX: "x_"})
    for share_type, status in (("named", 400), ("bare", 202)):
        made = ask(api, "data", share_type=share_type).json["share"]["id"]
        back_end.settle(made)
        body = {"transfer": {"share_id": made}}
        api("POST", "/share-transfers", body, who=ALICE, version="2.84", status=status)


def test_a_managed_share_gets_one_since_2_92(api: Api, engine: Engine) -> None:
    make_type(api)
    managed = {"service_host": "host1@names#pool1", "protocol": "NFS", "share_type": "named"}
    for number, version in enumerate(("2.91", "2.92")):
        named = {"export_path": f"10.0.0.1:/shares/{number}", "mount_point_name": "data"}
        api("POST", "/shares/manage", {"share": managed | named}, version=version)
    assert stored(engine) == [None, "control_data"]
    odd = {"export_path": "10.0.0.1:/shares/9", "mount_point_name": "a/b"}
    api.fault("POST", "/shares/manage", {"share": managed | odd}, 400, version="2.92")
    twice = {"export_path": "10.0.0.1:/shares/9", "mount_point_name": "data"}
    api.fault("POST", "/shares/manage", {"share": managed | twice}, 409, version="2.92")
