"""A client that openapi-python-client makes from the served OpenAPI document: it has every
operation, and works."""

from __future__ import annotations

import importlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.test_serve import password_in_clouds_file
from tests.service import Installation

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a client is generated and installed"),
    pytest.mark.timeout(300),
]

NAME = "abaca_generated_client"


@pytest.fixture(scope="module")
def document(shared_service: Installation) -> dict[str, Any]:
    with urllib.request.urlopen(f"{shared_service.url}/openapi.json", timeout=60) as answer:
        told: dict[str, Any] = msgspec.json.decode(answer.read())
    return told


@pytest.fixture(scope="module")
def generated(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The client's folder, which can be imported."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(msgspec.json.encode(document))
    (folder / "config.yaml").write_text("post_hooks: []\n")  # which would format it
    program = str(Path(sys.executable).with_name("openapi-python-client"))
    command = [
        program,
        "generate",
        "--path",
        "openapi.json",
        "--config",
        "config.yaml",
        "--meta",
        "none",
        "--fail-on-warning",
    ]
    done = subprocess.run(
        [*command, "--output-path", NAME], cwd=folder, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield folder / NAME
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def client(generated: Path, shared_service: Installation, document: dict[str, Any]) -> Any:
    """Logged in at the server that the document names, as one of its security schemes says."""
    schemes = document["components"]["securitySchemes"]
    assert schemes["basic"] == {"type": "http", "scheme": "basic"}
    (server,) = document["servers"]
    login = importlib.import_module("httpx").BasicAuth(
        "admin", password_in_clouds_file(shared_service)
    )
    return importlib.import_module(f"{NAME}.client").Client(
        base_url=server["url"], httpx_args={"auth": login}
    )


def call(operation: str, **arguments: Any) -> Any:
    """The parsed answer of `<tag>.<operation id>`."""
    return importlib.import_module(f"{NAME}.api.{operation}").sync(**arguments)


def model(name: str) -> Any:
    return getattr(importlib.import_module(f"{NAME}.models"), name)


def test_it_has_every_operation(generated: Path, document: dict[str, Any]) -> None:
    described = {
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    made = {path.stem for path in (generated / "api").rglob("*.py")} - {"__init__"}
    assert made == described and len(made) > 100
    for path in (generated / "api").rglob("*.py"):
        importlib.import_module(".".join(path.relative_to(generated.parent).with_suffix("").parts))


def test_a_share_type_is_made_listed_and_deleted(client: Any) -> None:
    specs = model("ShareTypeCreateExtraSpecsType0").from_dict(
        {"driver_handles_share_servers": "True"}
    )
    wanted = model("ShareTypeCreate")(name="generated", extra_specs=specs)
    made = call(
        "share_types.post_types", client=client, body=model("PostTypesBody")(share_type=wanted)
    ).share_type
    assert made.name == "generated" and made.extra_specs["driver_handles_share_servers"] == "True"
    assert made.id in [
        found.id for found in call("share_types.get_types", client=client).share_types
    ]
    call("share_types.delete_types_type_id", client=client, type_id=made.id)
    gone = call("share_types.get_types_type_id", client=client, type_id=made.id)
    assert gone["itemNotFound"].code == 404


def test_lists_are_filtered_by_part_of_a_name(client: Any) -> None:
    """`name~`, whose name no program's parameter can have."""
    names = ("generated one", "generated two", "other")
    bodies = [
        model("PostShareNetworksBody")(share_network=model("ShareNetworkCreate")(name=name))
        for name in names
    ]
    made = [
        call("share_networks.post_share_networks", client=client, body=body).share_network
        for body in bodies
    ]
    patterns = model("GetShareNetworksPatterns").from_dict({"name~": "generated"})
    found = call(
        "share_networks.get_share_networks", client=client, patterns=patterns
    ).share_networks
    assert {network.name for network in found} == {"generated one", "generated two"}
    for network in made:
        call(
            "share_networks.delete_share_networks_share_network_id",
            client=client,
            share_network_id=network.id,
        )
