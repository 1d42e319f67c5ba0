"""Callers by Keystone: keystonemiddleware's auth_token checks a request's tokens; what it found out becomes a `Caller`.

Needs the extra `openstack`; nothing imports this module unless `[api] auth_strategy = keystone`. The section `[keystone_authtoken]` is
auth_token's own, in Abaca's configuration file. Which token may do what is the policy's business.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import falcon
from keystoneauth1 import access
from keystoneauth1.exceptions import ClientException
from keystonemiddleware import auth_token
from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg

from abaca.api.faults import NotIdentified
from abaca.errors import Forbidden, ServiceDown
from abaca.values import SYSTEM, Caller

LOG = logging.getLogger(__name__)

GROUP = "keystone_authtoken"
ADMIN_ROLE = "admin"
_TOKEN_HEADERS = ("X-Auth-Token", "X-Storage-Token", "X-Service-Token")

_MISSING = "The request needs a token that Keystone confirms, in the header X-Auth-Token."
_NO_SCOPE = "The token is for no project: ask Keystone for one that is scoped to a project, or to the system."
_NO_KEYSTONE = "Tokens cannot be checked, because Keystone does not answer. Try again later."

# In place of auth_token's defaults: no limit on the time that a connection may take, and no service type, without which it refuses
# application credentials that have access rules.
_DEFAULTS = {"http_connect_timeout": 10, "http_request_max_retries": 1, "service_type": "shared-file-system"}


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options of `[keystone_authtoken]` known to `conf`."""
    for group, options in auth_token.list_opts():
        conf.register_opts(options, group=group)
    for name, value in _DEFAULTS.items():
        conf.set_default(name, value, group=GROUP)


class KeystoneTokens:
    """An `Authenticator`: the caller whose token a request has.

    Raises NotIdentified for a missing, unknown, expired or revoked token and for a service token that is none, Forbidden for one
    without a scope, ServiceDown when Keystone cannot be asked.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Raises cfg.Error when the configuration names no Keystone or no user of ours there."""
        register(conf)
        options = conf[GROUP]
        if not options.auth_type and not options.auth_section:
            raise cfg.Error(f"[api] auth_strategy = keystone needs [{GROUP}] auth_type, auth_url and Abaca's own user there.")
        try:
            # Decided here and not later: an application behind auth_token could not tell a bad token from a Keystone that is down.
            self._protocol = AuthProtocol(_accepted, {"oslo_config_config": conf, "delay_auth_decision": False})
        except ClientException as error:  # an option of the chosen auth_type is missing, or there is no such type
            raise cfg.Error(f"[{GROUP}]: {error}") from error
        self._challenge = f'Keystone uri="{options.www_authenticate_uri or conf[options.auth_section or GROUP].auth_url}"'

    def __call__(self, req: falcon.Request) -> Caller:
        """The caller."""
        status = 401 if _is_malformed(req) else self._status(req.env)
        if status == 401:
            raise NotIdentified(_MISSING, self._challenge)
        if status != 200:
            raise ServiceDown(_NO_KEYSTONE)
        # Not the headers that auth_token sets: one of them may be the service token's instead of the user's.
        token = access.create(body=req.env["keystone.token_info"])
        project = SYSTEM if token.system_scoped else token.project_id
        if project is None:
            raise Forbidden(_NO_SCOPE)
        roles = tuple(token.role_names or ())
        is_admin = ADMIN_ROLE in (role.lower() for role in roles)
        return Caller(user_id=str(token.user_id), project_id=project, roles=roles, is_admin=is_admin, request_id=req.context.request_id)

    def _status(self, environ: WSGIEnvironment) -> int:
        """What auth_token would answer: 200 when the request may pass. Puts what it found out into `environ`."""
        statuses: list[str] = []

        def start_response(status: str, _headers: Any, _info: Any = None) -> Any:
            statuses.append(status)

        try:
            for _ in self._protocol(environ, start_response):
                pass
        except ClientException as error:
            LOG.error("Keystone cannot be asked: %s", error)
            return 503
        return int(statuses[-1].split()[0])


def _is_malformed(req: falcon.Request) -> bool:
    """Whether a token holds what no token does: Keystone, asked about it, would speak of a bad request and not of a bad token."""
    tokens = [req.get_header(name) or "" for name in _TOKEN_HEADERS]
    return not all(token.isascii() and token.isprintable() for token in tokens)


def _accepted(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The application behind auth_token."""
    start_response("200 OK", [])
    return [b""]
