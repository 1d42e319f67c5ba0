"""The six steps of the demonstration. Each is a function of the play so far, checks what it sees
and fails loudly; tests run the same functions.

Two tenant networks, blue and green, with an IPv4 and an IPv6 subnet each. Addresses from .192
(…:c::/80) on are for clients whom the access rules let in, those before are for share servers and
for a client whom they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError

import sqlalchemy as sa

from abaca import config
from abaca.admin.demo_scene import Scene, StepFailed
from abaca.db.session import create_engine, read
from abaca.db.tables import metadata, pools, quota_usages

ZONE = "nova"
TEXT = "Abaca was here."
FILE = "greeting.txt"
SUBNETS = {
    ("blue", 4): ("10.77.1.0/24", "start=10.77.1.10,end=10.77.1.99"),
    ("blue", 6): ("fd00:77:1::/64", "start=fd00:77:1::10,end=fd00:77:1::ffff"),
    ("green", 4): ("10.77.2.0/24", "start=10.77.2.10,end=10.77.2.99"),
    ("green", 6): ("fd00:77:2::/64", "start=fd00:77:2::10,end=fd00:77:2::ffff"),
}
CLIENTS = {
    "blue-client": ("10.77.1.200/24", "fd00:77:1:0:c::200/64"),
    "blue-outsider": ("10.77.1.150/24", "fd00:77:1:0:b::150/64"),
    "green-client": ("10.77.2.200/24", "fd00:77:2:0:c::200/64"),
}
RULES = {
    "blue": ("10.77.1.192/26", "fd00:77:1:0:c::/80"),
    "green": ("10.77.2.192/26", "fd00:77:2:0:c::/80"),
}
# Parts of a file that is larger than the share of 1 GiB; libnfs 4.0 writes 3 KiB at a time.
PART_TIMES, PARTS = 20_000, 20
KEPT_TABLES = {
    "availability_zones",
    "departed_share_servers",
    "hosts",
    "services",
    "worker_leases",
    "pools",
    "project_versions",
    "quota_usages",
    "share_usages",
}
"""What the service itself keeps, and measures every minute; every other table holds what users
made. What pools and quotas count as used is looked at by itself."""

QUOTA_USAGES = [
    column.name for column in quota_usages.columns if isinstance(column.type, sa.BigInteger)
]


@dataclass
class Play:
    """The scene and what the steps so far made. `families`: the IP versions that its subnets and
    clients have."""

    scene: Scene
    say: Callable[[str], None]
    families: tuple[int, ...] = (4, 6)
    empty: dict[str, list[str]] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    share_network_id: str = ""
    share_id: str = ""
    added_subnets: list[str] = field(default_factory=list)
    locations: list[dict[str, Any]] = field(default_factory=list)
    clients: dict[str, str] = field(default_factory=dict)

    def require(self, truth: bool, saw: str) -> None:
        """Say what was seen, or fail with it."""
        if not truth:
            raise StepFailed(f"unexpected: {saw}")
        self.say(f"  ✓ {saw}")

    def of_families(self, addresses: Iterable[str]) -> list[str]:
        """Those of some addresses or prefixes that are of these families."""
        return [each for each in addresses if (6 if ":" in each else 4) in self.families]

    def location(self, version: int, index: int = 0) -> str:
        """The path of the n-th export location of an IP version."""
        return str(
            [
                where["Path"]
                for where in self.locations
                if where["Path"].startswith("[") == (version == 6)
            ][index]
        )


def start(play: Play) -> None:
    """Abaca starts with its embedded default: no configuration, SQLite, http_basic, local networks,
    the Linux back end."""
    play.scene.start()
    (service,) = play.scene.openstack_json("share", "service", "list")
    play.require(
        service["State"] == "up" and service["Host"].endswith("@linux"),
        f"back end {service['Host']} is {service['State']}",
    )
    play.require("main.js" in play.scene.page(), f"the web page is at {play.scene.page_url}")
    play.empty = play.scene.leftovers()


def make(play: Play) -> None:
    """Two networks, a share network on an IPv4 and an IPv6 subnet in one availability zone (with
    --ipv6-only on an IPv6 one), a share with access rules, an export location on each subnet."""
    run, ask = play.scene.openstack, play.scene.openstack_json
    for network in ("blue", "green"):
        play.networks[network] = ask(
            "network", "create", *play.scene.network_options(network), network
        )["id"]
    for (network, version), (cidr, pool) in SUBNETS.items():
        if version not in play.families:
            continue
        range_and_pool = ("--subnet-range", cidr, "--allocation-pool", pool)
        run(
            "subnet",
            "create",
            "--network",
            network,
            "--ip-version",
            str(version),
            *range_and_pool,
            f"{network}-v{version}",
        )
    run("share", "type", "create", "default", "true")
    zone = ("--availability-zone", ZONE)
    created = ask(
        "share",
        "network",
        "create",
        "--name",
        "blue",
        "--neutron-net-id",
        "blue",
        "--neutron-subnet-id",
        f"blue-v{play.families[0]}",
        *zone,
    )
    play.share_network_id = created["id"]
    for version in play.families[1:]:
        second = ask(
            "share",
            "network",
            "subnet",
            "create",
            "blue",
            "--neutron-net-id",
            "blue",
            "--neutron-subnet-id",
            f"blue-v{version}",
            *zone,
        )
        play.added_subnets.append(second["id"])
    share = ask(
        "share",
        "create",
        "--name",
        "docs",
        "--share-type",
        "default",
        "--share-network",
        "blue",
        "NFS",
        "1",
    )
    play.share_id = share["id"]
    play.scene.until_status("shares", share["id"], "available")
    for rule in play.of_families((*RULES["blue"], *RULES["green"])):
        run("share", "access", "create", "docs", "ip", rule)
    play.scene.until(
        lambda: (
            {
                rule["state"]
                for rule in play.scene.get(f"/v2/share-access-rules?share_id={share['id']}")[
                    "access_list"
                ]
            }
            == {"active"}
        ),
        60,
        "the access rules to be active",
    )
    play.locations = ask("share", "export", "location", "list", "docs")
    show_locations(play)
    play.require(
        families_of(play.locations) == play.families,
        f"one export location for each address, {named(play.families)}",
    )


def use(play: Play) -> None:
    """A client writes by one address and reads by the other; one outside of the access rules is
    refused; nobody writes past the share's size."""
    use_within_rules(play)
    write_past_the_size(play, play.clients["blue-client"])


