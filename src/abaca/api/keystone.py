"""Callers by Keystone: keystonemiddleware's auth_token checks a request's tokens; what it found out
becomes a `Caller`.

Needs the extra `openstack`; nothing imports this module unless `[api] auth_strategy = keystone`.
The section `[keystone_authtoken]` is auth_token's own, in Abaca's configuration file. Which token
may do what is the policy's business.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from threading import Lock
from time import monotonic
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import falcon
from keystoneauth1 import access, loading
from keystoneauth1.exceptions import ClientException, NoMatchingPlugin
from keystoneauth1.session import Session
from keystonemiddleware import auth_token
from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg

from abaca.api.authenticator import ADMIN_ROLE
from abaca.api.door.checks import Checks
from abaca.api.faults import Attempt, NotIdentified
from abaca.bounded_http import bound
from abaca.errors import Forbidden, ServiceDown
from abaca.values import SYSTEM, Caller

LOG = logging.getLogger(__name__)

GROUP = "keystone_authtoken"
_TOKEN_HEADERS = ("HTTP_X_AUTH_TOKEN", "HTTP_X_STORAGE_TOKEN", "HTTP_X_SERVICE_TOKEN")

_MISSING = "The request needs a token that Keystone confirms, in the header X-Auth-Token."
_NO_SCOPE = (
    "The token is for no project: ask Keystone for one that is scoped to a project, or to "
    "the system."
)
_NO_KEYSTONE = "Tokens cannot be checked, because Keystone does not answer. Try again later."

# what the libraries raise for bodies that are no tokens
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError)

_STATUS = "abaca.keystone_status"  # in the environment: what auth_token said of this request
_CACHE = "abaca.token_cache"
_ASKING = 8  # requests to Keystone at once
_ANSWER_BYTES, _ANSWER_SECONDS = 4 * 1024 * 1024, 15.0
_PATIENCE = 25.0  # seconds that a request waits for its turn and for Keystone
_WAITING = 128  # of one client, which may be a dashboard with many users
_TOKENS = 4096  # kept of those that were confirmed
# of the time that auth_token keeps a token: after that Keystone is asked again, or soon will be
_KNOWN_FOR = 0.8

# In place of auth_token's defaults: no limit on the time that a connection may take, and no service
# type, without which it refuses application credentials that have access rules.
_DEFAULTS = {
    "http_connect_timeout": 10,
    "http_request_max_retries": 1,
    "service_type": "shared-file-system",
    "cache": _CACHE,
}


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options of `[keystone_authtoken]` known to `conf`."""
    for group, options in auth_token.list_opts():
        conf.register_opts(options, group=group)
    for name, value in _DEFAULTS.items():
        conf.set_default(name, value, group=GROUP)


def section_options(conf: cfg.ConfigOpts) -> dict[str, list[cfg.Opt]]:
    """What may be in `[keystone_authtoken]`, and in the section that its auth_section names.
    Raises cfg.Error for an unknown auth_type."""
    register(conf)
    own = [option for _, options in auth_token.list_opts() for option in options]
    home = conf[GROUP].auth_section or GROUP
    if home != GROUP:
        conf.register_opts(loading.get_auth_common_conf_options(), group=home)
    try:
        login = (
            loading.get_auth_plugin_conf_options(conf[home].auth_type)
            if conf[home].auth_type
            else []
        )
    except NoMatchingPlugin as error:
        raise cfg.Error(
            f"[{home}] auth_type = {conf[home].auth_type}: there is no such authentication "
            "plug-in; the usual one is password."
        ) from error
    conf.register_opts(login, group=home)
    if home == GROUP:
        return {GROUP: own + login}
    return {GROUP: own, home: [*loading.get_auth_common_conf_options(), *login]}


