"""Who asks: the middleware that names every request, checks credentials, and takes the project id out of the URL."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection
from uuid import uuid4

import falcon
from oslo_config import cfg

from abaca.api.faults import NotIdentified
from abaca.api.users_file import UsersFile
from abaca.api.wire.bodies import is_storable
from abaca.config import users_file
from abaca.errors import Invalid
from abaca.values import Caller

ADMIN_ROLE = "admin"

Authenticator = Callable[[falcon.Request], Caller]

_MISSING = "Authentication is required."


class RequestNames:
    """Gives every request an id, which every answer carries (also the answer to a request that is refused)."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Name it."""
        req.context.request_id = f"req-{uuid4()}"

    def process_response(self, req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool) -> None:
        """Say the name."""
        resp.set_header("X-Openstack-Request-Id", req.context.request_id)
        resp.set_header("X-Compute-Request-Id", req.context.request_id)


class Callers:
    """Puts the `Caller` into `req.context.caller`, except on open paths; 401 when there is none."""

    def __init__(self, authenticate: Authenticator, open_paths: Collection[str]) -> None:
        self._authenticate = authenticate
        self._open_paths = frozenset(open_paths)

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Identify the caller."""
        if req.path.rstrip("/") not in self._open_paths:
            req.context.caller = self._authenticate(req)


class ProjectInUrl:
    """Turns `/v2/{project_id}/shares` into `/v2/shares`; both forms are taken at every version.

    A first segment that is not a collection counts as a project id when a collection follows it. Another project's id is refused with 400,
    for administrators too: what they may see does not depend on the URL.
    """

    def __init__(self, collections: Collection[str]) -> None:
        self._collections = frozenset(collections)

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Rewrite the path."""
        req.context.path = req.path
        parts = req.path.split("/", 4)  # "", "v2", project or collection, collection, rest
        if len(parts) < 4 or parts[1] != "v2" or parts[2] in self._collections or parts[3] not in self._collections:
            return
        if parts[2] != req.context.caller.project_id:
            raise Invalid("Malformed request url")
        req.path = "/".join(["", "v2", *parts[3:]])


def authenticator(conf: cfg.ConfigOpts) -> Authenticator:
    """The configured way of checking credentials. Raises cfg.Error when it lacks something."""
    strategy = conf.api.auth_strategy
    return _no_auth if strategy == "noauth" else _keystone(conf) if strategy == "keystone" else _http_basic(conf)


def _keystone(conf: cfg.ConfigOpts) -> Authenticator:
    try:
        from abaca.api.keystone import KeystoneTokens
    except ImportError as error:
        raise cfg.Error(f"[api] auth_strategy = keystone needs keystonemiddleware (pip install 'abaca[openstack]'): {error}.") from error
    return KeystoneTokens(conf)


def _http_basic(conf: cfg.ConfigOpts) -> Authenticator:
    users = UsersFile(users_file(conf), conf.api.credential_cache_seconds)

    def authenticate(req: falcon.Request) -> Caller:
        name, password = _basic_credentials(req.get_header("Authorization"))
        user = users.verify(name, password)
        if user is None:
            raise NotIdentified("Wrong user name or password.")
        return _caller(req, user.name, user.project_id, user.roles)

    return authenticate


def _basic_credentials(header: str | None) -> tuple[str, str]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise NotIdentified(_MISSING)
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise NotIdentified("The Authorization header is malformed.") from None
    if not colon:
        raise NotIdentified("The Authorization header is malformed.")
    return name, password


def _no_auth(req: falcon.Request) -> Caller:
    """`X-Auth-Token: user:project[:role,role]` is believed; without roles it is an administrator. For tests and benchmarks."""
    token = req.get_header("X-Auth-Token")
    if not token or not is_storable(token):
        raise NotIdentified(_MISSING)
    user, _, rest = token.partition(":")
    project, _, roles = rest.partition(":")
    return _caller(req, user, project or user, tuple(roles.split(",")) if roles else (ADMIN_ROLE,))


def _caller(req: falcon.Request, user: str, project: str, roles: tuple[str, ...]) -> Caller:
    return Caller(user_id=user, project_id=project, roles=roles, is_admin=ADMIN_ROLE in roles, request_id=req.context.request_id)
