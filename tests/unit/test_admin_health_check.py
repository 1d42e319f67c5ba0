"""Whether the API answers. Root asks whoever listens on its port: a process that was taken over, or
another user's."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from abaca import config
from abaca.admin import doctor
from abaca.admin.health_check import answers

WELL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK"


@contextmanager
def listening(reply: bytes, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """(port, requests): a server that gives each connection this reply."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                # who asks does not wait for the rest
                with connection, suppress(OSError):
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    asked.append(connection.recv(4096))
                    connection.sendall(reply)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def is_well(port: int) -> bool:
    return answers(config.load(["/dev/null"], {"api.port": port}))


def test_the_api_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # this machine's is asked without one
    with listening(WELL) as (port, asked):
        assert is_well(port)
        assert asked[0].startswith(b"GET /healthcheck HTTP/1.1\r\nHost: ")
    assert not is_well(port)


def test_it_answers_over_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    subprocess.run(
        [*request.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with listening(WELL, tls) as (port, _):
        files = {"api.ssl_certificate": str(certificate), "api.ssl_key": str(key)}
        conf = config.load(["/dev/null"], {**files, "api.port": port})
        assert answers(conf)
        # a certificate of its own is no reason to tell somebody to choose another port
        (finding,) = doctor.port_findings(conf)
        assert finding.lack is None
    with listening(WELL) as (port, _):
        assert not answers(config.load(["/dev/null"], {**files, "api.port": port}))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x1b]0;title\x07\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 503 \r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 503 \r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_whatever_else_is_there_is_not_the_api(reply: bytes) -> None:
    with listening(reply) as (port, _):
        assert not is_well(port)


def test_nobody_is_sent_elsewhere() -> None:
    with listening(WELL) as (other, asked):
        to = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/\r\n\r\n"
        with listening(to.encode()) as (port, _):
            assert not is_well(port)
        assert not asked
