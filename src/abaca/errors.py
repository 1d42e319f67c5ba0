"""Every error the service can name.

::

    AbacaError
    ├── CallerError            the request is at fault; rendered as a fault with its status
    │   ├── Invalid            400
    │   ├── Unauthenticated    401
    │   ├── Forbidden          403
    │   ├── Missing            404
    │   ├── Conflict           409
    │   ├── OverQuota          413
    │   ├── Unprocessable      422  the body lacks its top-level object (where the field says so)
    │   └── ServiceDown        503  a worker, or Keystone, that the request needs does not answer
    └── BackendError           raised by drivers and network plug-ins; sorted by what to do next
        ├── Unavailable        retry later: nothing happened
        ├── OutcomeUnknown     look, then retry: it may have happened
        ├── NoSpace            undo; a share that was to be made is tried on another pool
        └── Refused            undo: it will not happen

Anything else that is raised is a bug: 500 at the API's edge, parked work in a worker.

Messages of a CallerError are for the person who asked. Those of a BackendError are for the
operator, and go to the log: a back end may have written its paths, programs or hosts into them. The
project reads them only where whoever raised the error says `is_public`, and a sentence of ours
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class AbacaError(Exception):
    """Root of every error that the service raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(AbacaError):
    """The request cannot be carried out; `status` is the HTTP status code to answer with."""

    status: ClassVar[int] = 400


class Invalid(CallerError):
    """The request is malformed or asks for something that makes no sense (400)."""

    status = 400


class Unauthenticated(CallerError):
    """Credentials are missing or wrong (401)."""

    status = 401


class Forbidden(CallerError):
    """The caller, or the state of the resource, does not allow it (403)."""

    status = 403


class Missing(CallerError):
    """The resource is not there, or not visible to the caller (404)."""

    status = 404


@contextmanager
def named_in_request() -> Iterator[None]:
    """In this block what is missing is not what the URL names, but named in the body or the query:
    Invalid."""
    try:
        yield
    except Missing as missing:
        raise Invalid(missing.message) from None


class Conflict(CallerError):
    """The state of a resource is against it (409)."""

    status = 409


class OverQuota(CallerError):
    """A quota would be exceeded (413)."""

    status = 413


class Unprocessable(CallerError):
    """The body lacks its top-level object (422)."""

    status = 422


class ServiceDown(CallerError):
    """A worker that the request depends on does not answer (503)."""

    status = 503


class BackendError(AbacaError):
    """A back end or a network plug-in failed.

    `details` are partial back end details (flat map of strings) that the failed call had already
    established. `is_public`: the project may read the message, which names nothing but what is the
    project's own.
    """

    unexplained: ClassVar[str] = "The back end, or the network service, failed."

    def __init__(
        self, message: str, details: dict[str, str] | None = None, *, is_public: bool = False
    ) -> None:
        super().__init__(message)
        self.details = details or {}
        self.is_public = is_public

    def public_text(self, request_id: str) -> str:
        """The text for the project: the message if it is public, otherwise the kind of failure and
        where to find the reason.

        `request_id`: the id of the request that caused the work, as in the log; may be empty.
        """
        if self.is_public:
            return self.message
        there = f", under request {request_id}" if request_id else ""
        return (
            f"{self.unexplained} The administrator finds the reason in the log of the "
            f"worker{there}."
        )


class Unavailable(BackendError):
    """Not reachable now, and nothing was done: retry."""

    unexplained = "The back end, or the network service, could not be reached."


class DatabaseAway(Unavailable):
    """Our own database is not there, or full: no failure of a back end. Work waits for it as long
    as it takes."""


class OutcomeUnknown(BackendError):
    """It may have been done: look for it by its name, then retry."""

    unexplained = "The back end, or the network service, failed or did not answer in time."


class NoSpace(BackendError):
    """No room: no free gigabytes or no free addresses. From `create_share` it means: another pool,
    and make sure that nothing is left here."""

    unexplained = "There is not enough room left."


class Refused(BackendError):
    """It cannot be done; the message says why. Undo what was prepared for it."""

    unexplained = "The back end, or the network service, refused it."


BACKEND_ERRORS: dict[str, type[BackendError]] = {
    cls.__name__: cls for cls in (Unavailable, OutcomeUnknown, NoSpace, Refused)
}


class Stopping(BaseException):
    """The worker stops. Not an `Exception`, so that nothing is recorded: the work continues here at
    the next start."""
