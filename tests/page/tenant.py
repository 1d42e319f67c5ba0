"""A service with users whose passwords are `pw`, and what they make over HTTP so that the page has
something to show."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from typing import Any

import bcrypt

from abaca.api import tokens_file
from abaca.api.tokens_file import Token
from tests.service import Installation, wait_until

VERSION = "2.99"
TOKEN_SECRET = "a-secret-of-a-test"
TOKEN = Token("alice", "page", tokens_file.digest(TOKEN_SECRET), ("reader",), None)


def add_users(service: Installation) -> None:
    """alice (member) and rita (reader) of the project red, root (admin) of the project control; and
    an application token of alice's."""
    users = (("alice", "red", "member"), ("rita", "red", "reader"), ("root", "control", "admin"))
    with open(service.state_dir / "users", "a", encoding="utf-8") as file:
        for name, project, role in users:
            hashed = bcrypt.hashpw(b"pw", bcrypt.gensalt(4)).decode()
            file.write(f"{name}:{hashed}:{project}:{role}\n")
    tokens = service.state_dir / "tokens"
    tokens.write_text(f"{tokens_file.line(TOKEN)}\n", encoding="utf-8")
    tokens.chmod(0o640)
    if os.geteuid() == 0:
        owner = (service.state_dir / "users").stat()
        os.chown(tokens, owner.st_uid, owner.st_gid)


class Tenant:
    """A user of the service."""

    def __init__(self, url: str, user: str) -> None:
        self._url = url
        self._login = "Basic " + base64.b64encode(f"{user}:pw".encode()).decode()

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer, which has to be a success."""
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": self._login,
                "Content-Type": "application/json",
                "X-OpenStack-Manila-API-Version": VERSION,
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def network(self, *cidrs: str) -> list[tuple[str, str]]:
        """A local network with these subnets: (network id, subnet id) of each."""
        path = "/network/v2.0"
        net = self("POST", f"{path}/networks", {"network": {"name": "net"}})["network"]["id"]
        return [
            (
                net,
                self(
                    "POST",
                    f"{path}/subnets",
                    {
                        "subnet": {
                            "network_id": net,
                            "cidr": cidr,
                            "ip_version": 6 if ":" in cidr else 4,
                        }
                    },
                )["subnet"]["id"],
            )
            for cidr in cidrs
        ]

    def share_network(self, name: str, *cidrs: str) -> str:
        """A share network on a new network with these subnets; its id."""
        first, *others = self.network(*cidrs)
        made = self("POST", "/v2/share-networks", {"share_network": _named(first, name=name)})
        share_network: str = made["share_network"]["id"]
        for pair in others:
            self(
                "POST",
                f"/v2/share-networks/{share_network}/subnets",
                {"share-network-subnet": _named(pair)},
            )
        return share_network

    def share(self, name: str, share_network: str, **more: Any) -> str:
        """An available share; its id."""
        wanted: dict[str, Any] = {
            "share_proto": "NFS",
            "size": 1,
            "name": name,
            "share_type": "default",
        }
        wanted["share_network_id"] = share_network
        made = self("POST", "/v2/shares", {"share": {**wanted, **more}})
        share: str = made["share"]["id"]
        self.wait_for(f"/v2/shares/{share}", "share", "available")
        return share

    def allow(self, share: str, client: str, level: str = "rw") -> str:
        """A rule of a share that is active; its id."""
        rule = {"access_type": "ip", "access_to": client, "access_level": level}
        made = self("POST", f"/v2/shares/{share}/action", {"allow_access": rule})
        access: str = made["access"]["id"]
        wait_until(
            lambda: self("GET", f"/v2/share-access-rules/{access}")["access"]["state"] == "active",
            "the rule",
        )
        return access

    def wait_for(self, path: str, member: str, status: str) -> None:
        """Until the thing has that status; at once not, when it is in error."""

        def has_it() -> bool:
            found = self("GET", path)[member]["status"]
            assert found != "error" or status == "error", f"{path} is in error"
            return bool(found == status)

        wait_until(has_it, f"{path}: {status}")


def _named(pair: tuple[str, str], **more: str) -> dict[str, str]:
    return {"neutron_net_id": pair[0], "neutron_subnet_id": pair[1], **more}
