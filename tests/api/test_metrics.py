"""GET /metrics: requests, and the installation in numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.db.session import begin, create_engine
from abaca.db.tables import services
from tests.api.conftest import ALICE, BACKEND, Api, BackEnd


def numbers(api: Api) -> dict[str, float]:
    """Sample with its labels → value."""
    answer = api.expect(200, "GET", "/metrics", version=None)
    assert answer.headers["content-type"].startswith("text/plain")
    return {name: float(value) for name, value in re.findall(r"^(abaca_\S*(?:\{.*\})?) (\S+)$", answer.text, re.MULTILINE)}


def test_the_installation(api: Api, back_end: BackEnd, engine: Engine) -> None:
    waiting = 'abaca_operations{name="share_create",state="waiting"}'
    before = numbers(api).get(waiting, 0)  # work is not deleted between these tests
    network = api.send("POST", "/network/v2.0/networks", {"network": {"name": "n"}}, who=ALICE, version=None).json["network"]["id"]
    body = {"subnet": {"network_id": network, "cidr": "10.7.0.0/24", "ip_version": 4}}
    subnet = api.send("POST", "/network/v2.0/subnets", body, who=ALICE, version=None).json["subnet"]["id"]
    api.share_type()
    share_network = api.share_network()["id"]
    settled = api.share(share_network)["id"]
    back_end.settle(settled, "10.0.0.5:/shares/x")
    api.share(share_network)
    seen = numbers(api)
    assert seen["abaca_database_up"] == 1
    assert seen['abaca_resources{kind="share",status="available"}'] == 1
    assert seen['abaca_resources{kind="share",status="creating"}'] == 1
    assert seen['abaca_resources{kind="share_server",status="active"}'] == 1
    assert seen[f'abaca_back_end_up{{host="{BACKEND}"}}'] == 1
    assert seen[f'abaca_subnet_free_addresses{{subnet="{subnet}"}}'] == 253
    assert seen[waiting] == before + 2
    assert seen['abaca_operation_oldest_seconds{state="waiting"}'] >= 0
    assert seen[f'abaca_share_servers_unserved{{host="{BACKEND}"}}'] == 0
    with begin(engine) as conn:
        conn.execute(sa.update(services).values(is_ready=False, unserved_share_servers=3))
    assert numbers(api)[f'abaca_share_servers_unserved{{host="{BACKEND}"}}'] == 3
    assert numbers(api)[f'abaca_back_end_up{{host="{BACKEND}"}}'] == 0


def test_requests(api: Api) -> None:
    """By route, not by URL: ids do not make more samples."""
    counted = 'abaca_http_request_seconds_count{method="GET",route="/v2/shares/{share_id}",status="404"}'
    before = numbers(api).get(counted, 0)
    for name in ("one", "two"):
        api("GET", f"/shares/{name}", status=404)
    seen = numbers(api)
    assert seen[counted] == before + 2
    assert not [name for name in seen if "/v2/shares/one" in name]


def test_only_administrators_see_it(api: Api) -> None:
    api.expect(403, "GET", "/metrics", version=None, who=ALICE)
    api.expect(401, "GET", "/metrics", version=None, who=None)


def test_a_file_that_another_process_is_just_making_is_left_out(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is empty for a moment: at a process's first request, and at its first failed login."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    MmapedDict(str(tmp_path / "counter_1.db")).write_value(mmap_key("abaca_x", "abaca_x_total", [], [], "x"), 3.0, 0.0)
    (tmp_path / "counter_2.db").touch()
    assert numbers(api)["abaca_x_total"] == 3




@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.sqlite", "postgresql+psycopg://nobody@127.0.0.1:1/nothing"])
def test_without_a_database_requests_are_shown_alone(conf: cfg.ConfigOpts, url: str) -> None:
    missing = create_engine(url)
    seen = numbers(Api(create_app(conf, missing)))
    assert seen["abaca_database_up"] == 0
    assert not [name for name in seen if name.startswith("abaca_resources")]
    assert [name for name in seen if name.startswith("abaca_http_request_seconds")]
