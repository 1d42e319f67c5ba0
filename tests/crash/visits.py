"""Projects' machines that try every share out by NFS: their own by every location, as its rules
say, and those of others, which must fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.clients import attach_client, detach_client
from tests.crash.tenant import CLIENT_PLACE, EVERYBODY, Tenant

MOST_STRANGERS = 6
ROOT = Path(__file__).parents[2]
_LONGEST_SECONDS = 300


class Visit(NamedTuple):
    """A location tried from a machine of a network. `is_open`: whether the share's rules let it in;
    `is_kept`: whether the share must hold what an earlier visit wrote."""

    network_id: str
    location: str
    is_open: bool
    is_kept: bool = False


def violations(namespace: str, tenants: Sequence[Tenant]) -> tuple[list[str], int]:
    """What is not as it has to be, and how many locations were tried."""
    found, number = [], 0
    locations = {tenant.name: _locations(tenant) for tenant in tenants}
    for tenant in tenants:
        strangers = [
            visit.location
            for other, visits in locations.items()
            if other != tenant.name
            for visit in visits
        ]
        for network in tenant.networks():
            subnets = [
                subnet for subnet in tenant.subnets() if subnet["network_id"] == network["id"]
            ]
            own = [visit for visit in locations[tenant.name] if visit.network_id == network["id"]]
            others = [
                Visit(network["id"], location, False)
                for location in _of_others([visit.location for visit in own], strangers)
            ]
            if subnets and (own or others):
                found += tried(
                    namespace,
                    network["id"],
                    [subnet["cidr"] for subnet in subnets],
                    [*own, *others],
                )
                number += len(own) + len(others)
    return found, number


def _locations(tenant: Tenant) -> list[Visit]:
    """Every location of every available share, from the network that its address is on."""
    visits = []
    opened: set[str] = set()
    subnets = tenant.subnets()
    networks = {network["id"]: network for network in tenant.share_networks()}
    for share in tenant.shares():
        if share["status"] != "available" or share["access_rules_status"] != "active":
            continue
        if share["share_network_id"] is None:
            continue  # it is on no network of the project
        allowed = {rule["access_to"] for rule in tenant.rules(share)}
        standing = {
            subnet["neutron_subnet_id"]
            for subnet in networks[share["share_network_id"]]["share_network_subnets"]
        }
        for location in tenant.caller.read(f"/v2/shares/{share['id']}/export_locations")[
            "export_locations"
        ]:
            address = location["path"].rpartition(":/")[0].strip("[]")
            on = next(
                s
                for s in subnets
                if s["id"] in standing and ip_address(address) in ip_network(s["cidr"])
            )
            is_open, is_kept = EVERYBODY[":" in address] in allowed, share["id"] in tenant.written
            visits.append(Visit(on["network_id"], location["path"], is_open, is_open and is_kept))
            opened |= {share["id"]} if is_open else set()
    tenant.written |= opened  # by the visits that come of this
    return visits


def _of_others(own: Sequence[str], others: Sequence[str]) -> list[str]:
    """The first as it is, although an address that nobody answers for takes three seconds; the
    others by an address of the project itself."""
    addresses = [location.rpartition(":/")[0] for location in own[:1]]
    return [
        *others[:1],
        *(
            f"{address}:/{path.rpartition(':/')[2]}"
            for path in others[:MOST_STRANGERS]
            for address in addresses
        ),
    ]


def tried(
    namespace: str, network_id: str, cidrs: Sequence[str], visits: Sequence[Visit]
) -> list[str]:
    """Try them from a machine of the network with an address in each range; what came out otherwise
    than expected."""
    netns = f"{namespace}-visitor"
    attach_client(
        namespace,
        network_id,
        netns,
        [
            f"{ip_network(cidr)[CLIENT_PLACE]}/{ip_network(cidr).prefixlen}"
            for cidr in sorted(set(cidrs))
        ],
    )
    try:
        command = [
            "nsenter",
            f"--net={namespaces.path_of(netns)}",
            sys.executable,
            "-m",
            "tests.crash.visitor",
        ]
        asked = json.dumps(
            [
                (visit.location, f"of {visit.location.rpartition('/')[2]}", visit.is_kept)
                for visit in visits
            ]
        )
        done = subprocess.run(
            command,
            input=asked,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
            check=False,
            cwd=ROOT,
        )
        if done.returncode:
            return [
                f"the visitor on network {network_id} ended with {done.returncode}: "
                f"{done.stderr[-500:]}"
            ]
        answers = json.loads(done.stdout.splitlines()[-1])
    finally:
        detach_client(netns, namespace)
    return [
        f"{visit.location}, which is {'open' if visit.is_open else 'closed'} to network "
        f"{network_id}: {answer}"
        for visit, answer in zip(visits, answers, strict=True)
        if (answer == "served") != visit.is_open
    ]
