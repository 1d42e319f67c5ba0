"""What the workloads need of a service under measurement, whichever it is: Abaca and upstream
Manila speak the same API."""

from __future__ import annotations

from typing import Any, Protocol

from bench.client import Client, Target
from bench.conditions import Usage

PROJECT = "bench"
VERSION = "2.70"
HEADERS = {
    "X-Auth-Token": f"bench:{PROJECT}",
    "X-OpenStack-Manila-API-Version": VERSION,
    "X-OpenStack-Manila-API-Experimental": "true",
}
SHARE_TYPE = "bench"
# of which each share gets a share server of its own, where a service can do that
SINGLE_TYPE = "single"


class Service(Protocol):
    """A service that runs."""

    name: str
    target: Target

    def subnet(self, number: int) -> dict[str, str]:
        """The ids that a share network subnet is made with."""

    def usage(self) -> dict[str, Usage]:
        """What its parts have used, by part."""

    def stop(self) -> None:
        """End everything."""


def prepare(client: Client, types: dict[str, dict[str, str]]) -> None:
    """Make share types: name → extra specs."""
    for name, specs in types.items():
        client.must(
            "POST",
            "/v2/types",
            {
                "share_type": {
                    "name": name,
                    "extra_specs": {"driver_handles_share_servers": "True", **specs},
                }
            },
        )


def share_network(client: Client, service: Service, number: int = 0) -> str:
    """A new share network; its id."""
    body = {"share_network": {"name": f"bench-{number}", **service.subnet(number)}}
    return str(client.must("POST", "/v2/share-networks", body)["share_network"]["id"])


def share(client: Client, share_network_id: str, share_type: str = SHARE_TYPE) -> dict[str, Any]:
    """Ask for a share; as the service answers."""
    body = {
        "share": {
            "share_proto": "NFS",
            "size": 1,
            "name": "bench",
            "share_type": share_type,
            "share_network_id": share_network_id,
        }
    }
    made: dict[str, Any] = client.must("POST", "/v2/shares", body)["share"]
    return made