def use_within_rules(play: Play) -> None:
    """A client writes by one address and reads by the other; one outside of the access rules is
    refused."""
    add_client(play, "blue-client", "blue")
    add_client(play, "blue-outsider", "blue")
    nfs, client = play.scene.nfs, play.clients["blue-client"]
    for version in play.families:
        written = nfs(client, "write", play.location(version), f"v{version}-{FILE}", TEXT)
        play.require(written["ok"], f"writes {play.location(version)}: {written}")
    for version, other in zip(reversed(play.families), play.families, strict=True):
        file = f"v{other}-{FILE}"
        answer = nfs(client, "read", play.location(version), file)
        play.require(
            answer.get("text") == TEXT, f"reads {file} by {play.location(version)}: {answer}"
        )
    for version in play.families:
        answer = nfs(play.clients["blue-outsider"], "mount", play.location(version))
        play.require(
            not answer["ok"],
            f"a client outside of the access rules is refused: {answer.get('error')}",
        )


def add_subnet_in_use(play: Play) -> None:
    """Subnets of the second network are added while a client on the first keeps writing and
    reading; then a client on the second reads."""
    scene = play.scene
    before = play.locations
    with (
        scene.working_client(play.clients["blue-client"], play.location(play.families[0])) as work,
        scene.watched(play.share_network_id) as seen,
    ):
        for version in play.families:
            add_green_subnet(play, version)
    play.require(
        work["error_count"] == 0 and work["rounds"] > 0,
        f"the client's {work['rounds']} rounds met {work['error_count']} errors: {work}",
    )
    play.require(
        seen == ["active", "network_change"] * len(play.families) + ["active"],
        f"the share network went {' → '.join(seen)}",
    )
    play.locations = scene.openstack_json("share", "export", "location", "list", "docs")
    show_locations(play)
    play.require(
        play.locations[: len(before)] == before,
        "the old export locations come first, with the ids that they had",
    )
    play.require(
        families_of(play.locations[len(before) :]) == play.families,
        "one new export location for each new address",
    )
    add_client(play, "green-client", "green")
    for version in play.families:
        answer = scene.nfs(
            play.clients["green-client"],
            "read",
            play.location(version, 1),
            f"v{play.families[0]}-{FILE}",
        )
        play.require(
            answer.get("text") == TEXT,
            f"a client on the second network reads by {play.location(version, 1)}: {answer}",
        )


