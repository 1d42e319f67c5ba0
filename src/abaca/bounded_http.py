"""Answers of OpenStack's services, within a size and a time: one that lies or never ends takes
neither memory nor a thread for good.

Needs requests, which comes with the extra `openstack`; nothing else imports this module.
"""

from __future__ import annotations

import time
from typing import Any

import requests
from keystoneauth1.session import Session, TCPKeepAliveAdapter
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

_MOST_BYTES = 16 * 1024 * 1024
_SECONDS = 60.0
_PART = 65_536
_REDIRECTS = 3


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

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send it, and read the whole answer, unpacked."""
        began = time.monotonic()
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
                if time.monotonic() - began > self._seconds:
                    raise RequestException(
                        f"{request.url}: the answer took more than {self._seconds:g} s",
                        request=request,
                    )
        except (
            HTTPError
        ) as error:  # broken off, or not packed as it says: requests has names for it
            raise RequestException(f"{request.url}: {error}", request=request) from error
        finally:
            if not response.raw.closed and not response.raw.isclosed():
                response.close()
        response._content = bytes(body)
        response._content_consumed = True
        return response
