"""A real Keystone: its database made once a session and copied, its port its own, and what tests
ask of it as its administrator."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from keystoneauth1.adapter import Adapter
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from tests.openstack.process import Service, program, run

ADMIN = "admin"
PASSWORD = "of everybody"
REGION = "RegionOne"
SERVICE_PROJECT = "service"
_PLACEHOLDER = "http://127.0.0.1:1"

_CONFIGURATION = """
[DEFAULT]
use_stderr = true
public_endpoint = {url}
[database]
connection = sqlite:///{folder}/keystone.db
[identity]
password_hash_rounds = 4
[token]
expiration = {token_seconds}
[fernet_tokens]
key_repository = {folder}/keys
[fernet_receipts]
key_repository = {folder}/keys
[credential]
key_repository = {folder}/credential-keys
[cache]
enabled = true
backend = oslo_cache.dict
[oslo_policy]
enforce_scope = true
"""


class Keystone(Service):
    """Keystone in `folder`, which is a copy of `template`. Every user's password is PASSWORD; all
    are in the domain `default`."""

    def __init__(self, template: Path, folder: Path, token_seconds: int = 3600) -> None:
        shutil.copytree(template, folder)
        super().__init__(
            "keystone.wsgi.api", folder, OS_KEYSTONE_CONFIG_FILES=str(folder / "keystone.conf")
        )
        _configure(folder, self.url, token_seconds)
        with sqlite3.connect(folder / "keystone.db") as database:
            database.execute(
                "UPDATE endpoint SET url = replace(url, ?, ?)", (_PLACEHOLDER, self.url)
            )

    @property
    def auth_url(self) -> str:
        return f"{self.url}/v3"

    def start(self) -> None:
        super().start()
        self._admin = self.client(ADMIN, project_name=ADMIN)
        self.roles: dict[str, str] = {
            role["name"]: role["id"] for role in self._admin.get("/roles").json()["roles"]
        }

    # --- who is there -----------------------------------------------------------------------------

    def project(self, name: str) -> str:
        """A new project; its id."""
        return self._made("project", name=name, domain_id="default")

    def user(self, name: str, *roles: str, project_id: str | None = None) -> str:
        """A new user with these roles on the project, or on the system when none is named; the
        id."""
        user_id = self._made("user", name=name, password=PASSWORD, domain_id="default")
        for role in roles:
            self.assign(user_id, role, project_id)
        return user_id

    def assign(self, user_id: str, role: str, project_id: str | None) -> None:
        """Give a user a role on a project, or on the system."""
        place = f"projects/{project_id}" if project_id else "system"
        self._admin.put(f"/{place}/users/{user_id}/roles/{self.roles[role]}")

    def service_user(self, name: str) -> dict[str, str]:
        """A new user that is a service: roles admin and service on the project `service`. What a
        [keystone_authtoken] says of it."""
        found = self._admin.get("/projects", params={"name": SERVICE_PROJECT}).json()["projects"]
        self.user(
            name,
            "admin",
            "service",
            project_id=found[0]["id"] if found else self.project(SERVICE_PROJECT),
        )
        return {
            "auth_type": "password",
            "auth_url": self.auth_url,
            "www_authenticate_uri": self.auth_url,
            "username": name,
            "password": PASSWORD,
            "project_name": SERVICE_PROJECT,
            "user_domain_id": "default",
            "project_domain_id": "default",
            "region_name": REGION,
            "interface": "public",
        }

    def register(self, service_type: str, url: str) -> None:
        """Add a service with one public endpoint to the catalogue."""
        service_id = self._made("service", type=service_type, name=service_type)
        self._made("endpoint", service_id=service_id, interface="public", url=url, region_id=REGION)

    def _made(self, noun: str, **members: Any) -> str:
        return str(self._admin.post(f"/{noun}s", json={noun: members}).json()[noun]["id"])

    # --- tokens -----------------------------------------------------------------------------------

    def auth(self, user: str, **scope: Any) -> v3.Password:
        """keystoneauth's plug-in. Scope: project_name, project_id or system_scope; none: the token
        is for no project."""
        more: dict[str, Any] = {"project_domain_id": "default"} if "project_name" in scope else {}
        return v3.Password(
            self.auth_url,
            username=user,
            password=PASSWORD,
            user_domain_id="default",
            **more,
            **scope,
        )

    def token(self, user: str, **scope: Any) -> str:
        """A new token."""
        return str(self.auth(user, **scope).get_token(Session(timeout=30)))

    def revoke(self, token: str) -> None:
        self._admin.delete("/auth/tokens", headers={"X-Subject-Token": token})

    def client(self, user: str, **scope: Any) -> Adapter:
        """Keystone's own API as a user."""
        session = Session(self.auth(user, **scope), timeout=30)
        return Adapter(session, endpoint_override=self.auth_url)

    def cloud(self, user: str, project: str) -> dict[str, Any]:
        """A user's entry of a `clouds.yaml`: nothing but Keystone's address and credentials; the
        catalogue says the rest."""
        auth = {
            "auth_url": self.auth_url,
            "username": user,
            "password": PASSWORD,
            "project_name": project,
        }
        return {
            "auth": auth | {"user_domain_id": "default", "project_domain_id": "default"},
            "region_name": REGION,
        }


def section(options: dict[str, str]) -> str:
    """A section [keystone_authtoken]."""
    return (
        "\n".join(
            ["[keystone_authtoken]", *(f"{name} = {value}" for name, value in options.items())]
        )
        + "\n"
    )


def make_template(folder: Path) -> Path:
    """A set-up Keystone that never ran: tables, keys, the administrator, the roles. Takes ten
    seconds."""
    folder.mkdir()
    _configure(folder, _PLACEHOLDER, 3600)
    manage = (program("keystone-manage"), "--config-file", str(folder / "keystone.conf"))
    run(folder, *manage, "db_sync")
    run(
        folder,
        *manage,
        "fernet_setup",
        "--keystone-user",
        str(os.getuid()),
        "--keystone-group",
        str(os.getgid()),
    )
    admin = (
        "--bootstrap-username",
        ADMIN,
        "--bootstrap-password",
        PASSWORD,
        "--bootstrap-project-name",
        ADMIN,
    )
    place = ("--bootstrap-region-id", REGION, "--bootstrap-public-url", f"{_PLACEHOLDER}/v3")
    run(folder, *manage, "bootstrap", *admin, *place)
    return folder


def _configure(folder: Path, url: str, token_seconds: int) -> None:
    (folder / "keystone.conf").write_text(
        _CONFIGURATION.format(folder=folder, url=url, token_seconds=token_seconds)
    )
