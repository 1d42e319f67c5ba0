"""Arbitrary bytes in the path, the query, the headers and the body of every route: never a 500,
always a fault of its kind.

`make fuzz` sends tens of thousands; a sample runs here. The run prints its seed, and `ABACA_SEED`
repeats it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import random
import re
from collections import Counter
from typing import Any
from wsgiref.util import setup_testing_defaults

import msgspec
import pytest
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import WsgiApp
from abaca.api.declaration import Route
from abaca.api.microversions import EXPERIMENTAL_HEADER, HEADER, MAX_VERSION, text
from abaca.api.routing import ROUTES
from tests.api.conftest import ADMIN, ALICE, READER, Api, BackEnd
from tests.api.test_openapi import populate
from tests.sample import FACTOR, SEED

PER_ROUTE = int(os.environ.get("ABACA_FUZZ", 2 * FACTOR))
CALLERS = (ADMIN, ADMIN, ALICE, ALICE, READER)
NUMBERS = (
    "0x" + "f" * 5000,
    "9" * 5000,
    "-" + "9" * 400,
    "1e999",
    "1" + "_0" * 40,
    "٣",
    "²",
    "NaN",
    "+1",
    " 1",
)
TEXTS = (
    "\x00", "\\u0000", "\ud800", "\\ud800", "\\udfff\\ud800", "\x1b[31m", "\x7f", "\u202e",
     "\ufeff", "'", '"', "\\", "%", "%00", "%ff", "{", "}",
    "{'a': 1}", "{'a': 0x" + "f" * 5000 + "}", "{'a': '\\ud800'}", "{'a': '\\x00'}",
     "{'\\ud800': 'a'}", "{" * 3000, "[" * 3000, "(" * 3000,
    "-" * 5000 + "1", "{'a': " + "-" * 3000 + "1}", "{'a': b'\\xff'}", "{1: 2}",
     "{'a': {'b': 'c'}}", "{'a': 1j}", "{'a': ...}", "a" * 70000,
    "9999-99-99", "0000-01-01T00:00:00", "2026-01-01T00:00:00+99:99", "9999-12-31T23:59:59-23:59",
     "::ffff:1.2.3.4%eth0", "fe80::1%x",
)  # fmt: skip
_ANY_NAMES = ("name", "metadata", "size", "shares", "gigabytes", "status", "a-key", "user")
BYTES = (
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x00",
    b"\xe2\x82",
    b"\x80",
    b"\xef\xbb\xbf",
    b"\x1b]0;x\x07",
)


@pytest.mark.timeout(60 + 60 * PER_ROUTE)
def test_no_bytes_break_it(
    api: Api,
    app: WsgiApp,
    conf: cfg.ConfigOpts,
    engine: Engine,
    back_end: BackEnd,
    caplog: pytest.LogCaptureFixture,
) -> None:
    draw = random.Random(f"{SEED} bytes")
    known = populate(api, back_end, conf, engine)
    queries = _query_names()
    parameters = {name for route in ROUTES for name in re.findall(r"\{(\w+)\}", route.path)}
    assert parameters <= known.keys(), "populate must make one of each"
    answers: Counter[int] = Counter()
    wrong = []
    for route in ROUTES:
        for _ in range(PER_ROUTE):
            environ = _mangled(draw, route, known, queries)
            status, body = _ask(app, environ)
            answers[status] += 1
            if status >= 500 or (status >= 400 and not _is_a_fault(body)):
                wrong.append(
                    f"{route.method} {environ['PATH_INFO'][:200]!r} "
                    f"?{environ['QUERY_STRING'][:300]!r}: {status} {body[:200]!r}"
                )
    print(f"seed {SEED}: {sum(answers.values())} requests: {dict(sorted(answers.items()))}")
    assert not wrong, f"seed {SEED}:\n" + "\n".join(wrong)
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ] == []
    assert answers[200] and answers[400]


def _query_names() -> list[str]:
    """Every parameter that a handler reads from the query."""
    return sorted({name for route in ROUTES for name in route.query})


def _mangled(
    draw: random.Random, route: Route, known: dict[str, str], queries: list[str]
) -> dict[str, Any]:
    """A request that is right but for one or a few places."""
    likely = ("query",) if route.method == "GET" else ("body",)
    places = draw.choice(
        (
            likely,
            likely,
            draw.sample(("path", "query", "header", "body"), draw.choice((1, 1, 2, 3))),
        )
    )
    path = re.sub(r"\{(\w+)\}", lambda name: known.get(name[1], "unknown"), route.path).encode()
    if "path" in places:
        path = _with_garbage(draw, path)
    query = b""
    if "query" in places:
        pairs = [
            draw.choice(queries).encode() + b"=" + _value(draw)
            for _ in range(draw.choice((1, 1, 2, 4)))
        ]
        query = b"&".join(pairs)
    body = b""
    if route.method in ("POST", "PUT"):
        body = json.dumps(_body(draw, route, known)).encode()
        if "body" in places:
            body = _with_garbage(draw, body)
    version = draw.choice((MAX_VERSION, MAX_VERSION, draw.randint(0, MAX_VERSION)))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": route.method,
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_X_AUTH_TOKEN": draw.choice(CALLERS),
        "HTTP_" + HEADER.upper().replace("-", "_"): text(version),
        "HTTP_" + EXPERIMENTAL_HEADER.upper().replace("-", "_"): "True",
    }
    if "header" in places:
        name = draw.choice(
            (
                "HTTP_X_AUTH_TOKEN",
                "HTTP_X_OPENSTACK_MANILA_API_VERSION",
                "HTTP_X_OPENSTACK_MANILA_API_EXPERIMENTAL",
                "CONTENT_TYPE",
                "HTTP_HOST",
                "HTTP_ACCEPT",
                "CONTENT_LENGTH",
            )
        )
        environ[name] = _with_garbage(draw, str(environ.get(name, "a")).encode()).decode("latin-1")
    setup_testing_defaults(environ)
    return environ


def _body(draw: random.Random, route: Route, known: dict[str, str]) -> Any:
    """What the route declares that it takes, some of it odd, and mostly with the ids of what is
    there."""
    content = route.takes and route.takes.content
    names: tuple[str, ...] = _ANY_NAMES
    if isinstance(content, type) and issubclass(content, msgspec.Struct):
        names = tuple(field.encode_name for field in msgspec.structs.fields(content))
    inner: Any = {
        name: draw.choice((known.get(name, "x"), known.get(name, "x"), _odd(draw), 1, None, {}, []))
        for name in draw.sample(names, draw.randint(0, len(names)))
    }
    if draw.random() < 0.2:
        inner = draw.choice((_odd(draw), draw.choice(list(known.values()))))
    member = route.action or (route.takes and route.takes.member)
    return {member: inner} if member else inner


def _odd(draw: random.Random) -> Any:
    odd = draw.choice((*TEXTS, *NUMBERS))
    return draw.choice(
        (odd, {odd: odd}, [odd], 10**30, -1, 1.5e300, True, {"a": 10**30}, {"a": {"b": odd}})
    )


def _value(draw: random.Random) -> bytes:
    """A query parameter's value: text that means something somewhere, percent-encoded or raw, or
    bytes that are no text."""
    odd = draw.choice((*TEXTS, *NUMBERS)).encode("utf-8", "surrogatepass")
    odd = odd if draw.random() < 0.7 else _with_garbage(draw, odd)
    return odd if draw.random() < 0.2 else b"".join(b"%%%02x" % byte for byte in odd)


def _with_garbage(draw: random.Random, data: bytes) -> bytes:
    """`data` with something changed, cut off or put in."""
    at = draw.randint(0, len(data))
    text_ = draw.choice(TEXTS).encode("utf-8", "surrogatepass")
    odd = draw.choice(
        (*BYTES, text_, draw.choice(NUMBERS).encode(), draw.randbytes(draw.randint(1, 40)))
    )
    return draw.choice(
        (
            data[:at] + odd + data[at:],
            data[:at] + odd,
            data[:at],
            odd + data[at:],
            data[:at] + odd + data[at + len(odd) :],
        )
    )


def _ask(app: WsgiApp, environ: dict[str, Any]) -> tuple[int, bytes]:
    statuses = []
    body = b"".join(app(environ, lambda status, _headers, *_: statuses.append(int(status[:3]))))  # type: ignore[arg-type]
    return statuses[0], body


def _is_a_fault(body: bytes) -> bool:
    fault = json.loads(body)
    return isinstance(fault, dict) and len(fault) == 1
