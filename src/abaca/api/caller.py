"""Middleware that gives every request an id, authenticates it, and takes the project id out of the
URL."""

from __future__ import annotations

from collections.abc import Callable, Collection

import falcon
from oslo_config import cfg

from abaca import log_context
from abaca.api.authenticator import Authenticator, NoAuth
from abaca.api.faults import NotIdentified
from abaca.api.http_basic import HttpBasic
from abaca.api.login_tokens import LoginTokens
from abaca.api.passwords import Passwords
from abaca.api.tokens_file import ApplicationTokens
from abaca.api.users_file import UsersFile
from abaca.config import key_file, tokens_file, users_file
from abaca.errors import Forbidden, Invalid
from abaca.values import Caller


class RequestNames:
    """Gives every request an id, which its answer (also a refusal), log lines, user messages and
    work carry."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Assign the id."""
        req.context.request_id = log_context.new_request_id()
        log_context.begin(req.context.request_id)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """Add the id to the answer."""
        resp.set_header("X-Openstack-Request-Id", req.context.request_id)
        resp.set_header("X-Compute-Request-Id", req.context.request_id)
        log_context.end()


_READING = ("GET", "HEAD", "OPTIONS")
_OTHER_SITES = ("cross-site", "same-site")  # the same host with another port is the second
_FORGED = "A browser sent this for a page of another site, which may change nothing here."


class Callers:
    """Sets `req.context.caller`, except on open paths; 401 without valid credentials.

    403 for what a browser sends on behalf of another site's page: it may know a password that was
    once typed into its own dialog, and adds it by itself.
    """

    def __init__(
        self, authenticate: Callable[[falcon.Request], Caller], open_paths: Collection[str]
    ) -> None:
        self._authenticate = authenticate
        self._open_paths = frozenset(open_paths)

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Identify the caller."""
        if req.path.rstrip("/") in self._open_paths:
            return
        if req.method not in _READING and req.get_header("Sec-Fetch-Site") in _OTHER_SITES:
            raise Forbidden(_FORGED)
        try:
            req.context.caller = self._authenticate(req)
        except NotIdentified as error:
            req.context.attempt = error.attempt
            raise
        if not req.context.caller.is_admin:
            log_context.on_behalf_of(req.context.caller.project_id)


class ProjectInUrl:
    """Turns `/v2/{project_id}/shares` into `/v2/shares`; both forms are accepted at every version.

    A first segment that is not a collection counts as a project id if a collection follows it.
    Another project's id is refused with 400, for administrators too: what they may see does not
    depend on the URL.
    """

    def __init__(self, collections: Collection[str]) -> None:
        self._collections = frozenset(collections)

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Rewrite the path."""
        req.context.path = req.path
        parts = req.path.split("/", 4)  # "", "v2", project or collection, collection, rest
        if (
            len(parts) < 4
            or parts[1] != "v2"
            or parts[2] in self._collections
            or parts[3] not in self._collections
        ):
            return
        if parts[2] != req.context.caller.project_id:
            raise Invalid("Malformed request url")
        req.path = "/".join(["", "v2", *parts[3:]])


def authenticator(conf: cfg.ConfigOpts) -> Authenticator:
    """The configured authentication method. Raises cfg.Error if its options are incomplete."""
    strategy = conf.api.auth_strategy
    if strategy == "noauth":
        return NoAuth()
    if strategy == "keystone":
        return _keystone(conf)
    users = UsersFile(users_file(conf))
    tokens = ApplicationTokens(tokens_file(conf), users)
    logins = LoginTokens(key_file(conf), conf.api.login_token_seconds, users, tokens)
    return HttpBasic(Passwords(users), tokens, logins)


def _keystone(conf: cfg.ConfigOpts) -> Authenticator:
    try:
        from abaca.api.keystone import KeystoneTokens
    except ImportError as error:
        raise cfg.Error(
            "[api] auth_strategy = keystone needs keystonemiddleware (pip install "
            f"'abaca[openstack]'): {error}."
        ) from error
    return KeystoneTokens(conf)
