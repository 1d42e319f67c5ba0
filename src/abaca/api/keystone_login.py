"""The login that has Keystone's shape, as credentials: `POST /v3/auth/tokens`.

What its body says is checked as a Basic header is, by the same code at the same pace.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import UnsetType

from abaca.api.faults import NotIdentified, TooLarge
from abaca.api.wire import bodies
from abaca.api.wire.identity import (
    ApplicationCredentialMethod,
    Identity,
    LoginRequest,
    Scope,
    Subject,
    User,
)
from abaca.errors import Invalid

BASE = "/v3"
PATH = f"{BASE}/auth/tokens"
MOST_BYTES = 8192

# in the environment: the body, and what it asks for
_BODY, _ASKED = "abaca.login_body", "abaca.login"
_METHODS = "Only the methods password and application_credential are supported, one at a time."
_DOMAIN = "There is only the domain 'Default' (id 'default')."
_SCOPE = "A login is scoped to the user's own project; leave the scope out, or name that project."


class Asked(NamedTuple):
    """What a login asks for. `project`: whose scope it names; None: none."""

    name: str
    password: str
    project: str | None


def is_login(environ: dict[str, Any]) -> bool:
    """Whether the credentials are in the body."""
    path: str = environ["PATH_INFO"]
    return environ["REQUEST_METHOD"] == "POST" and path.rstrip("/") == PATH


def asked(environ: dict[str, Any]) -> Asked:
    """What the body asks for. Raises Invalid, TooLarge, NotIdentified."""
    found: Asked | None = environ.get(_ASKED)
    if found is None:
        found = environ[_ASKED] = _parsed(_body(environ))
    return found


def require_scope(asked: Asked, project: str) -> None:
    """Raises NotIdentified unless the scope is the user's project, which is known only now."""
    if asked.project not in (None, project):
        raise NotIdentified(_SCOPE)


def _body(environ: dict[str, Any]) -> bytes:
    """The body, which the door has read; it is taken out of its stream once."""
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if size > MOST_BYTES:
        raise TooLarge(f"The body of a login has more than {MOST_BYTES} bytes.")
    if _BODY not in environ:
        environ[_BODY] = environ["wsgi.input"].read(size) if size else b""
    body: bytes = environ[_BODY]
    return body


def _parsed(raw: bytes) -> Asked:
    auth = bodies.shape(bodies.decode(raw), LoginRequest).auth
    name, password = _credentials(auth.identity)
    if not all(map(bodies.is_storable, (name, password))):
        raise Invalid(bodies.MALFORMED)
    project = None if isinstance(auth.scope, UnsetType) else _project(auth.scope)
    return Asked(name, password, project)


def _credentials(identity: Identity) -> tuple[str, str]:
    match identity.methods:
        case ["password"] if not isinstance(identity.password, UnsetType):
            user: User = identity.password.user
            return _name(user), user.password
        case ["application_credential"] if not isinstance(
            identity.application_credential, UnsetType
        ):
            given = identity.application_credential
            return _login_name(given), given.secret
        case ["password"] | ["application_credential"]:
            raise Invalid(f"auth.identity has no member {identity.methods[0]}.")
    raise NotIdentified(_METHODS)


def _login_name(given: ApplicationCredentialMethod) -> str:
    """`user+name`, which is the id of an application token."""
    if not isinstance(given.id, UnsetType):
        return given.id
    if isinstance(given.name, UnsetType) or isinstance(given.user, UnsetType):
        raise Invalid("An application credential is named by its id, or by its name and its user.")
    return f"{_name(given.user)}+{given.name}"


def _project(scope: Scope) -> str:
    if isinstance(scope.project, UnsetType):
        raise NotIdentified(_SCOPE)
    return _name(scope.project)


def _name(subject: Subject) -> str:
    """Its id or name. Raises NotIdentified for another domain, whoever is in it."""
    if not isinstance(subject.domain, UnsetType) and not subject.domain.is_ours():
        raise NotIdentified(_DOMAIN)
    name = subject.name if isinstance(subject.id, UnsetType) else subject.id
    if isinstance(name, UnsetType):
        raise Invalid("A user or a project is named by its id or its name.")
    return name
