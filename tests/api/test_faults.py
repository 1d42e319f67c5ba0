"""Errors: bodies, headers, and bad input that leaves no trace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.db.session import begin, create_engine, read
from abaca.db.tables import metadata
from tests.api.conftest import ADMIN, ALICE, NOBODY, READER, UNKNOWN, Api
from tests.databases import Initialise
from tests.stack import initialise

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(("method", "path", "who", "status"), [
    ("GET", "/types", ADMIN, 200),
    ("GET", "/nope", ADMIN, 404),
    ("GET", "/types", None, 401),
    ("PATCH", "/types", ADMIN, 405),
    ("GET", f"/shares/{UNKNOWN}", ADMIN, 404),
    ("POST", "/types", ALICE, 403),
])  # fmt: skip
def test_every_answer_names_the_request(
    api: Api, method: str, path: str, who: str | None, status: int
) -> None:
    answers = [api.send(method, f"/v2{path}", who=who) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {status}
    names = [answer.headers["x-openstack-request-id"] for answer in answers]
    assert names == [answer.headers["x-compute-request-id"] for answer in answers]
    assert names[0] != names[1] and names[0].startswith("req-")


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PUT", {"share_network": {"name": "x"}}), ("DELETE", None)]
)
def test_a_member_without_an_id_is_not_there(
    api: Api, method: str, body: dict[str, Any] | None
) -> None:
    """And is not taken for the collection: clients whose id is empty by mistake must not be
    misled."""
    api.fault(method, "/share-networks/", body, 404)


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "/shares/action", {"extend": {"new_size": 2}}),
    ("PUT", "/shares/metadata", {"metadata": {"a": "b"}}),
    ("DELETE", "/share-networks/subnets", None),
    ("POST", "/share-servers/action", {"reset_status": {}}),
    ("PUT", "/types/extra_specs", {"share_type": {"name": "x"}}),
])  # fmt: skip
def test_a_slash_that_a_client_folded_hides_no_missing_id(
    api: Api, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """`/shares//action` arrives as `/shares/action`."""
    api.fault(method, path, body, 404)


def test_wrong_method(api: Api) -> None:
    answer = api.send("DELETE", "/v2/types")
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    assert list(answer.json) == ["badMethod"]


BAD_BODIES = [
    (b"{", 400),
    (b"", 400),
    (b"\xff\xfe", 400),
    (b"[" * 5000, 400),
    (b'{"share_network": {"name": NaN}}', 400),
    (
        b'{"share_type": {"name": "a\\u0000b", "extra_specs": {"driver_handles_share_servers": '
        b"true}}}",
        400,
    ),
    (b"x" * 200_000, 413),
    (b"null", 400),
    (b"[]", 400),
    (b'"text"', 400),
    (b'{"share_type": []}', 400),
    (b'{"share_type": null}', 400),
    (b'{"share_type": {"name": 5}}', 400),
    (b'{"share_type": {"name": "a", "extra_specs": []}}', 400),
    (b'{"share_type": {"name": "a", "extra_specs": {"driver_handles_share_servers": {}}}}', 400),
    (
        b'{"share_type": {"name": "a", "description": 7, "extra_specs": '
        b'{"driver_handles_share_servers": true}}}',
        400,
    ),
]


@pytest.mark.parametrize(
    ("raw", "status"), BAD_BODIES, ids=[str(raw[:40]) for raw, _ in BAD_BODIES]
)
def test_bad_bodies(api: Api, engine: Engine, raw: bytes, status: int) -> None:
    before = _rows(engine)
    message = api.fault("POST", "/types", None, status, headers=JSON, raw=raw)
    assert message
    if raw[:1] in (b"{", b"[", b"\xff") and raw.endswith((b"{", b"[", b"\xfe")):
        assert message == "Malformed request body"
    assert _rows(engine) == before


@pytest.mark.parametrize("path", ["/share-networks", "/shares"])
@pytest.mark.parametrize("body", [{}, {"share": None, "share_network": None}, [], {"other": {}}])
def test_missing_top_level_object_is_422(api: Api, path: str, body: Any) -> None:
    assert api.fault("POST", path, body, 422) == "Unable to process the contained instructions"


def test_media_types(api: Api) -> None:
    raw = b'{"share_network": {"name": "a"}}'
    for media_type, status in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 200),
    ]:
        answer = api.send(
            "POST", "/v2/share-networks", headers={"Content-Type": media_type}, raw=raw
        )
        assert answer.status_code == status, media_type
    assert api.send("POST", "/v2/share-networks", raw=raw).status_code == 200


def test_too_large_tells_when_to_retry(api: Api) -> None:
    answer = api.send("POST", "/v2/types", headers=JSON, raw=b" " * 114_689)
    assert (
        answer.status_code,
        answer.headers["retry-after"],
        answer.json["overLimit"]["retryAfter"],
    ) == (413, "0", "0")


@pytest.mark.parametrize("path", ["/shares/a%00b", "/share-networks/%00", "/types/%00/extra_specs"])
def test_ids_that_no_database_takes(api: Api, path: str) -> None:
    api.fault("GET", path, None, 404)


@pytest.mark.parametrize(
    "query",
    [
        "name=a%00b",
        "limit=x",
        "offset=-1",
        "all_tenants=maybe",
        "metadata=[",
        "metadata=__import__('os')",
        "is_public=perhaps",
    ],
)
def test_bad_queries(api: Api, query: str) -> None:
    api.fault("GET", f"/shares?{query}", None, 400)


STRANGE_KEYS = ['a"b', "a'b", "a.b", "$", "a\\b", "a[0]", "", "é", "a%", "?x", ":y", "1"]


@pytest.mark.parametrize("key", STRANGE_KEYS)
def test_strange_metadata_in_queries(api: Api, key: str) -> None:
    api("GET", f"/shares?metadata={quote(repr({key: 'v'}))}", who=ALICE)


@pytest.mark.parametrize(
    "query",
    [
        "name=%ff%fe",
        "name=%ed%a0%80",
        "share_type_id=" + "x" * 5000,
        "name=a&name=b",
        "name",
        "=",
        "%",
        "a%00b=1",
    ],
)
def test_strange_queries(api: Api, query: str) -> None:
    api("GET", f"/shares?{query}", who=ALICE)


@pytest.mark.parametrize(
    "share_id", ["%ff", "%ed%a0%80", "x" * 5000, "%2e%2e", "a%2Fb", "a%20b", "'", "%25"]
)
def test_strange_paths(api: Api, share_id: str) -> None:
    api.fault("GET", f"/shares/{share_id}", None, 404, who=ALICE)


@pytest.fixture
def broken(template_database: Callable[[Initialise], str]) -> Iterator[Engine]:
    """A database without the table of messages."""
    engine = create_engine(template_database(initialise))
    with begin(engine) as conn:
        conn.execute(sa.text("DROP TABLE messages"))
    yield engine
    engine.dispose()


def test_who_has_found_a_bug_fills_the_log_with_no_tracebacks(
    broken: Engine, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    api = Api(create_app(conf, broken))
    for _ in range(40):
        assert api.send("GET", "/v2/messages").status_code == 500
    told = [record for record in caplog.records if record.name == "abaca.api.faults"]
    assert len(told) == 40
    # ten of each minute
    assert 10 <= len([record for record in told if record.exc_info]) < 40


def test_a_bug_tells_nothing(
    broken: Engine, conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = Api(create_app(conf, broken)).send("GET", "/v2/messages")
    assert answer.status_code == 500
    request_id = answer.headers["x-openstack-request-id"]
    expected = (
        "The server has either erred or is incapable of performing the requested "
        f"operation. (Request-ID: {request_id})"
    )
    assert answer.json == {"computeFault": {"code": 500, "message": expected}}
    (record,) = [record for record in caplog.records if record.name == "abaca.api.faults"]
    assert record.getMessage() == "GET /v2/messages failed" and record.exc_info


def test_a_database_that_is_not_there_is_told_as_that(conf: cfg.ConfigOpts) -> None:
    missing = create_engine("sqlite:////nowhere/at/all.sqlite")
    answer = Api(create_app(conf, missing)).send("GET", "/v2/messages")
    assert (answer.status_code, list(answer.json)) == (503, ["serviceUnavailable"])
    assert "Try again later" in answer.json["serviceUnavailable"]["message"]


@pytest.mark.parametrize("body", [{"nonsense": {}}, {"Reset_Status": {}}])
def test_unknown_actions(api: Api, body: Any) -> None:
    assert api.fault("POST", f"/shares/{UNKNOWN}/action", body, 400).startswith(
        "There is no such action"
    )


@pytest.mark.parametrize("body", [{}, [], None, {"extend": {}, "shrink": {}}, "extend"])
def test_malformed_actions(api: Api, body: Any) -> None:
    assert api.fault("POST", f"/shares/{UNKNOWN}/action", body, 400) == "Malformed request body"


@pytest.mark.parametrize("who", [READER, NOBODY])
@pytest.mark.parametrize("path", ["/share-networks", "/shares"])
def test_who_may_not_write(api: Api, engine: Engine, who: str, path: str) -> None:
    before = _rows(engine)
    assert "Policy doesn't allow" in api.fault(
        "POST", path, {"share_network": {}, "share": {}}, 403, who=who
    )
    assert _rows(engine) == before


def _rows(engine: Engine) -> dict[str, int]:
    with read(engine) as conn:
        return {
            table.name: conn.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
        }
