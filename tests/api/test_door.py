"""The API's front door against a real server process: what strangers send over raw sockets, and what an honest client sees meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.api_process import Server, serving
from tests.stack import wait_for

HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HALF_A_BODY = b"POST /v2/types HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(**{"api.workers": 1, "api.threads": 2}) as made:
        made.start()
        yield made


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def rest(connection: socket.socket) -> bytes:
    """What still comes until the other end closes; at most a megabyte."""
    received = b""
    while len(received) < 1 << 20:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not chunk:
            return received
        received += chunk
    return received


def test_http_2_is_not_spoken(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(HTTP_2 + bytes.fromhex("000000040000000000"))
        began = time.monotonic()
        rest(connection)
        assert time.monotonic() - began < 5


def test_silent_connections_end_and_keep_nobody_out(server: Server) -> None:
    silent = [connect(server) for _ in range(1100)]
    assert server.ask("GET", "/healthcheck")[0] == 200
    for connection in silent[::100]:
        assert rest(connection) == b""  # within the 20 s that a receive may take
    wait_for(lambda: server.ask("GET", "/healthcheck")[0] == 200, 5)
    for connection in silent:
        connection.close()
