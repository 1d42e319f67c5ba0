"""The files of the page, for everyone and without credentials: each is one route, read at start.

They are the same for everybody. What is anybody's own comes from the API, with their credentials.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import falcon
import msgspec
from oslo_config import cfg

from abaca.api.authenticator import Authenticator

BASE = "/ui"
_STATIC = Path(__file__).parent / "static"
_INDEX = "index.html"
LOGIN = f"{BASE}/v3/auth/tokens"  # where Keystone knows the users: keystone_forward
_SETTINGS = "settings.json"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".toml": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
# Nothing but files of this server is loaded, no text becomes a script or markup, and no other
# site's page shows this one in a frame of its own.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked for again by its ETag
}


@cache
def _files() -> dict[str, bytes]:
    """What `static/` holds, by its name there."""
    return {
        path.relative_to(_STATIC).as_posix(): path.read_bytes()
        for path in sorted(_STATIC.rglob("*"))
        if path.is_file()
    }


def paths() -> set[str]:
    """The URLs of the page, without slashes at their ends."""
    return {BASE, LOGIN, *(f"{BASE}/{name}" for name in (*_files(), _SETTINGS))}


def install(app: falcon.App[falcon.Request, falcon.Response], conf: cfg.ConfigOpts) -> None:
    """Add the routes of the page to `app`, unless `[api] page` is false."""
    if not conf.api.page:
        return
    settings = msgspec.json.encode({"auth_strategy": conf.api.auth_strategy})
    for name, content in {**_files(), _SETTINGS: settings}.items():
        app.add_route(f"{BASE}/{name}", _File(name, content))
    if conf.api.auth_strategy == "keystone":
        from abaca.api.page.keystone_forward import KeystoneForward

        app.add_route(LOGIN, KeystoneForward(conf))
    app.add_route(BASE, _Redirect())
    app.add_route(f"{BASE}/", _File(_INDEX, _files()[_INDEX]))


def with_logins(authenticate: Authenticator, conf: cfg.ConfigOpts) -> Authenticator:
    """`authenticate`, and where logins are handed on to Keystone what has it asked in turn."""
    if not conf.api.page or conf.api.auth_strategy != "keystone":
        return authenticate
    from abaca.api.page.keystone_forward import LoginsInTurn

    return LoginsInTurn(authenticate, conf, LOGIN)


class _File:
    """One file, as a Falcon resource."""

    def __init__(self, name: str, content: bytes) -> None:
        self._media_type = _MEDIA_TYPES[Path(name).suffix]
        self._content = content
        self._etag = hashlib.sha256(content).hexdigest()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The file; 304 for who has it."""
        resp.set_headers(_HEADERS)
        resp.etag = self._etag
        if any(kept in ("*", self._etag) for kept in req.if_none_match or ()):
            resp.status = falcon.HTTP_304
        else:
            resp.content_type, resp.data = self._media_type, self._content


class _Redirect:
    """To the page, from its URL without the slash that relative names need."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Where it is."""
        resp.status = falcon.HTTP_308
        resp.set_header("Location", f"{BASE}/")
