"""Answers of OpenStack's services, within a size and a time: one that lies or never ends takes
neither memory nor a thread for good.

Needs requests, which comes with the extra `openstack`; nothing else imports this module.
"""

from __future__ import annotations

import io
import socket
import time
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

import requests
from keystoneauth1.session import Session, TCPKeepAliveAdapter
from requests.exceptions import RequestException
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

_MOST_BYTES = 16 * 1024 * 1024
_SECONDS = 60.0
_PART = 65_536
_REDIRECTS = 3

_deadline: ContextVar[float] = ContextVar("deadline")  # of the exchange of this thread


def bound(session: Session, most_bytes: int = _MOST_BYTES, seconds: float = _SECONDS) -> Session:
    """Have all answers to the requests of `session` read within these; beyond them the request
    fails, and is not repeated by the session.

    It follows few redirects: each has the time of a request.
    """
    session.redirect = _REDIRECTS
    for prefix in ("http://", "https://"):
        session.session.mount(prefix, _Bounded(most_bytes, seconds))
    return session


class _Bounded(TCPKeepAliveAdapter):
    def __init__(self, most_bytes: int, seconds: float) -> None:
        super().__init__()
        self._most_bytes = most_bytes
        self._seconds = seconds

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _have_deadlines(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _have_deadlines(manager)
        return manager

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send it, and read the whole answer, unpacked."""
        _deadline.set(time.monotonic() + self._seconds)
        response = super().send(request, *args, **{**kwargs, "stream": True})
        body = bytearray()
        try:
            while part := response.raw.read1(_PART, decode_content=True):
                body += part
                if len(body) > self._most_bytes:
                    raise RequestException(
                        f"{request.url}: the answer has more than {self._most_bytes} bytes",
                        request=request,
                    )
        except (
            HTTPError
        ) as error:  # too slow, broken off, or not packed as it says: requests has names for it
            raise RequestException(f"{request.url}: {error}", request=request) from error
        finally:
            if not response.raw.closed and not response.raw.isclosed():
                response.close()
        response._content = bytes(body)
        response._content_consumed = True
        return response


def _have_deadlines(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class _Arriving(io.RawIOBase):
    """What a socket receives until the deadline of the exchange, head or body: also when each byte
    of it comes in time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._patience = sock.gettimeout()
        self._received = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _deadline.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._socket.settimeout(left if self._patience is None else min(left, self._patience))
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Arriving(sock))


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
