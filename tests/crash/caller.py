"""A user of one project over HTTP, who takes no answer for what it is: neither a success nor a
failure."""

from __future__ import annotations

import base64
import http.client
import time
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import msgspec

from tests.crash.site import Site

ANSWER_SECONDS = 45.0
_VERSION = "2.92"


class Answer(NamedTuple):
    """`status` None: there was no answer."""

    status: int | None
    body: Any = None

    @property
    def outcome(self) -> str:
        """accepted, refused, unavailable, unanswered or wrong."""
        if self.status is None:
            return "unanswered"
        if self.status == 503:
            return "unavailable"
        return "accepted" if self.status < 300 else "refused" if self.status < 500 else "wrong"

    @property
    def is_certain(self) -> bool:
        """Whether it is known what came of the request."""
        return self.outcome in ("accepted", "refused")


class Caller:
    """`caller(method, path, body)` → Answer. What no answer may be goes to `violations`."""

    def __init__(self, site: Site, user: str) -> None:
        self._site = site
        token = base64.b64encode(f"{user}:{site.password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {token}",
            "X-OpenStack-Manila-API-Version": _VERSION,
            "X-OpenStack-Manila-API-Experimental": "True",
            "Content-Type": "application/json",
        }
        self.violations: list[str] = []

    def __call__(self, method: str, path: str, body: Any = None) -> Answer:
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(
            f"{self._site.url}{path}", data, self._headers, method=method
        )
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return Answer(answer.status, msgspec.json.decode(answer.read() or b"null"))
        except urllib.error.HTTPError as refusal:
            answered = Answer(refusal.code, _decoded(refusal))
        except (OSError, http.client.HTTPException) as error:
            answered = Answer(None, str(error))
        if answered.outcome == "wrong" or (
            answered.outcome != "refused" and not self._site.was_disturbed(began)
        ):
            self.violations.append(
                f"{method} {path}: answered with {answered.status} {answered.body}, after "
                f"{time.monotonic() - began:.1f} s"
            )
        return answered

    def read(self, path: str) -> Any:
        """What a GET gives; None without an answer."""
        answer = self("GET", path)
        return answer.body if answer.outcome == "accepted" else None


def _decoded(refusal: urllib.error.HTTPError) -> Any:
    try:
        return msgspec.json.decode(refusal.read() or b"null")
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        return str(error)