def remove_subnet_in_use(play: Play) -> None:
    """The client of a subnet is named and leaves; the subnet is removed while a client on another
    one keeps writing and reading."""
    first = play.families[0]
    scene, leaving, old = play.scene, play.location(first, 1), play.locations
    address = leaving.rpartition(":/")[0].strip("[]")
    share = f"/v2/shares/{play.share_id}"

    def connected() -> list[str]:
        """Whom that address serves; nobody while the back end is still asked (409)."""
        try:
            listed = scene.get(f"{share}/clients")["clients"]
        except HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            return []
        return [client["address"] for client in listed if client["server_address"] == address]

    green = play.of_families(CLIENTS["green-client"])[0].split("/")[0]
    with scene.working_client(play.clients["green-client"], leaving):
        scene.until(lambda: connected() == [green], 60, f"{green} to be named")
    play.require(True, f"{green} is named as connected by {leaving}, and leaves")
    subnet_id = play.added_subnets.pop(-len(play.families))
    action = f"/v2/share-networks/{play.share_network_id}/subnets/{subnet_id}/action"
    check = {"share_network_subnet_delete_check": {"reset_operation": False}}
    scene.until(
        lambda: scene.post(action, check)["compatible"] is True, 60, "the check to say compatible"
    )
    with (
        scene.working_client(play.clients["blue-client"], play.location(play.families[0])) as work,
        scene.watched(play.share_network_id) as seen,
    ):
        scene.post(action, {"force_delete": None})
        scene.until(
            lambda: len(scene.get(f"{share}/export_locations")["export_locations"]) < len(old),
            60,
            "its export location to go",
        )
        scene.until(lambda: seen[-1] == "active", 60, "the share network to be active")
    play.require(
        work["error_count"] == 0 and work["rounds"] > 0,
        f"the client's {work['rounds']} rounds met {work['error_count']} errors: {work}",
    )
    play.locations = scene.openstack_json("share", "export", "location", "list", "docs")
    show_locations(play)
    play.require(
        play.locations == [where for where in old if where["Path"] != leaving],
        "the other export locations are as they were",
    )
    play.require(
        not scene.is_answered(play.clients["green-client"], address), f"nobody answers at {address}"
    )
    for version in play.families[1:]:
        other = play.location(version, 1)
        answer = scene.nfs(play.clients["green-client"], "read", other, f"v{first}-{FILE}")
        play.require(answer.get("text") == TEXT, f"the client that left reads by {other}: {answer}")


def delete(play: Play) -> None:
    """Everything is deleted again, and nothing is left."""
    run, ask = play.scene.openstack, play.scene.openstack_json
    play.scene.remove_clients()
    # the others go with the share
    run(
        "share",
        "access",
        "delete",
        "--wait",
        "docs",
        ask("share", "access", "list", "docs")[0]["ID"],
    )
    run("share", "delete", "--wait", "docs")
    for server in ask("share", "server", "list"):
        run("share", "server", "delete", "--wait", server["ID"])
    # A share network with several subnets is not deleted: its subnets go first, all but one.
    if play.added_subnets:
        run("share", "network", "subnet", "delete", "blue", *play.added_subnets)
    run("share", "network", "delete", "--wait", "blue")
    run("share", "type", "delete", "default")
    of_families = [(network, v) for network, v in SUBNETS if v in play.families]
    run("subnet", "delete", *(f"{network}-v{version}" for network, version in of_families))
    run("network", "delete", "blue", "green")
    left = {
        kind: sorted(set(found) - set(play.empty.get(kind, [])))
        for kind, found in play.scene.leftovers().items()
    }
    play.require(
        not any(left.values()), f"left by shares and clients on this machine: {counted(left)}"
    )
    # Who was connected is forgotten at the next housekeeping.
    play.scene.until(
        lambda: not user_rows(play.scene)["client_inquiries"], 60, "answers about clients to go"
    )
    rows = {name: [str(count)] * bool(count) for name, count in user_rows(play.scene).items()}
    play.require(
        not any(rows.values()), f"left in the database of what users made: {counted(rows)}"
    )
    play.scene.stop()
    play.require(True, "the service has ended")


