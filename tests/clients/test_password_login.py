"""Clients that know Keystone's login only, unmodified, as users of http_basic: openstacksdk's
plug-ins `password`, `v3password` and `v3applicationcredential`, and the `openstack` command."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from abaca.api.microversions import MAX_VERSION, text
from tests.clients.command import Client, Shell
from tests.clients.gophercloud import AGENT, Gophercloud
from tests.service import Installation

openstack = pytest.importorskip(
    "openstack", reason="openstacksdk is missing (pip install 'abaca[client]')"
)
pytestmark = [
    pytest.mark.slow("a running service"),
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(4),
]

PLUGINS = ["password", "v3password", "v3applicationcredential"]


@pytest.fixture(scope="module")
def secret(shared_service: Installation) -> str:
    """Of admin's application token `sdk`."""
    command = shared_service.command("token", "create", "sdk", "--user", "admin")
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    written = msgspec.yaml.decode(said[said.index("clouds:") :])
    return str(next(iter(written["clouds"].values()))["auth"]["password"])


@pytest.fixture(scope="module")
def clouds(shared_service: Installation, secret: str, tmp_path_factory: Any) -> Path:
    """A clouds.yaml with an entry for each plug-in, as for any OpenStack cloud, and one with a
    wrong password."""
    admin = msgspec.yaml.decode((shared_service.state_dir / "clouds.yaml").read_bytes())
    password = admin["clouds"]["abaca"]["auth"]["password"]
    where = {"auth_url": f"{shared_service.url}/v3"}
    user = {"username": "admin", "user_domain_name": "Default"}
    scope = {"project_name": "admin", "project_domain_name": "Default"}
    auths = {
        "password": where | user | scope | {"password": password},
        "v3password": where | user | scope | {"password": password},
        "v3applicationcredential": where
        | {"application_credential_id": "admin+sdk", "application_credential_secret": secret},
        "unscoped": where | user | {"password": password},
        "wrong": where | user | scope | {"password": "wrong"},
    }
    entries = {
        name: {
            "auth_type": name if name in PLUGINS else "password",
            "auth": auth,
            "shared_file_system_default_microversion": text(MAX_VERSION),
        }
        for name, auth in auths.items()
    }
    path = Path(tmp_path_factory.mktemp("clouds")) / "clouds.yaml"
    path.write_text(json.dumps({"clouds": entries}))  # which is YAML
    return path


def connection(clouds: Path, name: str) -> Any:
    config = openstack.config.OpenStackConfig(config_files=[str(clouds)])
    return openstack.connection.Connection(config=config.get_one(name))


@pytest.mark.parametrize("plugin", [*PLUGINS, "unscoped"])
def test_the_sdk_logs_in_and_finds_everything_by_the_catalogue(clouds: Path, plugin: str) -> None:
    cloud = connection(clouds, plugin)
    assert cloud.current_project_id == "admin" and cloud.current_user_id == "admin"
    network = cloud.network.create_network(name=f"net-{plugin}")
    try:
        made = cloud.shared_file_system.create_share_network(name=plugin)
        assert [found.name for found in cloud.share.share_networks(name=plugin)] == [plugin]
        cloud.shared_file_system.delete_share_network(made)
    finally:
        cloud.network.delete_network(network)


def test_a_wrong_password_is_told_as_such(clouds: Path) -> None:
    with pytest.raises(openstack.exceptions.SDKException, match="Wrong user name or password"):
        connection(clouds, "wrong").authorize()


def test_the_command_logs_in_and_names_projects(clouds: Path) -> None:
    """It asks for projects where the catalogue says that they are."""
    client = Shell(clouds, "password")
    try:
        issued = client.ask("token", "issue")
        assert (issued["user_id"], issued["project_id"]) == ("admin", "admin")
        assert client.ask("share", "list") == []
        found = {entry["Type"] for entry in client.ask("catalog", "list")}
        assert found == {"identity", "sharev2", "shared-file-system", "network"}
        assert client.ask("project", "show", "blue")["id"] == "blue"
        client.run("share", "type", "create", "of-blue", "true", "--public", "false")
        client.run("share", "type", "access", "create", "of-blue", "blue")
        (row,) = client.ask("share", "type", "access", "list", "of-blue")
        assert row["Project ID"] == "blue"
        client.run("share", "type", "delete", "of-blue")
    finally:
        client.close()


def test_the_command_logs_in_by_an_application_token(clouds: Path) -> None:
    assert Client(clouds, "v3applicationcredential").ask("share", "list") == []


def test_gophercloud_logs_in_as_it_does_at_keystone(
    shared_service: Installation, secret: str
) -> None:
    """Its body and its times; the service by its type and interface in the catalogue."""
    credential = {"id": "admin+sdk", "secret": secret}
    identity = {"methods": ["application_credential"], "application_credential": credential}
    request = urllib.request.Request(
        f"{shared_service.url}/v3/auth/tokens",
        json.dumps({"auth": {"identity": identity}}).encode(),
        {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": AGENT},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201
        said, token = json.load(answer)["token"], answer.headers["X-Subject-Token"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", said["expires_at"])
    (entry,) = [each for each in said["catalog"] if each["type"] == "sharev2"]
    (url,) = [each["url"] for each in entry["endpoints"] if each["interface"] == "public"]
    client = Gophercloud(url.removesuffix("/v2"), token)
    assert client("GET", "/shares/detail") == {"shares": []}
    network = client("POST", "/share-networks", {"share_network": {"name": "go"}}, 200)
    client("DELETE", f"/share-networks/{network['share_network']['id']}")


def test_a_revoked_token_logs_nobody_in(
    shared_service: Installation, clouds: Path, secret: str
) -> None:
    """Runs last: it takes the token away."""
    cloud = connection(clouds, "v3applicationcredential")
    token = cloud.auth_token
    command = shared_service.command("token", "revoke", "sdk", "--user", "admin")
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(openstack.exceptions.SDKException, match="Wrong user name or password"):
        connection(clouds, "v3applicationcredential").authorize()
    answer = cloud.session.get(f"{shared_service.url}/v2/shares", authenticated=False,
                               headers={"X-Auth-Token": token}, raise_exc=False)  # fmt: skip
    assert answer.status_code == 401