class KeystoneTokens:
    """An `Authenticator`: the caller whose token a request has.

    Raises NotIdentified for a missing, unknown, expired or revoked token and for a service token
    that is none, Forbidden for one without a scope, ServiceDown when Keystone cannot be asked.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Raises cfg.Error when the configuration names no Keystone or no user of ours there."""
        register(conf)
        options = conf[GROUP]
        if not options.auth_type and not options.auth_section:
            raise cfg.Error(
                f"[api] auth_strategy = keystone needs [{GROUP}] auth_type, auth_url and Abaca's "
                "own user there."
            )
        try:
            # Decided here and not later: an application behind auth_token could not tell a bad
            # token from a Keystone that is down.
            self._protocol = _Protocol(
                _accepted, {"oslo_config_config": conf, "delay_auth_decision": False}
            )
        except (
            ClientException
        ) as error:  # an option of the chosen auth_type is missing, or there is no such type
            raise cfg.Error(f"[{GROUP}]: {error}") from error
        self._checks = Checks(_ASKING, of_one_lane=_WAITING)
        self._cache = None if options.memcached_servers else _TokenCache()
        self._kept_for = options.token_cache_time
        self._confirmed: dict[bytes, float] = {}  # digests of tokens, and when Keystone was asked
        uri = options.www_authenticate_uri or conf[options.auth_section or GROUP].auth_url
        self._challenge = f'Keystone uri="{uri}"'

    def __call__(self, req: falcon.Request) -> Caller:
        """The caller."""
        tokens = _tokens(req.env)
        status = 401 if _are_malformed(tokens) else req.env.get(_STATUS) or self._status(req.env)
        if status == 401:
            raise NotIdentified(
                _MISSING, self._challenge, Attempt("token", "with a token") if tokens else None
            )
        if status != 200:
            raise ServiceDown(_NO_KEYSTONE)
        # Not the headers that auth_token sets: one of them may be the service token's instead of
        # the user's.
        try:
            token = access.create(body=req.env["keystone.token_info"])
            project = SYSTEM if token.system_scoped else token.project_id
            user, roles = str(token.user_id), tuple(map(str, token.role_names or ()))
        except _NONSENSE as error:
            LOG.error("Keystone gave an invalid answer: %r", error)
            raise ServiceDown(_NO_KEYSTONE) from error
        if project is None:
            raise Forbidden(_NO_SCOPE)
        is_admin = ADMIN_ROLE in (role.lower() for role in roles)
        return Caller(user_id=user, project_id=str(project), roles=roles, is_admin=is_admin)

    def is_known(self, environ: dict[str, Any]) -> bool:
        """Whether auth_token answers without asking Keystone."""
        tokens = _tokens(environ)
        until = monotonic() - self._kept_for * _KNOWN_FOR
        return _are_malformed(tokens) or all(
            self._confirmed.get(_digest(token), float("-inf")) > until for token in tokens
        )

    async def prepare(
        self, environ: dict[str, Any], client: str, gone: asyncio.Future[None]
    ) -> None:
        """Let auth_token ask Keystone. Raises Busy, ClientGone."""
        outcome = self._checks.outcome(client, "", object(), lambda: self._status(environ), gone)
        try:
            environ[_STATUS] = status = await asyncio.wait_for(outcome, _PATIENCE)
        except TimeoutError:
            environ[_STATUS] = status = 503
        if status != 200:
            return
        now = monotonic()
        for token in _tokens(environ):
            # Confirmed a while ago and still kept by auth_token: that time counts.
            digest = _digest(token)
            asked = self._confirmed.pop(digest, float("-inf"))
            self._confirmed[digest] = asked if now - asked < self._kept_for else now
        while len(self._confirmed) > _TOKENS:
            del self._confirmed[next(iter(self._confirmed))]

    def _status(self, environ: WSGIEnvironment) -> int:
        """What auth_token would answer: 200 when the request may pass. Puts what it found out into
        `environ`."""
        if self._cache is not None:
            environ[_CACHE] = self._cache
        statuses: list[str] = []

        def start_response(status: str, _headers: Any, _info: Any = None) -> Any:
            statuses.append(status)

        try:
            for _ in self._protocol(environ, start_response):
                pass
        except (ClientException, *_NONSENSE) as error:
            LOG.error("Keystone cannot be reached, or gave an invalid answer: %r", error)
            return 503
        return int(statuses[-1].split()[0])


class _TokenCache:
    """What auth_token keeps of tokens when there is no memcached: one for all threads of a process,
    and bounded. Its own is neither."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[str, tuple[float, bytes]] = {}

    def get(self, key: str) -> bytes | None:
        """As auth_token asks for it."""
        until, value = self._kept.get(key, (0.0, None))
        return value if until > monotonic() else None

    def set(self, key: str, value: bytes, time: int) -> None:
        """As auth_token keeps it, for `time` seconds."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (monotonic() + time, value)
            if len(self._kept) > _TOKENS:
                del self._kept[next(iter(self._kept))]


def _tokens(environ: WSGIEnvironment) -> list[str]:
    return [environ[name] for name in _TOKEN_HEADERS if environ.get(name)]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1")).digest()


def _are_malformed(tokens: list[str]) -> bool:
    """Whether one holds what no token does: Keystone, asked about it, would speak of a bad request
    and not of a bad token."""
    return not all(token.isascii() and token.isprintable() for token in tokens)


class _Protocol(AuthProtocol):  # type: ignore[misc]  # without type information
    """auth_token, to which Keystone cannot answer without end."""

    def _create_session(self, **kwargs: Any) -> Session:
        return bound(super()._create_session(**kwargs), _ANSWER_BYTES, _ANSWER_SECONDS)


def _accepted(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The application behind auth_token."""
    start_response("200 OK", [])
    return [b""]
