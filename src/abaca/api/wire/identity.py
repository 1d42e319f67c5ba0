"""Bodies of the login that has Keystone's shape: what is taken of them, and what is answered.

Users and projects are names here, which are their ids, in the one domain `default`.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType

from abaca.api.wire.bodies import Body, RequiredText
from abaca.values import Caller

DOMAIN = {"id": "default", "name": "Default"}
REGION = "RegionOne"
_UPDATED = "2026-11-29T00:00:00Z"
# type, name, and where it is below the base URL
_SERVICES = (
    ("identity", "keystone", "/v3"),
    ("sharev2", "manilav2", "/v2"),
    ("shared-file-system", "manila", "/v2"),
    ("network", "neutron", "/network"),
)
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class Domain(Body):
    """By one of them."""

    id: str | None = None
    name: str | None = None

    def is_ours(self) -> bool:
        """Whether it is the one domain that there is."""
        return self.id in (None, DOMAIN["id"]) and self.name in (
            None,
            DOMAIN["name"],
            DOMAIN["id"],
        )


class Subject(Body):
    """A user or a project, by id or by name, which are the same here."""

    id: RequiredText | UnsetType = UNSET
    name: RequiredText | UnsetType = UNSET
    domain: Domain | UnsetType = UNSET


class User(Subject, kw_only=True):
    """A user with the password."""

    password: str


class PasswordMethod(Body):
    """`auth.identity.password`"""

    user: User


class ApplicationCredentialMethod(Body):
    """`auth.identity.application_credential`: by its id, or by its name and its user."""

    secret: str
    id: RequiredText | UnsetType = UNSET
    name: RequiredText | UnsetType = UNSET
    user: Subject | UnsetType = UNSET


class Identity(Body):
    """`auth.identity`"""

    methods: list[str]
    password: PasswordMethod | UnsetType = UNSET
    application_credential: ApplicationCredentialMethod | UnsetType = UNSET


class Scope(Body):
    """`auth.scope`: nothing but a project is accepted."""

    project: Subject | UnsetType = UNSET


class Auth(Body):
    """`{"auth": …}`: who logs in by which method, and for which project."""

    identity: Identity
    scope: Scope | UnsetType = UNSET


class LoginRequest(Body):
    """The body of `POST /v3/auth/tokens`."""

    auth: Auth


def version(base_url: str) -> dict[str, Any]:
    """The version document, by which clients know what is at their auth_url."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": f"{base_url}/v3/"}],
        "media-types": [
            {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
        ],
    }


def catalog(base_url: str) -> list[dict[str, Any]]:
    """The services that a client finds here."""
    return [
        {
            "id": service,
            "type": service,
            "name": name,
            "endpoints": [
                {
                    "id": f"{service}-public",
                    "interface": "public",
                    "region": REGION,
                    "region_id": REGION,
                    "url": f"{base_url}{path}",
                }
            ],
        }
        for service, name, path in _SERVICES
    ]


def token(
    caller: Caller, login_token: str, issued_at: datetime, expires_at: datetime, base_url: str
) -> dict[str, Any]:
    """A token's description: who, where, until when, and the catalogue."""
    application = (
        {
            "application_credential": {
                "id": f"{caller.user_id}+{caller.token}",
                "name": caller.token,
                "restricted": True,
            }
        }
        if caller.token
        else {}
    )
    return {
        "methods": ["application_credential" if caller.token else "password"],
        "user": {
            "id": caller.user_id,
            "name": caller.user_id,
            "domain": DOMAIN,
            "password_expires_at": None,
        },
        "project": {"id": caller.project_id, "name": caller.project_id, "domain": DOMAIN},
        "is_domain": False,
        "roles": [{"id": role, "name": role} for role in caller.roles],
        "catalog": catalog(base_url),
        "issued_at": _time(issued_at),
        "expires_at": _time(expires_at),
        "audit_ids": [_audit_id(login_token)],
        **application,
    }


def fault(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"code": status, "title": _TITLES.get(status, "Error"), "message": message}}


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _audit_id(login_token: str) -> str:
    """The same each time that the token is asked about, and no way back to it."""
    return base64.urlsafe_b64encode(hashlib.sha256(login_token.encode()).digest()[:16]).decode()[
        :22
    ]
