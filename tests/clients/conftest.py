"""Running services with the fake back end, for tests that need no more of them than an account of
their own things."""

from __future__ import annotations

import subprocess
import urllib.error
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import msgspec
import pytest

from tests.clients.gophercloud import AGENT, Gophercloud
from tests.openstack.keystone import ADMIN, Keystone, section
from tests.service import FAKE_BACKEND, Installation, installation, wait_until

BACK_ENDS = """
[DEFAULT]
enabled_share_backends = fake, plain
[plain]
share_driver = fake
driver_handles_share_servers = false
[fake]
share_driver = fake
"""


@pytest.fixture(scope="session")
def shared_service() -> Iterator[Installation]:
    """With a back end without share servers, too. Tests leave it as they found it: without shares,
    networks and types of theirs."""
    with installation(config_text=BACK_ENDS) as made:
        made.start()
        yield made


SETTINGS = "[DEFAULT]\ndefault_share_type = default\n"


class Cloud(NamedTuple):
    """A service with accounts. `log_in`: a client, with this user agent, of a new project whose
    name begins so, as a member; as the administrator for None."""

    url: str
    log_in: Callable[[str | None, str], Gophercloud]


@pytest.fixture(scope="session")
def service_with_keystone(keystone: Keystone) -> Iterator[Installation]:
    """Another one, behind Keystone, for clients that show tokens; its default share type is
    `default`, its first pool has 100 GiB."""
    own_user = keystone.service_user(f"abaca-{uuid4().hex[:8]}")
    settings = f"[api]\nauth_strategy = keystone\n{section(own_user)}{SETTINGS}"
    with installation(config_text=f"{BACK_ENDS}pools = fake:100\n{settings}") as made:
        made.start()
        yield made


@pytest.fixture(scope="session")
def service_with_logins() -> Iterator[Installation]:
    """The same without Keystone: its users log in at /v3."""
    with installation(config_text=f"{FAKE_BACKEND}pools = fake:100\n{SETTINGS}") as made:
        made.start()
        yield made


@pytest.fixture(scope="session")
def cloud_with_keystone(keystone: Keystone, service_with_keystone: Installation) -> Cloud:
    log_in = partial(_by_keystone, keystone, service_with_keystone)
    return _prepared(Cloud(service_with_keystone.url, log_in))


@pytest.fixture(scope="session")
def cloud_with_logins(service_with_logins: Installation) -> Cloud:
    return _prepared(Cloud(service_with_logins.url, partial(_at_v3, service_with_logins)))


@pytest.fixture(scope="session", params=["keystone", "login at /v3"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Once with each of them. The administrator has made the share types `default` and `snapshots`,
    and the subnet that all projects share; once, though files that follow one another in a process
    ask for this fixture by turns."""
    name = "cloud_with_keystone" if request.param == "keystone" else "cloud_with_logins"
    found: Cloud = request.getfixturevalue(name)
    return found


def _by_keystone(
    keystone: Keystone, service: Installation, name: str | None, agent: str
) -> Gophercloud:
    if name is None:
        token = keystone.token(ADMIN, project_name=ADMIN)
    else:
        user = f"{name}-{uuid4().hex[:8]}"
        project = keystone.project(user)
        keystone.user(user, "member", project_id=project)
        token = keystone.token(user, project_id=project)
    return Gophercloud(service.url, token, agent)


def _at_v3(service: Installation, name: str | None, agent: str) -> Gophercloud:
    if name is None:
        written = msgspec.yaml.decode((service.state_dir / "clouds.yaml").read_bytes())
        password = written["clouds"]["abaca"]["auth"]["password"]
        return Gophercloud.logged_in(service.url, "admin", password, "admin", agent)
    user, password = f"{name}-{uuid4().hex[:8]}", uuid4().hex
    command = service.command("user", "add", user, "--project", user, "--password-stdin")
    subprocess.run(command, input=f"{password}\n", text=True, check=True, capture_output=True)
    made: list[Gophercloud] = []

    def is_known() -> bool:  # the API looks at the file each second
        try:
            made.append(Gophercloud.logged_in(service.url, user, password, user, agent))
        except urllib.error.HTTPError as refusal:
            assert refusal.code == 401
        return bool(made)

    wait_until(is_known, f"{user} to be known")
    return made[0]


def _prepared(cloud: Cloud) -> Cloud:
    made = cloud.log_in(None, AGENT).at("2.50")
    supports = (
        "driver_handles_share_servers",
        "snapshot_support",
        "create_share_from_snapshot_support",
        "revert_to_snapshot_support",
    )
    for name, specs in (("default", supports[:1]), ("snapshots", supports)):
        made(
            "POST",
            "/types",
            {"share_type": {"name": name, "extra_specs": dict.fromkeys(specs, True)}},
            200,
        )
    network = made(
        "POST",
        "/v2.0/networks",
        {"network": {"name": "shared", "shared": True}},
        201,
        base="/network",
    )["network"]["id"]
    subnet = {"network_id": network, "cidr": "10.34.0.0/16", "ip_version": 4}
    made("POST", "/v2.0/subnets", {"subnet": subnet}, 201, base="/network")
    return cloud


@pytest.fixture(scope="session")
def administrator(cloud: Cloud) -> Gophercloud:
    """gophercloud as the administrator."""
    return cloud.log_in(None, AGENT)
