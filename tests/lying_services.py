"""An OpenStack service that lies: answers without end, drops of them, nothing at all, or what is
none. As a Keystone it also confirms honest tokens, and gives one to whoever logs in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import monotonic
from typing import Any

HONEST = "honest-token"
_SAID: dict[str, Any] = {
    "empty": {},
    "list": [],
    "null": None,
    "nulls": dict.fromkeys(("subnets", "ports", "networks", "network", "subnet", "port",
     "network_ip_availability", "rbac_policies")),
    "numbers": {"subnets": [5], "ports": ["x"], "network": 7, "subnet": [], "port": 3,
     "network_ip_availability": {"subnet_ip_availability": 5}},
    "shapes": {
        "subnets": [{"id": "s", "network_id": "n", "cidr": "10.0.0.0/24; reboot",
         "ip_version": "six", "gateway_ip": [1]}],
        "network": {"id": "n", "mtu": "large", "provider:network_type": "vlan", "shared": True},
        "ports": [{"id": 3, "device_id": "server", "device_owner": "manila:share", "name": ["x"],
         "fixed_ips": "no", "mac_address": 7}],
        "subnet": {"id": "s", "cidr": None, "network_id": 2},
        "network_ip_availability": {"subnet_ip_availability": [{"x": 1}]},
    },
    "poison": {
        "subnets": [{"id": "s", "network_id": "n", "cidr": "10.0.0.0/24", "ip_version": 4,
         "gateway_ip": "10.0.0.1"}],
        "network": {"id": "n", "mtu": -5, "provider:network_type": "vlan\n}", "shared": True},
        "ports": [{
            "id": "p", "device_id": "server", "device_owner": "manila:share",
             "name": "abaca-subnet-0", "mac_address": "02:00:00:00:00:01",
            "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.5;}\nEXPORT {"}],
        }],
        "subnet": {"id": "s", "cidr": "10.0.0.0/24", "network_id": "n", "gateway_ip": "10.0.0.1"},
        "network_ip_availability": {"subnet_ip_availability": [{"subnet_id": "s",
         "total_ips": "many", "used_ips": {}}]},
    },
}  # fmt: skip
NONSENSE = tuple(_SAID)
"""What a path begins with for an answer of the wrong content."""
LIES = ("hang", "drip", "heads", "continue", "endless", "bomb", "garbage", "pages", "redirect")
_FAR = "2199-01-01T00:00:00.000000Z"


class Lies(BaseHTTPRequestHandler):
    """What a token, or a path, begins with says how it is answered: hang, drip, heads, continue,
    endless, bomb, garbage, pages (a list without end), redirect, one of NONSENSE; others as they
    should be."""

    protocol_version = "HTTP/1.1"
    over = Event()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        """A token for the service that asks; a user named "hang" waits for one."""
        if b'"hang"' in self.rfile.read(int(self.headers.get("Content-Length", "0"))):
            self._hang()
            return
        if not self.path.partition("?")[0].endswith("/auth/tokens"):
            self.do_GET()
            return
        self._answer(201, self._token("service"), {"X-Subject-Token": "service-token"})

    def do_GET(self) -> None:
        """Versions, and what a token stands for."""
        wanted = self.headers.get("X-Subject-Token") or self.path.strip("/")
        first = wanted.partition("/")[0]
        if first in NONSENSE:
            self._answer(200, _SAID[first], {})
            return
        for lie in LIES:
            if wanted.startswith(lie):
                getattr(self, f"_{lie}")()
                return
        if wanted == HONEST:
            self._answer(200, self._token("member"), {})
        elif wanted.startswith("other"):
            self._answer(200, {"token": {"user": [], "roles": 5, "expires_at": _FAR}}, {})
        elif self.path.endswith("/auth/tokens"):
            self._answer(404, {"error": {"code": 404, "message": "no such token"}}, {})
        else:
            links = [{"rel": "self", "href": f"{self._url}/v3/"}]
            self._answer(
                200,
                {"version": {"id": "v3.14", "status": "stable", "links": links, "media-types": []}},
                {},
            )

    @property
    def _url(self) -> str:
        host, port = self.request.getsockname()[:2]
        return f"http://{host}:{port}"

    do_PUT = do_DELETE = do_POST

    def _token(self, role: str) -> dict[str, Any]:
        domain = {"id": "default", "name": "Default"}
        kinds = ("public", "internal", "admin")
        endpoints = [
            {
                "interface": kind,
                "region": "R",
                "region_id": "R",
                "id": kind,
                "url": f"{self._url}/v3",
            }
            for kind in kinds
        ]
        return {"token": {
            "methods": ["password"], "user": {"id": role, "name": role, "domain": domain},
            "project": {"id": "red", "name": "red", "domain": domain},
            "roles": [{"id": role, "name": role}], "issued_at": "2026-01-01T00:00:00.000000Z",
             "expires_at": _FAR, "audit_ids": ["a"],
            "catalog": [{"type": "identity", "name": "keystone", "id": "k",
             "endpoints": endpoints}],
        }}  # fmt: skip

    def _answer(self, status: int, body: object, headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self._head(
            status,
            {**headers, "Content-Type": "application/json", "Content-Length": str(len(data))},
        )
        self.wfile.write(data)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _hang(self) -> None:
        self.over.wait(60)

    def _drip(self) -> None:
        self._head(200, {"Content-Length": "1000000"})
        while not self.over.wait(0.2):
            self.wfile.write(b" ")

    def _heads(self) -> None:
        """A head of which each byte comes in time."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.over.wait(0.2):
            self.wfile.write(b"x")

    def _continue(self) -> None:
        """Answers that say that the answer follows."""
        while not self.over.wait(0.2):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _endless(self) -> None:
        self._head(200, {"Connection": "close"})
        while not self.over.is_set():
            self.wfile.write(b" " * 65536)

    def _bomb(self) -> None:
        data = gzip.compress(b" " * 200_000_000, 9)
        self._head(200, {"Content-Encoding": "gzip", "Content-Length": str(len(data))})
        self.wfile.write(data)

    def _garbage(self) -> None:
        self._head(200, {"Content-Type": "application/json", "Content-Length": "4"})
        self.wfile.write(b"\xff[{\x00")

    def _pages(self) -> None:
        kind = self.path.partition("?")[0].split("/")[3]
        following = {"rel": "next", "href": f"{self._url}/pages/v2.0/{kind}?marker={monotonic()}"}
        self._answer(
            200,
            {
                kind: [{"id": "i", "network_id": "n", "device_id": "server", "name": "x"}],
                f"{kind}_links": [following],
            },
            {},
        )

    def _redirect(self) -> None:
        self._answer(302, {}, {"Location": f"{self._url}{self.path}x"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go when they have enough."""


@contextmanager
def lying_service() -> Iterator[str]:
    """Its URL."""
    Lies.over = Event()
    server = _Server(("127.0.0.1", 0), Lies)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        Lies.over.set()
        server.shutdown()
        server.server_close()
