"""From a request's head as Granian gives it to WSGI's environment, with the client's own address
where a trusted proxy passes it on."""

from __future__ import annotations

import functools
import ipaddress
import re
import sys
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from abaca.errors import Invalid

_BASE = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
_FORWARDED = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-real-ip",
)
_HOST = re.compile(r"[A-Za-z0-9.\-_:\[\]%]{1,255}")


class Proxies:
    """The reverse proxies that are believed about whom they pass on. Raises cfg.Error for what is
    no network."""

    def __init__(self, networks: Sequence[str]) -> None:
        try:
            self._networks = [ipaddress.ip_network(network) for network in networks]
        except ValueError as error:
            raise cfg.Error(f"[api] trusted_proxies: {error}.") from None
        self._is_trusted = functools.lru_cache(4096)(self._is_within)

    def are_there(self) -> bool:
        """Whether any is trusted."""
        return bool(self._networks)

    def trust(self, address: str) -> bool:
        """Whether that address is one of them."""
        return self.are_there() and self._is_trusted(address)

    def client(self, forwarded_for: str) -> str | None:
        """Whom X-Forwarded-For names: the last address that is none of theirs; None when there is
        none. Anything to the left of it may have been written by anybody."""
        for part in reversed(forwarded_for.split(",")):
            address = _plain(part.strip())
            if address is None or not self._is_trusted(address):
                return address
        return None

    def _is_within(self, address: str) -> bool:
        found = ipaddress.ip_address(address)
        return any(found in network for network in self._networks)


def make(scope: Any, proxies: Proxies) -> dict[str, Any]:
    """The environment, still without a body. Raises Invalid for a request without one Host."""
    headers: list[tuple[str, str]] = scope.headers.items()
    path: str = scope.path
    peer, _, peer_port = scope.client.rpartition(":")
    server, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        **_BASE,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": path if path.isascii() else path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "REMOTE_ADDR": plain_address(peer),
        "REMOTE_PORT": peer_port,
        "wsgi.url_scheme": scope.scheme,
    }
    for name, value in headers:
        key = _key(name)
        if key is None:
            continue
        if key in environ:
            if key == "HTTP_HOST":
                raise Invalid("The request has more than one Host header.")
            value = f"{environ[key]}, {value}"
        environ[key] = value
    host = environ.get("HTTP_HOST")
    if (host is None and scope.http_version == "1.1") or (
        host is not None and not _HOST.fullmatch(host)
    ):
        # links in answers begin with it
        raise Invalid("The request has no Host header that names a host.")
    if proxies.are_there() and proxies.trust(environ["REMOTE_ADDR"]):
        _believe(environ, dict(headers), proxies)
    return environ


@functools.lru_cache(4096)
def plain_address(text: str) -> str:
    """An address of a connection, without brackets and without what IPv6 puts before one of
    IPv4."""
    return _plain(text) or text


@functools.lru_cache(4096)
def neighbourhood(address: str) -> str:
    """What limits count as one client: an IPv4 address, or the /64 of an IPv6 one, all of which a
    client may use."""
    return address if ":" not in address else str(ipaddress.ip_network((address, 64), strict=False))


def _plain(text: str) -> str | None:
    try:
        found = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


def _believe(environ: dict[str, Any], headers: dict[str, str], proxies: Proxies) -> None:
    """Take client, scheme and host from what a trusted proxy says."""
    environ["REMOTE_ADDR"] = (
        proxies.client(headers.get("x-forwarded-for", "")) or environ["REMOTE_ADDR"]
    )
    if headers.get("x-forwarded-proto") in ("http", "https"):
        environ["wsgi.url_scheme"] = headers["x-forwarded-proto"]
    if _HOST.fullmatch(headers.get("x-forwarded-host", "")):
        environ["HTTP_HOST"] = headers["x-forwarded-host"]


@functools.lru_cache(512)
def _key(name: str) -> str | None:
    """A header's name in the environment; None: left out. One with `_` would be taken for one with
    `-`."""
    if "_" in name or name in _FORWARDED:
        return None
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
