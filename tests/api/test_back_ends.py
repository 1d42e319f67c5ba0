"""What administrators see of back ends: services and pools; and the availability zones that
everyone sees."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.session import begin, utcnow
from abaca.db.tables import services
from tests.api.conftest import ADMIN, ALICE, BACKEND, POOL, READER, ZONE, Api, BackEnd


@pytest.mark.parametrize(
    ("path", "version", "more"),
    [
        ("/os-services", "2.0", set()),
        ("/os-services", "2.6", set()),
        ("/services", "2.7", set()),
        ("/services", "2.82", set()),
        ("/services", "2.83", {"disabled_reason"}),
        ("/services", "2.86", {"disabled_reason", "ensuring"}),
    ],
)
def test_services(api: Api, back_end: BackEnd, path: str, version: str, more: set[str]) -> None:
    """services.index"""
    (service,) = api("GET", path, version=version)["services"]
    assert set(service) == {"id", "binary", "host", "zone", "status", "state", "updated_at"} | more
    assert service.get("disabled_reason") is None and not service.get("ensuring")
    assert service == service | {
        "binary": "manila-share",
        "host": BACKEND,
        "zone": ZONE,
        "status": "enabled",
        "state": "up",
    }
    assert isinstance(service["id"], int)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("binary=manila-share", True),
        ("binary=manila-data", False),
        (f"host={BACKEND}", True),
        ("host=host1", False),
        (f"zone={ZONE}&state=up&status=enabled", True),
        ("state=down", False),
        ("status=disabled", False),
        ("unknown=1", True),
    ],
)
def test_filters_of_services(api: Api, back_end: BackEnd, query: str, found: bool) -> None:
    assert bool(api("GET", f"/services?{query}")["services"]) is found


@pytest.mark.parametrize(
    "values",
    [{"expires_at": utcnow() - timedelta(seconds=1)}, {"is_ready": False}],
    ids=["without a heartbeat", "not ready"],
)
def test_services_that_are_down(api: Api, back_end: BackEnd, values: dict[str, Any]) -> None:
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(services).values(**values))
    assert api("GET", "/services")["services"][0]["state"] == "down"


@pytest.mark.parametrize(
    ("base", "version"), [("/os-services", "2.6"), ("/services", "2.7"), ("/services", "2.70")]
)
def test_disable_and_enable(api: Api, back_end: BackEnd, base: str, version: str) -> None:
    """services.disable, services.enable"""
    chosen = {"host": BACKEND, "binary": "manila-share"}
    for verb, status in (("disable", "disabled"), ("enable", "enabled")):
        assert api("PUT", f"{base}/{verb}", chosen, version=version) == chosen | {
            "disabled": status == "disabled"
        }
        assert api("GET", base, version=version)["services"][0]["status"] == status
    wrong: Any
    for wrong in ({}, {"host": BACKEND}, {"host": 5, "binary": "manila-share"}, [], None):
        api.fault("PUT", f"{base}/disable", wrong, 400, version=version)
    api.fault("PUT", f"{base}/disable", chosen | {"host": "nowhere@alpha"}, 404, version=version)
    api.fault("PUT", f"{base}/disable", chosen | {"binary": "manila-data"}, 404, version=version)
    api.fault("PUT", f"{base}/disable", chosen, 403, version=version, who=ALICE)
    assert api("GET", base, version=version)["services"][0]["status"] == "enabled"


def test_why_it_is_disabled(api: Api, back_end: BackEnd) -> None:
    chosen = {"host": BACKEND, "binary": "manila-share"}

    def reason() -> Any:
        return api("GET", "/services", version="2.83")["services"][0]["disabled_reason"]

    api("PUT", "/services/disable", chosen | {"disabled_reason": "too early"}, version="2.82")
    assert reason() is None
    answer = api(
        "PUT", "/services/disable", chosen | {"disabled_reason": "new disks"}, version="2.83"
    )
    assert answer == chosen | {"disabled": True, "disabled_reason": "new disks"}
    assert reason() == "new disks"
    api.fault(
        "PUT", "/services/disable", chosen | {"disabled_reason": "x" * 256}, 400, version="2.83"
    )
    assert api("PUT", "/services/enable", chosen, version="2.83") == chosen | {
        "disabled": False,
        "disabled_reason": None,
    }
    assert reason() is None


def test_ensure_shares(api: Api, back_end: BackEnd) -> None:
    """services.ensure_shares"""
    chosen, wrapped = {"host": BACKEND}, {"ensure_shares": {"host": BACKEND}}
    wrong: Any
    for wrong in ({}, None, {"host": 5}, {"ensure_shares": {}}, {"ensure_shares": []}, []):
        api.fault("POST", "/services/ensure-shares", wrong, 400, version="2.86")
    api.fault("POST", "/services/ensure-shares", {"host": "nowhere@alpha"}, 404, version="2.86")
    api.fault("POST", "/services/ensure-shares", chosen, 403, version="2.86", who=ALICE)
    api.fault("POST", "/services/ensure-shares", chosen, 404, version="2.85")
    assert api("POST", "/services/ensure-shares", chosen, version="2.86", status=202) is None
    assert api("GET", "/services", version="2.86")["services"][0]["ensuring"] is True
    assert "already" in api.fault("POST", "/services/ensure-shares", chosen, 409, version="2.86")
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(services).values(ensuring=False, is_ready=False))
    assert "is down" in api.fault("POST", "/services/ensure-shares", wrapped, 409, version="2.86")
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(services).values(is_ready=True))
    assert api("POST", "/services/ensure-shares", wrapped, version="2.86", status=202) is None


def test_a_disabled_back_end_gets_no_shares(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    network = api.share_network()["id"]
    api("PUT", "/services/disable", {"host": BACKEND, "binary": "manila-share"})
    assert api.share(network)["status"] == "error"
    api("PUT", "/services/enable", {"host": BACKEND, "binary": "manila-share"})
    assert api.share(network)["status"] == "creating"


def test_pools(api: Api, back_end: BackEnd) -> None:
    """scheduler_stats.pools_index, scheduler_stats.pools_detail"""
    short = {"name": POOL, "host": "host1", "backend": "alpha", "pool": "pool1"}
    assert api("GET", "/scheduler-stats/pools") == {"pools": [short]}
    (pool,) = api("GET", "/scheduler-stats/pools/detail", version="2.0")["pools"]
    capabilities = pool.pop("capabilities")
    assert pool == short
    expected = {
        "pool_name": "pool1",
        "share_backend_name": "alpha",
        "total_capacity_gb": 100.0,
        "free_capacity_gb": 100.0,
        "allocated_capacity_gb": 0,
        "reserved_percentage": 0,
        "driver_handles_share_servers": True,
        "share_server_multiple_subnet_support": True,
        "storage_protocol": "NFS",
    }
    assert capabilities == capabilities | expected
    assert "Z" not in capabilities["timestamp"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"pool1", "pool2"}),
        ("pool=pool1", {"pool1"}),
        ("pool=%5Epool1%24", {"pool1"}),
        ("pool=ool1", set()),
        ("backend=beta", {"pool2"}),
        ("host=host1&backend=.*", {"pool1", "pool2"}),
        ("share_type=gold", {"pool2"}),
        ("share_type=plain", {"pool1", "pool2"}),
    ],
)
def test_filters_of_pools(api: Api, back_end: BackEnd, query: str, found: set[str]) -> None:
    back_end.arrive("host1@beta", "pool2", fast=True)
    api.share_type("gold", fast="<is> True")
    api.share_type("plain", availability_zones="elsewhere")
    assert {
        pool["pool"] for pool in api("GET", f"/scheduler-stats/pools?{query}")["pools"]
    } == found


def test_filter_by_share_type_came_with_2_23(api: Api, back_end: BackEnd) -> None:
    path = "/scheduler-stats/pools?share_type=unknown"
    assert len(api("GET", path, version="2.22")["pools"]) == 1
    api.fault("GET", path, None, 404, version="2.23")


@pytest.mark.parametrize("pattern", ["(", "*", "x" * 300])
def test_filters_that_are_no_patterns(api: Api, pattern: str) -> None:
    api.fault("GET", f"/scheduler-stats/pools?host={pattern}", None, 400)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/os-availability-zone", "2.0"),
        ("/os-availability-zone", "2.6"),
        ("/availability-zones", "2.7"),
        ("/availability-zones", "2.70"),
    ],
)
@pytest.mark.parametrize("who", [ADMIN, READER])
def test_availability_zones(api: Api, back_end: BackEnd, path: str, version: str, who: str) -> None:
    """availability_zones.index"""
    (zone,) = api("GET", path, version=version, who=who)["availability_zones"]
    assert set(zone) == {"id", "name", "created_at", "updated_at"}
    assert (zone["name"], zone["updated_at"]) == (ZONE, None)
