"""Who did what: one line for each request that changes something or tries to, accepted or refused,
and for each failed login.

Written to the log in logfmt, and as a JSON object to the file of `[api] audit_file`. Never contains
bodies, queries or headers: anything that a client controls is an id, a name, a path or an address,
truncated and quoted. Clients that are not logged in could cause any number of lines, so theirs are
limited (see `first_of_a_minute`).
"""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import UTC, datetime
from typing import Any

import falcon
import msgspec

from abaca import log_context
from abaca.api import metrics
from abaca.api.audit_file import AuditFile
from abaca.api.faults import Attempt
from abaca.api.first_of_a_minute import FirstOfAMinute
from abaca.values import Caller

LOG = logging.getLogger(__name__)

GLOBAL_REQUEST_ID = "X-OpenStack-Request-ID"
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_WORD = re.compile(r"[\w.:/@+~%-]+", re.ASCII)
_LONGEST = 255
# members of answers whose keys the client chooses: `id` may be one
_MAPS = ("metadata", "extra_specs")

Record = dict[str, Any]


class Audit:
    """The middleware of one process. `path`: the audit file; None: there is none. `turns`: see
    `audit_file.turns`."""

    def __init__(self, path: str | None, turns: int | None = None) -> None:
        self._file = AuditFile(path, turns) if path else None
        self._failed_logins = FirstOfAMinute("failed logins")
        self._strangers = FirstOfAMinute("refused changes of clients that are not logged in")

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """Write the line of an answered request. Runs before the request id is forgotten."""
        context = req.context
        attempt: Attempt | None = context.get("attempt")
        if attempt is not None:
            metrics.count_failed_login(attempt.kind)
        elif req.method in _HARMLESS:
            return
        caller: Caller | None = context.get("caller")
        record = {
            "global_request_id": _global_id(req),
            "user": caller.user_id if caller else "",
            "token": caller.token if caller else "",
            "project": caller.project_id if caller else "",
            "address": req.remote_addr,
            "method": req.method,
            "path": context.get("path") or req.path,
            "action": context.get("action") or "",
            "status": resp.status_code,
            "resource": _made(context.get("answer")) or _subject(context.get("params") or {}),
            "milliseconds": round((time.perf_counter() - context.began) * 1000),
        }
        if attempt is not None:
            self._failed_login(attempt, record)
        elif caller is not None or self._strangers.admit():
            self._tell("change", record)

    def refused(self, method: str, path: str, address: str, status: int, seconds: float) -> None:
        """A request was refused before its caller was identified."""
        if method not in _HARMLESS and self._strangers.admit():
            milliseconds = round(seconds * 1000)
            self._tell(
                "change",
                {
                    "address": address,
                    "method": method,
                    "path": path,
                    "status": status,
                    "milliseconds": milliseconds,
                },
            )

    def _failed_login(self, attempt: Attempt, record: Record) -> None:
        if not self._failed_logins.admit():
            return
        LOG.warning("failed login %s from %s", attempt.what, record["address"])
        self._write("failed_login", {**record, "attempt": attempt.what})

    def _tell(self, event: str, record: Record) -> None:
        LOG.info(_logfmt(record))
        self._write(event, record)

    def _write(self, event: str, record: Record) -> None:
        if self._file is not None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            told = {"time": now, "event": event, "request_id": log_context.request_id()} | record
            self._file.append({name: _cut(value) for name, value in told.items() if value != ""})


def _subject(params: dict[str, str]) -> str:
    """The resource that a URL names: the last id in it, or empty."""
    return next((value for name, value in reversed(params.items()) if name.endswith("_id")), "")


def _made(answer: object) -> str | None:
    """The id of the resource in the answer to its creation."""
    if not isinstance(answer, dict):
        return None
    for member, shown in answer.items():
        found = _id_of(shown) if member not in _MAPS else None
        if isinstance(found, str):
            return found
    return None


def _id_of(shown: object) -> object:
    """The id in a view; views are structs that have wire names only when they are encoded."""
    if isinstance(shown, dict):
        return shown.get("id")
    if isinstance(shown, msgspec.Struct) and "id" in shown.__struct_encode_fields__:
        return getattr(shown, shown.__struct_fields__[shown.__struct_encode_fields__.index("id")])
    return None


def _global_id(req: falcon.Request) -> str:
    """The client's own id for this request and related ones; empty if there is none."""
    text = req.get_header(GLOBAL_REQUEST_ID)
    return text if text and log_context.is_request_id(text) else ""


def _logfmt(record: Record) -> str:
    return " ".join(
        f"{name}={_quoted(_cut(value))}" for name, value in record.items() if value != ""
    )


def _cut(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= _LONGEST else f"{value[:_LONGEST]}…"


def _quoted(value: object) -> str:
    text = str(value)
    return text if _WORD.fullmatch(text) else json.dumps(text)
