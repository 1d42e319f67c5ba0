"""What came with microversions 2.90 to 2.99 without a resource of its own: constants, filters."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from abaca.db.session import begin
from abaca.db.tables import services
from tests.api.conftest import ALICE, ZONE, Api, BackEnd, new_id


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> str:
    """The id of one of Alice's."""
    api.share_type()
    return str(api.share(api.share_network()["id"])["id"])


@pytest.mark.parametrize(
    ("member", "first", "value"),
    [("encryption_key_ref", 90, None), ("snapshot_inherit_share_access_support", 99, False)],
)
def test_members_of_shares(api: Api, share: str, member: str, first: int, value: object) -> None:
    for path in ("/shares/detail", f"/shares/{share}"):
        before, shown = (
            api("GET", path, who=ALICE, version=f"2.{version}") for version in (first - 1, first)
        )
        (before, shown) = (
            (before["share"], shown["share"])
            if "share" in shown
            else (before["shares"][0], shown["shares"][0])
        )
        assert member not in before and shown[member] is value


def test_share_servers_have_no_key(api: Api, share: str) -> None:
    (before,) = api("GET", "/share-servers", version="2.89")["share_servers"]
    (server,) = api("GET", "/share-servers", version="2.90")["share_servers"]
    assert "encryption_key_ref" not in before and server["encryption_key_ref"] is None


def test_a_key_of_ones_own_is_refused(api: Api, share: str) -> None:
    """From 2.90 on; before, the member is unknown and ignored."""
    network = api("GET", f"/shares/{share}")["share"]["share_network_id"]
    key = new_id()
    said = api.share(network, status=200, version="2.89", encryption_key_ref=key)
    assert said["status"] == "creating"
    body = {"share_proto": "NFS", "size": 1, "share_network_id": network}
    told = api.fault(
        "POST",
        "/shares",
        {"share": body | {"encryption_key_ref": key}},
        400,
        who=ALICE,
        version="2.90",
    )
    assert "key" in told


def test_filter_by_key(api: Api, share: str) -> None:
    path = f"/shares?encryption_key_ref={new_id()}"
    assert len(api("GET", path, who=ALICE, version="2.89")["shares"]) == 1
    assert api("GET", path, who=ALICE, version="2.90")["shares"] == []


@pytest.mark.parametrize("path", ["/shares", "/shares/detail"])
def test_filter_by_availability_zone(api: Api, share: str, path: str) -> None:
    """By name, since 2.97; before, it is dropped."""

    def found(zone: str, version: str) -> list[str]:
        answer = api("GET", f"{path}?availability_zone={zone}", who=ALICE, version=version)
        return [each["id"] for each in answer["shares"]]

    assert found(ZONE, "2.97") == [share]
    assert found("elsewhere", "2.97") == []
    assert found("elsewhere", "2.96") == [share]


def test_filter_of_services_by_ensuring(api: Api, back_end: BackEnd) -> None:
    def found(wanted: str, version: str = "2.93") -> int:
        return len(api("GET", f"/services?ensuring={wanted}", version=version)["services"])

    assert (found("false"), found("true"), found("0"), found("True", "2.92")) == (1, 0, 1, 1)
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(services).values(ensuring=True))
    assert (found("false"), found("true"), found("yes")) == (0, 1, 1)
    api.fault("GET", "/services?ensuring=perhaps", None, 400, version="2.93")
    assert len(api("GET", "/services?ensuring=perhaps", version="2.92")["services"]) == 1


def test_what_types_show_to_projects(api: Api) -> None:
    """What a type does not say about is shown to projects as False; administrators see what it
    says."""
    api.share_type()
    name = "snapshot_inherit_share_access_support"
    (old,), (new,) = (
        api("GET", "/types", who=ALICE, version=version)["share_types"]
        for version in ("2.98", "2.99")
    )
    assert name not in old["extra_specs"] and new["extra_specs"][name] == "False"
    (said,) = api("GET", "/types", version="2.99")["share_types"]
    assert name not in said["extra_specs"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/qos-types"),
        ("GET", "/share-replicas/{id}/metadata"),
        ("GET", "/shares/{id}/migration-progress"),
    ],
)
def test_what_abaca_does_not_have_is_not_found(
    api: Api, share: str, method: str, path: str
) -> None:
    api.fault(method, path.format(id=share), None, 404, version="2.99")
