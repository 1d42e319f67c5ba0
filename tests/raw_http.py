"""HTTP/1.1 by hand for tests: requests as bytes, answers as they come."""

from __future__ import annotations

import base64
import socket
import ssl
from typing import NamedTuple

SECONDS = 20.0


class Answer(NamedTuple):
    """One answer. `headers`: by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection to a server on this machine."""

    def __init__(
        self, port: int, seconds: float = SECONDS, *, tls: bool = False, source: str = "127.0.0.1"
    ) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=seconds, source_address=(source, 0)
        )
        if tls:
            self.socket = unverified().wrap_socket(self.socket)
        self._received = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of it."""
        self.socket.sendall(data)

    def answer(self) -> Answer | None:
        """The next answer; None when the connection ends before one."""
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                return None
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        size = int(headers.get("content-length", "0"))
        while len(self._received) < size:
            if not self._receive():
                return None
        body, self._received = self._received[:size], self._received[size:]
        return Answer(int(first.split()[1]), headers, body)

    def ends(self) -> bool:
        """Wait until the other end closes, and say whether nothing came before."""
        while self._receive():
            continue
        return not self._received

    def _receive(self) -> bool:
        try:
            chunk = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self._received += chunk
        return bool(chunk)


def unverified() -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def basic(name: str, password: str) -> str:
    """An Authorization header's value."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def request(
    method: str, path: str, *lines: str, body: bytes | None = None, credentials: str | None = None
) -> bytes:
    """A request with Host, with the length of its body and with credentials, where they are
    given."""
    head = [f"{method} {path} HTTP/1.1", "Host: x", *lines]
    if credentials is not None:
        head.append(f"Authorization: {credentials}")
    if body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (body or b"")
