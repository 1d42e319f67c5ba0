"""Errors as answers: the fault's name by status, its body, its headers. The only catch-all of the
API."""

from __future__ import annotations

import logging
from functools import partial
from typing import NamedTuple

import falcon
import msgspec
from sqlalchemy.exc import OperationalError

from abaca.api.first_of_a_minute import FirstOfAMinute
from abaca.api.wire import identity, local_networks
from abaca.db.session import is_outage
from abaca.errors import CallerError, Forbidden, Missing, Unauthenticated

LOG = logging.getLogger(__name__)

FAULT_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}
OTHER = "computeFault"

NOT_FOUND = "The resource could not be found."
INTERNAL = "The server has either erred or is incapable of performing the requested operation."
_HTTP_MESSAGES = {
    404: NOT_FOUND,
    405: "This resource does not have that method.",
}


class NoSuchRoute(Missing):
    """There is nothing at that URL, or not at that version (404)."""

    def __init__(self) -> None:
        super().__init__(NOT_FOUND)


class TooLarge(CallerError):
    """The body has more bytes than are accepted (413)."""

    status = 413


class UnsupportedMediaType(CallerError):
    """The body is not JSON (415)."""

    status = 415


class Attempt(NamedTuple):
    """Wrong credentials, for the log and the metrics. `what`: the user or kind of credentials,
    printable and short."""

    kind: str  # password, token, header
    what: str


class NotIdentified(Unauthenticated):
    """Credentials are missing or wrong (401). `challenge`: for WWW-Authenticate. `attempt`: what
    was tried; None without credentials."""

    def __init__(
        self,
        message: str,
        challenge: str = 'Basic realm="Abaca", charset="UTF-8"',
        attempt: Attempt | None = None,
    ) -> None:
        super().__init__(message)
        self.challenge = challenge
        self.attempt = attempt


class PolicyForbids(Forbidden):
    """The policy rule `rule` does not permit it (403)."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"Policy doesn't allow {rule} to be performed.")


def answer(req: falcon.Request, resp: falcon.Response, status: int, message: str) -> None:
    """Render a fault, in Neutron's and Keystone's formats for routes of theirs.

    413 has `Retry-After: 0`: deleting something makes room, waiting does not.
    """
    message = naming_request(status, message, req.context.request_id)
    if status == 413:
        resp.set_header("Retry-After", "0")
    resp.status = status
    resp.content_type = "application/json"
    if req.path.startswith(f"{local_networks.BASE}/"):
        resp.data = msgspec.json.encode(local_networks.fault(req.method, req.path, status, message))
    elif f"{req.path}/".startswith("/v3/"):
        resp.data = msgspec.json.encode(identity.fault(status, message))
    else:
        resp.data = fault(status, message)
    resp.text = None


def naming_request(status: int, message: str, request_id: str) -> str:
    """The message of an error; if only an administrator can fix it, with the request id, as not all
    clients show headers."""
    return f"{message} (Request-ID: {request_id})" if status >= 500 else message


def fault(status: int, message: str) -> bytes:
    """The body of an error's answer."""
    members: dict[str, object] = {"code": status, "message": message}
    if status == 413:
        members["retryAfter"] = "0"
    return msgspec.json.encode({FAULT_NAMES.get(status, OTHER): members})


def install(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Make `app` answer every error as a fault."""
    app.add_error_handler(CallerError, _caller_error)
    app.add_error_handler(falcon.HTTPError, _http_error)
    tracebacks = FirstOfAMinute("tracebacks of unexpected errors")
    app.add_error_handler(OperationalError, partial(_database_error, tracebacks))
    app.add_error_handler(Exception, partial(_bug, tracebacks))


def _caller_error(
    req: falcon.Request, resp: falcon.Response, error: CallerError, _params: dict[str, object]
) -> None:
    if isinstance(error, NotIdentified):
        resp.set_header("WWW-Authenticate", error.challenge)
    answer(req, resp, error.status, error.message)


def _http_error(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, object]
) -> None:
    """Falcon's own errors: no such route, no such method, a broken header."""
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)
    answer(
        req, resp, error.status_code, _HTTP_MESSAGES.get(error.status_code, error.title or INTERNAL)
    )


def _database_error(
    tracebacks: FirstOfAMinute,
    req: falcon.Request,
    resp: falcon.Response,
    error: OperationalError,
    params: dict[str, object],
) -> None:
    """The database is unavailable: nothing was changed, and the caller may try again."""
    if not is_outage(error):
        _bug(tracebacks, req, resp, error, params)
        return
    LOG.error("%s %s: the database does not answer: %s", req.method, req.path, error.orig)
    answer(req, resp, 503, "The database does not answer. Try again later.")


def _bug(
    tracebacks: FirstOfAMinute,
    req: falcon.Request,
    resp: falcon.Response,
    error: Exception,
    _params: dict[str, object],
) -> None:
    """Any other exception is a bug. The log gets everything, the caller only the request id.

    Whoever has found one cannot fill the log with tracebacks.
    """
    LOG.error("%s %s failed", req.method, req.path, exc_info=error if tracebacks.admit() else None)
    answer(req, resp, 500, INTERNAL)
