"""Who did what: a line for each change that is asked for, done or refused, and for each failed
login."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.admin import logs
from abaca.api.app import create_app
from abaca.db.session import create_engine
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

GLOBAL = "req-5f0a3c1e-0000-4000-8000-00000000abcd"


class Log:
    """The JSON lines of the file, and what was logged beside them."""

    def __init__(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.path = path
        self._caplog = caplog

    def lines(self) -> list[dict[str, Any]]:
        return (
            [json.loads(line) for line in self.path.read_text().splitlines()]
            if self.path.exists()
            else []
        )

    def last(self) -> dict[str, Any]:
        return self.lines()[-1]

    def said(self) -> list[str]:
        return [
            record.getMessage()
            for record in self._caplog.records
            if record.name == "abaca.api.audit"
        ]


@pytest.fixture
def log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.INFO, "abaca"):
        yield Log(tmp_path / "audit.jsonl", caplog)


@pytest.fixture
def api(conf: cfg.ConfigOpts, engine: Engine, log: Log) -> Api:
    conf.set_override("audit_file", str(log.path), "api")
    return Api(create_app(conf, engine))


def test_a_creation_names_who_what_and_what_was_made(api: Api, back_end: BackEnd, log: Log) -> None:
    api.share_type()
    network = api.share_network()["id"]
    body = {
        "share": {
            "share_proto": "NFS",
            "size": 1,
            "share_type": "gold",
            "share_network_id": network,
            "name": "hidden",
        }
    }
    answer = api.expect(
        200, "POST", "/v2/red/shares", body, who=ALICE, headers={"X-OpenStack-Request-ID": GLOBAL}
    )
    line = log.last()
    assert line.pop("milliseconds") >= 0 and line.pop("time").endswith("Z")
    assert line == {
        "event": "change",
        "request_id": answer.headers["x-openstack-request-id"],
        "global_request_id": GLOBAL,
        "user": "alice",
        "project": "red",
        "address": "127.0.0.1",
        "method": "POST",
        "path": "/v2/red/shares",
        "status": 200,
        "resource": answer.json["share"]["id"],
    }
    assert log.said()[-1].startswith(
        f"global_request_id={GLOBAL} user=alice project=red address=127.0.0.1 method=POST "
        "path=/v2/red/shares status="
    )
    assert "hidden" not in log.path.read_text() + " ".join(log.said())


def test_an_action_is_named_with_its_share(api: Api, back_end: BackEnd, log: Log) -> None:
    api.share_type()
    share = api.share(api.share_network()["id"])["id"]
    back_end.settle(share, "10.0.0.5:/shares/x")
    api("POST", f"/shares/{share}/action", {"extend": {"new_size": 2}}, status=202, who=ALICE)
    assert (log.last()["action"], log.last()["resource"], log.last()["status"]) == (
        "extend",
        share,
        202,
    )
    api("DELETE", f"/shares/{UNKNOWN}", status=404, who=ALICE)
    assert (log.last()["method"], log.last()["resource"], log.last()["status"]) == (
        "DELETE",
        UNKNOWN,
        404,
    )


def test_every_way_of_making_something_names_what_was_made(api: Api, log: Log) -> None:
    made: dict[str, dict[str, Any]] = {
        "/v2/types": {
            "share_type": {
                "name": "silver",
                "extra_specs": {"driver_handles_share_servers": "True"},
            }
        },
        "/v2/share-networks": {"share_network": {"name": "n"}},
        "/v2/security-services": {"security_service": {"type": "ldap"}},
        "/network/v2.0/networks": {"network": {"name": "n"}},
    }
    for path, body in made.items():
        answer = api.send("POST", path, body)
        assert answer.status_code < 300, answer.text
        member = next(iter(body))
        assert log.last()["resource"] == answer.json[member]["id"], path


@pytest.mark.parametrize(
    ("who", "method", "path", "body", "status"),
    [
        (ALICE, "POST", "/v2/types", {"share_type": {"name": "x"}}, 403),
        (READER, "POST", "/v2/share-networks", {"share_network": {}}, 403),
        (BOB, "DELETE", f"/v2/share-networks/{UNKNOWN}", None, 404),
        (ADMIN, "POST", "/v2/types",
         {"share_type": {"name": "twice", "extra_specs": {"driver_handles_share_servers": "True"}}},
          409),
        (ADMIN, "POST", "/v2/types", {"share_type": 1}, 400),
        (ALICE, "PUT", "/v2/nothing", {}, 404),
        (ALICE, "POST", "/v2/blue/shares", {}, 400),
        (ALICE, "POST", "/v2/share-networks", {"share_network": {"name": "x" * 200_000}}, 413),
    ],
)  # fmt: skip
def test_what_was_refused_is_told_too(
    api: Api, log: Log, who: str, method: str, path: str, body: Any, status: int
) -> None:
    api(
        "POST",
        "/types",
        {"share_type": {"name": "twice", "extra_specs": {"driver_handles_share_servers": "True"}}},
    )
    answer = api.send(method, path, body, who=who)
    assert answer.status_code == status, answer.text
    line = log.last()
    assert (line["status"], line["user"], line["method"], line["path"]) == (
        status,
        who.split(":")[0],
        method,
        path,
    )
    assert line["request_id"] == answer.headers["x-openstack-request-id"]


def test_reading_makes_no_line(api: Api, log: Log) -> None:
    before = len(log.lines())
    for path in ("/v2/shares", "/v2/shares/detail", f"/v2/shares/{UNKNOWN}", "/metrics"):
        api.send("GET", path, who=ALICE)
    api.send("OPTIONS", "/v2/shares", who=ALICE)
    assert len(log.lines()) == before


def test_strangers_fill_no_log(api: Api, log: Log) -> None:
    for _ in range(50):
        assert api.send("POST", "/v2/shares", {}, who=None).status_code == 401
    assert len(log.lines()) == len(log.said()) == 10
    assert all("user" not in line and line["status"] == 401 for line in log.lines())
    api("POST", "/share-networks", {"share_network": {}}, who=ALICE)
    assert log.last()["user"] == "alice"


@pytest.mark.parametrize(
    "forged", ["req-1", f"{GLOBAL}x", f"{GLOBAL} user=root", GLOBAL.upper(), "req-" + "a" * 5000]
)  # fmt: skip
def test_a_global_request_id_that_is_none_is_left_out(api: Api, log: Log, forged: str) -> None:
    api(
        "POST",
        "/share-networks",
        {"share_network": {}},
        who=ALICE,
        headers={"X-OpenStack-Request-ID": forged},
    )
    assert "global_request_id" not in log.last()
    assert "req-" not in log.said()[-1]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/shares/x%0A2026-11-29T00:00:00.000Z%20api[1]%20INFO%20all%20is%20well",
        "/v2/shares/x%20status=202%20user=root",
        "/v2/shares/%1B]0;title%07%E2%80%AE",
        '/v2/shares/"%20status=202',
        "/v2/shares/" + "x" * 3000,
    ],
)
def test_a_path_forges_neither_lines_nor_fields(api: Api, log: Log, path: str) -> None:
    assert api.send("DELETE", path, who=ALICE).status_code in (400, 404)
    (said,) = log.said()
    assert said.isascii() and said.isprintable() and len(said) < 1500
    assert said.count(" status=") - said.count("x status=202") - said.count('\\" status=202') == 1
    (raw,) = log.path.read_text().splitlines()
    assert raw.isascii() and raw.isprintable() and len(raw) < 3000
    assert json.loads(raw)["user"] == "alice"


def test_keys_that_clients_choose_are_no_ids(api: Api, back_end: BackEnd, log: Log) -> None:
    api.share_type()
    share = api.share(api.share_network()["id"])["id"]
    api("POST", f"/shares/{share}/metadata", {"metadata": {"id": UNKNOWN}}, who=ALICE)
    assert log.last()["resource"] == share


def test_errors_that_callers_cannot_mend_name_the_request(
    api: Api, engine: Engine, conf: cfg.ConfigOpts
) -> None:
    """As not every client shows headers."""

    def broken(_req: object) -> Any:
        raise RuntimeError("a bug")

    answer = Api(create_app(conf, engine, authenticate=broken)).send("GET", "/v2/shares")
    assert answer.status_code == 500
    assert answer.headers["x-openstack-request-id"] in answer.json["computeFault"]["message"]
    there = create_engine("sqlite:////nowhere/at/all.sqlite")
    for path, member in (
        ("/v2/shares", "serviceUnavailable"),
        ("/network/v2.0/networks", "NeutronError"),
    ):
        answer = Api(create_app(conf, there)).send("GET", path)
        assert answer.status_code == 503
        assert answer.headers["x-openstack-request-id"] in answer.json[member]["message"]


@pytest.fixture
def logged() -> Iterator[None]:
    """Logging as the processes of the service set it up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.set_up("api", "INFO")
    yield
    root.handlers[:], root.level = handlers, level


def test_every_line_of_a_request_begins_with_its_id(
    api: Api, back_end: BackEnd, logged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is logged on the way, and at its end; nothing is left for what comes after it."""
    api.share_type()
    network = api.share_network()["id"]
    capsys.readouterr()
    logs.set_up("api", "INFO")  # on what is captured
    body = {
        "share": {
            "share_proto": "NFS",
            "size": 10_000,
            "share_type": "gold",
            "share_network_id": network,
        }
    }
    api("PUT", "/quota-sets/red", {"quota_set": {"gigabytes": -1}})
    answer = api.expect(200, "POST", "/v2/shares", body, who=ALICE)
    logging.getLogger("abaca").info("afterwards")
    *_, why, line, after = capsys.readouterr().err.splitlines()
    named = f"[{answer.headers['x-openstack-request-id']}] "
    assert f"abaca.domain.shares.share_creation: {named}share {answer.json['share']['id']}: " in why
    assert f"abaca.api.audit: {named}user=alice " in line
    assert after.endswith("abaca: afterwards")
    (message,) = api("GET", "/messages", who=ALICE)["messages"]
    assert message["request_id"] == answer.headers["x-openstack-request-id"]
