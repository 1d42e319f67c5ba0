"""GET /metrics: requests, and the installation in numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.api.microversions import MAX_VERSION, text
from abaca.db.session import begin, create_engine
from abaca.db.tables import hosts as hosts_table
from abaca.db.tables import services, share_instances
from abaca.domain.capacity import share_usages
from abaca.domain.services import hosts
from tests.api.conftest import ALICE, BACKEND, POOL, Api, BackEnd
from tests.api.test_statements import counted

GIB = 2**30


def numbers(api: Api) -> dict[str, float]:
    """Sample with its labels → value."""
    answer = api.expect(200, "GET", "/metrics", version=None)
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        name: float(value)
        for name, value in re.findall(r"^(abaca_\S*(?:\{.*\})?) (\S+)$", answer.text, re.MULTILINE)
    }


def test_the_installation(api: Api, back_end: BackEnd, engine: Engine) -> None:
    waiting = 'abaca_operations{name="share_create",state="waiting"}'
    before = numbers(api).get(waiting, 0)  # work is not deleted between these tests
    network = api.send(
        "POST", "/network/v2.0/networks", {"network": {"name": "n"}}, who=ALICE, version=None
    ).json["network"]["id"]
    body = {"subnet": {"network_id": network, "cidr": "10.7.0.0/24", "ip_version": 4}}
    subnet = api.send("POST", "/network/v2.0/subnets", body, who=ALICE, version=None).json[
        "subnet"
    ]["id"]
    api.share_type()
    share_network = api.share_network()["id"]
    settled = api.share(share_network)["id"]
    back_end.settle(settled, "10.0.0.5:/shares/x")
    api.share(share_network)
    group = api.share_group(share_network)["id"]
    back_end.settle_group(group)
    api.share_group_snapshot(group)
    back_end.back_up(settled)
    seen = numbers(api)
    assert seen["abaca_database_up"] == 1
    assert seen['abaca_resources{kind="share",status="available"}'] == 1
    assert seen['abaca_resources{kind="share",status="creating"}'] == 1
    assert seen['abaca_resources{kind="share_server",status="active"}'] == 1
    assert seen['abaca_resources{kind="share_group",status="available"}'] == 1
    assert seen['abaca_resources{kind="share_group_snapshot",status="creating"}'] == 1
    assert seen['abaca_resources{kind="backup",status="available"}'] == 1
    assert seen[f'abaca_back_end_up{{host="{BACKEND}"}}'] == 1
    assert seen[f'abaca_subnet_free_addresses{{subnet="{subnet}"}}'] == 253
    assert seen[f'abaca_subnet_used_addresses{{subnet="{subnet}"}}'] == 0
    assert seen[waiting] == before + 2
    assert seen['abaca_operation_oldest_seconds{state="waiting"}'] >= 0
    assert seen[f'abaca_share_servers_unserved{{host="{BACKEND}"}}'] == 0
    with begin(engine) as conn:
        hosts.register(conn, "host1")
        hosts.set_state(conn, "host1", "fenced")
    told = numbers(api)
    assert told['abaca_host_share_servers{host="host1"}'] == 1
    states = {name: told[f'abaca_host_state{{host="host1",state="{name}"}}'] for name in (
        "up", "draining", "fenced", "down")}  # fmt: skip
    assert states == {"up": 0, "draining": 0, "fenced": 1, "down": 0}
    assert told['abaca_host_failover_refused{host="host1"}'] == 0
    at = 'abaca_host_failover_timestamp_seconds{host="host1"}'
    assert at not in told
    with begin(engine) as conn:
        decided = {"failed_over_at": datetime(2026, 11, 30, 12), "failover_refusal": "it answers"}
        conn.execute(sa.update(hosts_table).values(decided))
    told = numbers(api)
    assert told['abaca_host_failover_refused{host="host1"}'] == 1
    assert told[at] == datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
    with begin(engine) as conn:
        conn.execute(sa.delete(hosts_table))
        conn.execute(sa.update(services).values(is_ready=False, unserved_share_servers=3))
    assert numbers(api)[f'abaca_share_servers_unserved{{host="{BACKEND}"}}'] == 3
    assert numbers(api)[f'abaca_back_end_up{{host="{BACKEND}"}}'] == 0


def test_what_runs_is_told(api: Api, engine: Engine) -> None:
    (build,) = [name for name in numbers(api) if name.startswith("abaca_build_info{")]
    assert (
        f'version="{version("abaca")}"' in build and f'api_version="{text(MAX_VERSION)}"' in build
    )
    assert f'database="{engine.dialect.name}"' in build


@pytest.mark.parametrize(
    ("cidr", "start", "end", "free"),
    [("fd00:7::/64", None, None, None), ("fd00:7::/64", "fd00:7::10", "fd00:7::1f", 16)],
)
def test_what_cannot_run_out_has_no_number_of_free_addresses(
    api: Api, cidr: str, start: str | None, end: str | None, free: int | None
) -> None:
    network = api.send(
        "POST", "/network/v2.0/networks", {"network": {"name": "n"}}, who=ALICE, version=None
    ).json["network"]["id"]
    body: dict[str, Any] = {"network_id": network, "cidr": cidr, "ip_version": 6}
    if start:
        body["allocation_pools"] = [{"start": start, "end": end}]
    subnet = api.send(
        "POST", "/network/v2.0/subnets", {"subnet": body}, who=ALICE, version=None
    ).json["subnet"]["id"]
    seen = numbers(api)
    assert seen.get(f'abaca_subnet_free_addresses{{subnet="{subnet}"}}') == free
    assert seen[f'abaca_subnet_used_addresses{{subnet="{subnet}"}}'] == 0
    assert max(seen.values()) < 1e13


def test_pools_and_what_their_shares_hold(
    api: Api, back_end: BackEnd, engine: Engine, conf: cfg.ConfigOpts
) -> None:
    """By project and pool always, by share only where that is wanted."""
    api.share_type()
    network = api.share_network()["id"]
    shares = [api.share(network, size=size)["id"] for size in (1, 3)]
    instances = [
        api("GET", f"/shares/{share}/instances")["share_instances"][0]["id"] for share in shares
    ]
    with begin(engine) as conn:
        share_usages.store(conn, BACKEND, {instances[0]: 500, instances[1]: 2**31, "nobody's": 7})
    seen = numbers(api)
    pool, of_red = f'{{pool="{POOL}"}}', f'{{pool="{POOL}",project="red"}}'
    assert [
        seen[f"abaca_pool_{name}_bytes{pool}"] / GIB
        for name in ("size", "free", "allocated", "snapshots", "room")
    ] == [100, 100, 4, 0, 96]
    assert seen[f"abaca_project_used_bytes{of_red}"] == 2**31 + 500
    assert seen[f"abaca_project_allocated_bytes{of_red}"] == 4 * GIB
    assert seen[f'abaca_usage_measured_timestamp_seconds{{host="{BACKEND}"}}'] > 1.6e9
    assert not [name for name in seen if name.startswith("abaca_share_used_bytes")]
    conf.set_override("metrics_per_share", True, "api")
    (series,) = [
        name
        for name in numbers(api)
        if name.startswith("abaca_share_used_bytes") and shares[1] in name
    ]
    assert numbers(api)[series] == 2**31 and 'project="red"' in series


def test_it_costs_the_same_number_of_statements_whatever_there_is(
    api: Api, back_end: BackEnd, conf: cfg.ConfigOpts, engine: Engine
) -> None:
    conf.set_override("metrics_per_share", True, "api")
    api.share_type()
    network, counts = api.share_network()["id"], []
    for wanted in (1, 10):
        for number in range(wanted):
            api.share(network)
            back_end.arrive(f"host1@{wanted}-{number}")
        with begin(engine) as conn:
            ids = conn.scalars(sa.select(share_instances.c.id)).all()
            share_usages.store(conn, BACKEND, dict.fromkeys(ids, 1))
        with counted() as statements:
            api.expect(200, "GET", "/metrics", version=None)
        counts.append(len(statements))
    assert counts == [16, 16]


def test_requests(api: Api) -> None:
    """By route, not by URL: ids do not make more samples."""
    counted = (
        'abaca_http_request_seconds_count{method="GET",route="/v2/shares/{share_id}",status="404"}'
    )
    before = numbers(api).get(counted, 0)
    for name in ("one", "two"):
        api("GET", f"/shares/{name}", status=404)
    seen = numbers(api)
    assert seen[counted] == before + 2
    assert not [name for name in seen if "/v2/shares/one" in name]


def test_only_administrators_see_it(api: Api) -> None:
    api.expect(403, "GET", "/metrics", version=None, who=ALICE)
    api.expect(401, "GET", "/metrics", version=None, who=None)


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/at/all.sqlite", "postgresql+psycopg://nobody@127.0.0.1:1/nothing"]
)
def test_without_a_database_requests_are_shown_alone(conf: cfg.ConfigOpts, url: str) -> None:
    missing = create_engine(url)
    seen = numbers(Api(create_app(conf, missing)))
    assert seen["abaca_database_up"] == 0
    assert not [name for name in seen if name.startswith("abaca_resources")]
    assert [name for name in seen if name.startswith("abaca_http_request_seconds")]