def families_of(locations: Iterable[dict[str, Any]]) -> tuple[int, ...]:
    """The IP versions of export locations, in their order."""
    return tuple(sorted(6 if where["Path"].startswith("[") else 4 for where in locations))


def named(families: Iterable[int]) -> str:
    """`IPv4 and IPv6`."""
    return " and ".join(f"IPv{version}" for version in families)


def show_locations(play: Play) -> None:
    """Print the export locations."""
    for where in play.locations:
        play.say(
            f"    {where['ID']}  {where['Path']}{'  (preferred)' if where['Preferred'] else ''}"
        )


def add_client(play: Play, name: str, network: str) -> None:
    """A machine of the tenant on one of the networks."""
    play.clients[name] = play.scene.add_client(
        name, network, play.networks[network], *play.of_families(CLIENTS[name])
    )


def write_past_the_size(play: Play, client: str) -> None:
    """Files of 1.1 GiB together do not fit into a share of 1 GiB."""
    nfs, where = play.scene.nfs, play.location(play.families[0])
    written = 0
    for part in range(PARTS):
        answer = nfs(client, "write", where, f"part-{part}", "x" * 3072, "--times", str(PART_TIMES))
        if not answer["ok"]:
            break
        written += answer["size"]
    play.require(
        not answer["ok"] and "DQUOT" in answer["error"],
        f"after {written / 2**20:.0f} MiB in whole files: {answer}",
    )
    for number in range(part + 1):
        nfs(client, "remove", where, f"part-{number}")


def add_green_subnet(play: Play, version: int) -> None:
    """Ask whether it can be added, add it, wait until it is."""
    subnet = (
        "--neutron-net-id",
        "green",
        "--neutron-subnet-id",
        f"green-v{version}",
        "--availability-zone",
        ZONE,
    )
    command = ("share", "network", "subnet", "create", "blue", *subnet)
    play.scene.until(
        lambda: play.scene.openstack_json(*command, "--check-only")["compatible"] is True,
        60,
        "the check to say compatible",
    )
    play.added_subnets.append(play.scene.openstack_json(*command)["id"])
    wanted = len(play.locations) + 1 + play.families.index(version)
    path = f"/v2/shares/{play.share_id}/export_locations"
    play.scene.until(
        lambda: len(play.scene.get(path)["export_locations"]) == wanted,
        60,
        f"{wanted} export locations",
    )


def counted(found: dict[str, list[str]]) -> str:
    """`no links, no mounts, …`, or what there is."""
    return ", ".join(
        f"{kind}: {' '.join(what)}" if what else f"no {kind}" for kind, what in found.items()
    )


def user_rows(scene: Scene) -> dict[str, int]:
    """How many rows each table holds that users' doing fills, and the gigabytes that are promised
    to them."""
    engine = create_engine(config.database_url(scene.conf), pool_size=1)
    tables = [table for table in metadata.sorted_tables if table.name not in KEPT_TABLES]
    try:
        with read(engine) as conn:
            counts = {
                table.name: conn.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in tables
            }
            promised = conn.scalar(sa.select(sa.func.sum(pools.c.allocated_capacity_gb))) or 0
            used = sum(
                sum(row[name] for name in QUOTA_USAGES)
                for row in conn.execute(sa.select(quota_usages)).mappings()
            )
            return counts | {"allocated_capacity_gb": promised, "quota_usages": used}
    finally:
        engine.dispose()


STEPS = (start, make, use, add_subnet_in_use, remove_subnet_in_use, delete)
