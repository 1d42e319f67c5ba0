"""Which request the current thread works for, for which project, and on which resources: set where
a request or a piece of work begins.

Log lines are prefixed with it, user messages name the request, and work that is enqueued takes the
request id along into the worker. It is kept here, and not handed from function to function, because
everything below a request may log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import NamedTuple
from uuid import uuid4

_REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST_VALUE = 64


class _Context(NamedTuple):
    request_id: str = ""
    resources: Mapping[str, str] = MappingProxyType({})
    project: str = ""


_NOTHING = _Context()
_context: ContextVar[_Context] = ContextVar("log_context", default=_NOTHING)


def new_request_id() -> str:
    """A request id in OpenStack's format, `req-<uuid>`."""
    return f"req-{uuid4()}"


def is_request_id(text: object) -> bool:
    """Whether it has exactly that format: ids that somebody else wrote are used for nothing
    otherwise."""
    return isinstance(text, str) and _REQUEST_ID.fullmatch(text) is not None


def begin(request_id: str) -> None:
    """From now on this thread works for that request."""
    _context.set(_Context(request_id))


def end() -> None:
    """From now on this thread works for no request."""
    _context.set(_NOTHING)


@contextmanager
def working_for(request_id: str, project: str = "") -> Iterator[None]:
    """Work for that request meanwhile, for that project. Empty: for none."""
    token = _context.set(_Context(request_id, project=project))
    try:
        yield
    finally:
        _context.reset(token)


def name(resources: Mapping[str, str]) -> None:
    """The request is about these, kind → id, beside what was named before."""
    now = _context.get()
    _context.set(now._replace(resources={**now.resources, **resources}))


def on_behalf_of(project: str) -> None:
    """What the request changes is this project's alone."""
    _context.set(_context.get()._replace(project=project))


def project() -> str:
    """Whose rows the thread changes; empty: anybody's."""
    return _context.get().project


def request_id() -> str:
    """The id of the request that this thread works for; empty: none."""
    return _context.get().request_id


def prefix() -> str:
    """What log lines begin with, as in `[req-… share=… share_server=…] `; empty outside of
    requests."""
    now = _context.get()
    words = [now.request_id] if now.request_id else []
    words += [f"{kind}={id_[:_LONGEST_VALUE]}" for kind, id_ in now.resources.items()]
    return f"[{' '.join(words)}] " if words else ""
