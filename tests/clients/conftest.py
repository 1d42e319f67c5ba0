"""Running services with the fake back end, for tests that need no more of them than an account of
their own things."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.clients.gophercloud import Gophercloud
from tests.openstack.keystone import ADMIN, Keystone, section
from tests.service import FAKE_BACKEND, Installation, installation

BACK_ENDS = """
[DEFAULT]
enabled_share_backends = fake, plain
[fake]
share_driver = fake
[plain]
share_driver = fake
driver_handles_share_servers = false
"""


@pytest.fixture(scope="session")
def shared_service() -> Iterator[Installation]:
    """With a back end without share servers, too. Tests leave it as they found it: without shares,
    networks and types of theirs."""
    with installation(config_text=BACK_ENDS) as made:
        made.start()
        yield made


@pytest.fixture(scope="session")
def service_with_keystone(keystone: Keystone) -> Iterator[Installation]:
    """Another one, behind Keystone, for clients that show tokens; its default share type is
    `default`, its pool has 100 GiB."""
    own_user = keystone.service_user(f"abaca-{uuid4().hex[:8]}")
    settings = (
        "[api]\nauth_strategy = "
        f"keystone\n{section(own_user)}[DEFAULT]\ndefault_share_type = default\n"
    )
    with installation(config_text=f"{FAKE_BACKEND}pools = fake:100\n{settings}") as made:
        made.start()
        yield made


@pytest.fixture(scope="session")
def administrator(service_with_keystone: Installation, keystone: Keystone) -> Iterator[Gophercloud]:
    """gophercloud as the administrator, who has made the share types `default` and `snapshots`, and
    the subnet that all projects share."""
    made = Gophercloud(service_with_keystone.url, keystone.token(ADMIN, project_name=ADMIN)).at(
        "2.50"
    )
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
    yield made.at("")
