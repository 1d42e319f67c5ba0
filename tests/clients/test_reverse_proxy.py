"""haproxy and nginx in front of the API, with the very settings that the administrator guide
shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from abaca.admin.ports import free_port
from tests.api_process import Server, serving
from tests.raw_http import Answer, Connection, basic, request
from tests.stack import wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a real proxy, and the service behind it"),
    pytest.mark.timeout(180),
]

GUIDE = Path(__file__).parents[2] / "docs/how-to/logins-and-tls.md"
CLIENT = "127.0.0.3"
HALF_A_BODY = b"POST /v2/types HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


class Proxy:
    """One that runs, at `port`, in front of `server`. `scheme`: what it says that it was asked
    by."""

    def __init__(self, server: Server, port: int, scheme: str) -> None:
        self.server = server
        self.port = port
        self.scheme = scheme

    def ask(self, data: bytes) -> Answer:
        """From the client's own address."""
        with Connection(self.port, source=CLIENT) as connection:
            connection.send(data)
            answer = connection.answer()
        assert answer is not None
        return answer


def settings(kind: str) -> str:
    """The guide's block for it."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert isinstance(found, str)
    return found


@contextmanager
def haproxy(server: Server, folder: Path) -> Iterator[Proxy]:
    port, file = free_port(), folder / "haproxy.cfg"
    text = (
        settings("haproxy")
        .replace("bind :443 ssl crt /etc/haproxy/shares.pem", f"bind 127.0.0.1:{port}")
        .replace(":8786", f":{server.port}")
    )
    file.write_text(text)
    with running(["haproxy", "-db", "-f", str(file)], port):
        yield Proxy(server, port, "https")


@contextmanager
def nginx(server: Server, folder: Path) -> Iterator[Proxy]:
    port, file = free_port(), folder / "nginx.conf"
    text = (
        settings("nginx")
        .replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
        .replace(":8786", f":{server.port}")
    )
    text = re.sub(r"\n\s*ssl_certificate.*", "", text)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error;\nevents {{}}\nhttp "
        f"{{\naccess_log off;\n{temporary}{text}}}\n"
    )
    folder.chmod(0o755)
    with running(["nginx", "-e", f"{folder}/error", "-c", str(file), "-p", str(folder)], port):
        yield Proxy(server, port, "http")


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is missing (Debian: {command[0]})")
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: process.poll() is not None or _listens(port), 20)
        assert process.poll() is None
        yield
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    try:
        Connection(port).socket.close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module", params=[haproxy, nginx], ids=["haproxy", "nginx"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with ExitStack() as stack:
        server = stack.enter_context(
            serving(**{"api.workers": 1, "api.trusted_proxies": ["127.0.0.1"]})
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="abaca-proxy-")))
        proxy = stack.enter_context(request.param(server, folder))
        server.start()
        yield proxy


def test_links_say_what_the_client_asked(proxy: Proxy) -> None:
    answer = proxy.ask(request("GET", "/").replace(b"Host: x", b"Host: shares.example.org"))
    assert (
        json.loads(answer.body)["versions"][0]["links"][1]["href"]
        == f"{proxy.scheme}://shares.example.org/v2/"
    )


def test_the_client_is_known_by_its_own_address_whatever_it_claims(proxy: Proxy) -> None:
    answer = proxy.ask(
        request(
            "GET",
            "/v2/types",
            "X-Forwarded-For: 203.0.113.9",
            credentials=basic("mallory", "wrong"),
        )
    )
    assert answer.status == 401
    assert f"failed login as 'mallory' from {CLIENT}" in proxy.server.said()


def test_bodies_pass_whole_and_within_the_limit(proxy: Proxy) -> None:
    body = b'{"share_network": {}}'
    assert (
        proxy.ask(
            request("POST", "/v2/share-networks", body=body, credentials=basic("alice", "pw"))
        ).status
        == 200
    )
    chunked = request(
        "POST",
        "/v2/share-networks",
        "Transfer-Encoding: chunked",
        "Content-Type: application/json",
        credentials=basic("alice", "pw"),
    )
    assert proxy.ask(chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)).status == 200
    assert (
        proxy.ask(
            request(
                "POST", "/v2/share-networks", body=b"x" * 120_000, credentials=basic("alice", "pw")
            )
        ).status
        == 413
    )


def test_slow_bodies_do_not_reach_the_api(proxy: Proxy) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(Connection(proxy.port)) for _ in range(100)]
        for connection in slow:
            connection.send(HALF_A_BODY)
        for _ in range(10):
            assert (
                proxy.ask(request("GET", "/v2/types", credentials=basic("alice", "pw"))).status
                == 200
            )
        found = [
            answer.status if (answer := connection.answer()) is not None else 408
            for connection in slow
        ]
        assert set(found) == {408}
