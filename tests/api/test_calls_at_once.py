"""Calls at the same time do not wait for each other."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from wsgiref.util import setup_testing_defaults

import pytest

from abaca.api.app import WsgiApp
from tests.api.conftest import ADMIN

pytestmark = pytest.mark.each_database


class Waiting(io.RawIOBase):
    """A body of two bytes that come when `go` is set."""

    def __init__(self) -> None:
        self.asked, self.go = Event(), Event()

    def read(self, size: int = -1) -> bytes:
        if self.asked.is_set():
            return b""
        self.asked.set()
        assert self.go.wait(20)
        return b"{}"


def post(app: WsgiApp, body: io.IOBase) -> str:
    """The status of a request that makes a type out of an empty body."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v2/types",
        "CONTENT_LENGTH": "2",
        "wsgi.input": body,
        "HTTP_X_AUTH_TOKEN": ADMIN,
    }
    setup_testing_defaults(environ)
    said: list[str] = []
    b"".join(app(environ, lambda status, *_: said.append(status)))  # type: ignore[arg-type]
    return said[0]


def test_a_body_that_is_slow_to_read_holds_up_no_other_call(app: WsgiApp) -> None:
    slow = Waiting()
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(post, app, slow)
        assert slow.asked.wait(10)
        other = threads.submit(post, app, io.BytesIO(b"{}"))
        try:
            assert other.result(5) == "400 Bad Request"
        finally:
            slow.go.set()
        assert waiting.result(10) == "400 Bad Request"
