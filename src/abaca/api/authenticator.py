"""The interface of authentication methods, and the one that checks nothing."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import falcon

from abaca.api.faults import NotIdentified
from abaca.api.wire.bodies import is_storable
from abaca.values import Caller

ADMIN_ROLE = "admin"
MISSING = "Authentication is required."


class Authenticator(Protocol):
    """An authentication method. Slow work happens in `prepare`, before the request has a thread."""

    def __call__(self, req: falcon.Request) -> Caller:
        """The caller. Raises NotIdentified and other CallerErrors."""

    def is_known(self, environ: dict[str, Any]) -> bool:
        """Whether the call for a request with this environment returns without waiting."""

    async def prepare(
        self, environ: dict[str, Any], client: str, gone: asyncio.Future[None]
    ) -> None:
        """In the event loop: make sure that it does. `client`: whose turn it takes; `gone`: done
        when nobody waits any more.

        Raises Busy, ClientGone.
        """


class NoAuth:
    """Believes `X-Auth-Token: user:project[:role,role]`; without roles it is an administrator. For
    tests and benchmarks."""

    def __call__(self, req: falcon.Request) -> Caller:
        """The caller."""
        token = req.get_header("X-Auth-Token")
        if not token or not is_storable(token):
            raise NotIdentified(MISSING)
        user, _, rest = token.partition(":")
        project, _, roles = rest.partition(":")
        return caller(
            req, user, project or user, tuple(roles.split(",")) if roles else (ADMIN_ROLE,)
        )

    def is_known(self, _environ: dict[str, Any]) -> bool:
        """Always."""
        return True

    async def prepare(
        self, _environ: dict[str, Any], _client: str, _gone: asyncio.Future[None]
    ) -> None:
        """Never needed."""


def caller(
    req: falcon.Request, user: str, project: str, roles: tuple[str, ...], token: str = ""
) -> Caller:
    """The caller of a request, an administrator by role."""
    return Caller(
        user_id=user, project_id=project, roles=roles, is_admin=ADMIN_ROLE in roles, token=token
    )
