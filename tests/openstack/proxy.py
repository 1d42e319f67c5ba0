"""A proxy in front of an OpenStack service that loses answers, or answers in its place, as it is
told, or lies about one thing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

ANSWER_SECONDS = 300


class Fault(NamedTuple):
    """What happens to one request of that method. `done`: the service carries it out. `status`
    None: no answer at all.

    `late`: it is carried out when `carry_out_late` is called. `type`: the answer is an error of
    Neutron's of that type.
    """

    method: str
    done: bool
    status: int | None = None
    late: bool = False
    type: str = ""


class Proxy:
    """Passes every request on, except those that `faults` are for: one request each, in order.
    `seen`: all requests, as "METHOD path".

    `lies`: what is named in a request that is answered by these bytes and not passed on; None: not
    answered until the proxy ends.
    """

    def __init__(self, port: int) -> None:
        self.faults: list[Fault] = []
        self.lies: dict[str, bytes | None] = {}
        self._over = threading.Event()
        self.seen: list[str] = []
        self._port = port
        self._late: list[tuple[str, str, dict[str, str], bytes]] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if (lie := proxy.lie_about(self.path, body)) is not None:
                    self._answer(200, {"Content-Type": "application/json"}, lie)
                    return
                fault = proxy.fault_of(self.command, self.path)
                if fault is None or fault.done:
                    status, headers, content = _forward(
                        port, self.command, self.path, dict(self.headers), body
                    )
                if fault is not None and fault.late:
                    proxy.keep((self.command, self.path, dict(self.headers), body))
                if fault is not None and fault.status is None:
                    self.close_connection = True
                    return
                if fault is not None:
                    status, headers, content = (
                        fault.status or 0,
                        {"Content-Type": "text/plain"},
                        b"no",
                    )
                    if fault.type:
                        error = {
                            "NeutronError": {"type": fault.type, "message": "no", "detail": ""}
                        }
                        headers, content = (
                            {"Content-Type": "application/json"},
                            json.dumps(error).encode(),
                        )
                self._answer(status, headers, content)

            def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_args: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def fault_of(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets; it is used up."""
        with self._lock:
            self.seen.append(f"{method} {path.partition('?')[0]}")
            if self.faults and self.faults[0].method == method:
                return self.faults.pop(0)
            return None

    def lie_about(self, path: str, body: bytes) -> bytes | None:
        """What the request is answered with in place of the truth; None: nothing of the kind."""
        for name, lie in self.lies.items():
            if name in path or name.encode() in body:
                if lie is None:
                    self._over.wait(ANSWER_SECONDS)
                return lie or b""
        return None

    def keep(self, request: tuple[str, str, dict[str, str], bytes]) -> None:
        """To be carried out late."""
        self._late.append(request)

    def carry_out_late(self) -> list[int]:
        """Have the service carry out what was kept; the statuses that nobody was told."""
        kept, self._late = self._late, []
        return [_forward(self._port, *request)[0] for request in kept]

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def _end_to_end(headers: dict[str, str]) -> dict[str, str]:
    """Without those that are between two neighbours only, and the length, which is said anew."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in ("connection", "content-length", "transfer-encoding")
    }


def _forward(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path, body, _end_to_end(headers))
        answer = connection.getresponse()
        return answer.status, _end_to_end(dict(answer.getheaders())), answer.read()
    finally:
        connection.close()
