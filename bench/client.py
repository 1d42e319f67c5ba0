"""The load generator: a few keep-alive connections over raw sockets in one epoll loop, cheap enough
that the service is what is measured.

`load` keeps every client busy and notes how long each answer took; `Client` is one connection for
everything that is done step by step. A server that closes after each answer (uwsgi's plain HTTP
socket) is connected to anew, which is part of what it costs.
"""

from __future__ import annotations

import select
import socket
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

TIMEOUT_SECONDS = 120.0
_CHUNK = 1 << 20
_END_OF_HEAD = b"\r\n\r\n"


class Target(NamedTuple):
    """Where requests go and what they carry besides. `closes`: the server ends the connection after
    each answer, without saying so."""

    host: str
    port: int
    headers: Mapping[str, str]
    closes: bool = False

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """One request as it goes over the wire."""
        content = b"" if body is None else msgspec.json.encode(body)
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Accept: application/json",
        ]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if content or method in ("POST", "PUT"):
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return "\r\n".join(lines).encode() + _END_OF_HEAD + content


class Answer(NamedTuple):
    """A status, a body, and whether the server ends the connection."""

    status: int
    body: bytes
    closes: bool


class Failed(Exception):
    """The service answered with something else than was expected, or not at all."""


class Measured(NamedTuple):
    """What a load came to. Seconds for latencies."""

    rate: float
    p50: float
    p99: float
    answers: int
    bytes_each: int
    client_cpu: float  # share of one core that the load generator itself used
    service_cpu: float = 0.0  # seconds of CPU that the service and its database used for one answer


class Connection:
    """One client: at most one request under way."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.socket = self._connect()
        self.started = 0.0
        self._received = bytearray()
        self._head = 0
        self._needed = 0

    def send(self, request: bytes) -> None:
        self.started = time.perf_counter()
        self._received.clear()
        self._head = self._needed = 0
        self.socket.sendall(request)

    def receive(self) -> Answer | None:
        """Read what has come; the answer once it is complete."""
        chunk = self.socket.recv(_CHUNK)
        self._received += chunk
        if not self._needed:
            end = self._received.find(_END_OF_HEAD)
            if end < 0:
                if not chunk:
                    raise Failed("the server closed the connection without an answer")
                return None
            self._head = end + len(_END_OF_HEAD)
            self._needed = self._head + _content_length(bytes(self._received[:end]).lower())
        if len(self._received) >= self._needed or not chunk:
            head = bytes(self._received[: self._head]).lower()
            closes = self._target.closes or not chunk or b"\r\nconnection: close" in head
            return Answer(int(head[9:12]), bytes(self._received[self._head :]), closes)
        return None

    def header(self, name: str) -> str:
        """A header of the last answer; empty without it."""
        for line in bytes(self._received[: self._head]).decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return ""

    def reconnect(self) -> None:
        self.socket.close()
        self.socket = self._connect()

    def close(self) -> None:
        self.socket.close()

    def _connect(self) -> socket.socket:
        made = socket.create_connection(
            (self._target.host, self._target.port), timeout=TIMEOUT_SECONDS
        )
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


def _content_length(head: bytes) -> int:
    """1 << 60 when the body ends with the connection."""
    _, found, rest = head.partition(b"content-length:")
    if found:
        return int(rest.partition(b"\r\n")[0])
    return 1 << 60 if head[9:12] not in (b"204", b"304") else 0


def load(
    target: Target, requests: Iterator[bytes], *, clients: int, seconds: float, expect: int = 200
) -> Measured:
    """Keep `clients` connections busy for so long. Raises Failed for any other status than
    `expect`."""
    connections = [Connection(target) for _ in range(clients)]
    poll = select.epoll()
    by_fd = {}
    for connection in connections:
        by_fd[connection.socket.fileno()] = connection
        poll.register(connection.socket.fileno(), select.EPOLLIN)
    latencies: list[float] = []
    size = 0
    began, cpu = time.perf_counter(), time.process_time()
    deadline = began + seconds
    for connection in connections:
        connection.send(next(requests))
    busy = len(connections)
    while busy:
        ready = poll.poll(TIMEOUT_SECONDS)
        if not ready:
            raise Failed(f"no answer within {TIMEOUT_SECONDS:g} s")
        for fd, _ in ready:
            connection = by_fd[fd]
            answer = connection.receive()
            if answer is None:
                continue
            now = time.perf_counter()
            if answer.status != expect:
                raise Failed(f"status {answer.status}: {answer.body[:300]!r}")
            latencies.append(now - connection.started)
            size = len(answer.body)
            if now >= deadline:
                busy -= 1
                poll.unregister(fd)  # else the server's end of it would wake us
                continue
            if answer.closes:
                poll.unregister(fd)
                del by_fd[fd]
                connection.reconnect()
                by_fd[connection.socket.fileno()] = connection
                poll.register(connection.socket.fileno(), select.EPOLLIN)
            connection.send(next(requests))
    elapsed = time.perf_counter() - began
    cpu = time.process_time() - cpu
    for connection in connections:
        connection.close()
    latencies.sort()
    return Measured(
        rate=len(latencies) / elapsed,
        p50=statistics.median(latencies),
        p99=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))],
        answers=len(latencies),
        bytes_each=size,
        client_cpu=cpu / elapsed,
    )


class Client:
    """One connection for requests one after the other."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: Connection | None = None

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and decoded body."""
        if self._connection is None:
            self._connection = Connection(self._target)
        self._connection.send(self._target.request(method, path, body))
        answer = None
        while answer is None:
            answer = self._connection.receive()
        if answer.closes:
            self.close()
        return answer.status, msgspec.json.decode(answer.body) if answer.body[:1] in (
            b"{",
            b"[",
        ) else None

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The decoded body. Raises Failed unless the status is below 400."""
        status, answer = self.ask(method, path, body)
        if status >= 400:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
