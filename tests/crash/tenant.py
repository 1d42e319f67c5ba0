"""One project's client: carries decisions out on what is there, and keeps what it was promised.
Nothing is assumed of what had no answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network
from threading import Event
from typing import Any

from tests.crash.caller import Answer, Caller
from tests.crash.decisions import DICE, Decision
from tests.crash.promises import BY_ITSELF, Key, Promises
from tests.crash.site import Site

WEIGHTS = {
    "create_network": 3,
    "create_share_network": 8,
    "create_share": 12,
    "create_share_from_snapshot": 4,
    "add_subnet": 14,
    "extend": 8,
    "shrink": 6,
    "snapshot": 8,
    "revert": 6,
    "allow": 14,
    "deny": 6,
    "delete_snapshot": 10,
    "delete_share": 16,
    "delete_subnet": 4,
    "delete_share_network": 6,
    "delete_network": 2,
}
EVERYBODY = ("0.0.0.0/0", "::/0")
ACCESS = (*EVERYBODY, *EVERYBODY, "10.200.0.0/16", "10.201.0.7", "fd00:200::/64")
SHARE_TYPE = "default"
MOST = {"networks": 2, "share_networks": 2, "shares": 5, "snapshots": 4, "subnets": 4}
GROWTH = 3
CLIENT_PLACE = 200
"""The address in each range that no server is given."""
NOTHING = "nothing to do it on"
_CONFLICTS = 8
_LOOK_SECONDS = 0.2

Ask = Callable[[Decision], str]


class Tenant:
    """`outcomes`: how often each kind of operation ended in which way. `written`: ids of shares
    that hold what a visit wrote last."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self.name = name
        self.caller = Caller(site, name)
        self.promises = Promises()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.written: set[str] = set()
        self._number = 0
        self._pause = Event()

    def work(self, sequence: Iterator[Decision], stop: Event) -> None:
        """Carry decisions out until told to stop."""
        while True:
            decision = next(sequence)
            if stop.wait(decision.pause):
                return
            outcome = getattr(self, f"_{decision.kind}")(decision)
            self.outcomes[decision.kind, outcome] += 1
            while (
                outcome == "unanswered"
                and not self._site.installation.answers()
                and not stop.wait(_LOOK_SECONDS)
            ):
                continue

    def settle_in(self) -> None:
        """A first network and share network, while nothing is killed."""
        decision = Decision("", (0,) * DICE, 0.0)
        assert (self._create_network(decision), self._create_share_network(decision)) == (
            "accepted",
            "accepted",
        )

    # --- what is there ----------------------------------------------------------------------------

    def shares(self) -> list[dict[str, Any]]:
        return self.listed("/v2/shares/detail", "shares")

    def snapshots(self) -> list[dict[str, Any]]:
        return self.listed("/v2/snapshots/detail", "snapshots")

    def share_networks(self) -> list[dict[str, Any]]:
        return self.listed("/v2/share-networks/detail", "share_networks")

    def networks(self) -> list[dict[str, Any]]:
        return self.listed("/network/v2.0/networks", "networks")

    def subnets(self) -> list[dict[str, Any]]:
        return self.listed("/network/v2.0/subnets", "subnets")

    def rules(self, share: dict[str, Any]) -> list[dict[str, Any]]:
        return self.listed(f"/v2/share-access-rules?share_id={share['id']}", "access_list")

    def found(self) -> dict[Key, int | None]:
        """All of it, as `Promises` takes it. The size of a share in error is what it was or was to
        be."""
        shares, snapshots, networks = self.shares(), self.snapshots(), self.share_networks()
        found: dict[Key, int | None] = {
            self.key("share", share): None if "error" in share["status"] else share["size"]
            for share in shares
        }
        found |= {self.key("snapshot", snapshot): None for snapshot in snapshots}
        found |= {("network", network["name"]): None for network in networks}
        found |= {
            ("subnet", network["name"], subnet["neutron_subnet_id"]): None
            for network in networks
            for subnet in network["share_network_subnets"]
        }
        return found | {
            ("rule", called(share), rule["access_to"]): None
            for share in shares
            for rule in self.rules(share)
        }

    def key(self, kind: str, thing: dict[str, Any]) -> Key:
        """Of what has a name that this project or another one gave it, or came by itself."""
        name = thing["name"] or ""
        is_asked_for = name.startswith("project-")
        return (kind, name) if is_asked_for else (BY_ITSELF, kind, thing["id"])

    def listed(self, path: str, member: str) -> list[dict[str, Any]]:
        answer = self.caller.read(path)
        return answer[member] if answer is not None else []

    # --- networks ---------------------------------------------------------------------------------

    def _create_network(self, decision: Decision) -> str:
        """With four subnets, of the same ranges as the other projects'."""
        there = self.networks()
        if len(there) >= MOST["networks"]:
            return NOTHING
        answer = self.caller(
            "POST", "/network/v2.0/networks", {"network": {"name": self.new_name()}}
        )
        if answer.outcome == "accepted":
            network, slot = answer.body["network"]["id"], decision.dice[0] % 2
            for cidr in (
                f"10.{slot}.0.0/24",
                f"fd00:{slot}::/64",
                f"10.{slot}.1.0/24",
                f"fd00:{slot}:1::/64",
            ):
                range_ = ip_network(cidr)
                pool = [{"start": str(range_[10]), "end": str(range_[CLIENT_PLACE - 1])}]
                wanted = {
                    "network_id": network,
                    "cidr": cidr,
                    "ip_version": range_.version,
                    "allocation_pools": pool,
                }
                answer = self.caller("POST", "/network/v2.0/subnets", {"subnet": wanted})
        return answer.outcome

    def _delete_network(self, decision: Decision) -> str:
        network = chosen(self.networks(), decision.dice[0])
        return self.delete_network(network) if network else NOTHING

    def delete_network(self, network: dict[str, Any]) -> str:
        return self.caller("DELETE", f"/network/v2.0/networks/{network['id']}").outcome

    def _create_share_network(self, decision: Decision) -> str:
        subnet = chosen(self.subnets(), decision.dice[0])
        if subnet is None or len(self.share_networks()) >= MOST["share_networks"]:
            return NOTHING
        name = self.new_name()
        wanted = {
            "name": name,
            "neutron_net_id": subnet["network_id"],
            "neutron_subnet_id": subnet["id"],
        }
        answer = self.caller("POST", "/v2/share-networks", {"share_network": wanted})
        self.promised(("subnet", name, subnet["id"]), True, answer)
        return self.promised(("network", name), True, answer)

    def _add_subnet(self, decision: Decision) -> str:
        """Asked for again for a while: the shares on a network that is in use must be at rest, and
        the drivers be asked."""
        network, subnet = (
            chosen(self.share_networks(), decision.dice[0]),
            chosen(self.subnets(), decision.dice[1]),
        )
        if (
            network is None
            or subnet is None
            or len(network["share_network_subnets"]) >= MOST["subnets"]
        ):
            return NOTHING
        wanted = {"neutron_net_id": subnet["network_id"], "neutron_subnet_id": subnet["id"]}
        for _ in range(_CONFLICTS):
            answer = self.caller(
                "POST",
                f"/v2/share-networks/{network['id']}/subnets",
                {"share-network-subnet": wanted},
            )
            if answer.status != 409:
                break
            self._pause.wait(_LOOK_SECONDS)
        return self.promised(("subnet", network["name"], subnet["id"]), True, answer)

    def _delete_subnet(self, decision: Decision) -> str:
        network = chosen(self.share_networks(), decision.dice[0])
        subnet = chosen(network["share_network_subnets"], decision.dice[1]) if network else None
        if network is None or subnet is None:
            return NOTHING
        if (
            len(
                [
                    other
                    for other in network["share_network_subnets"]
                    if other["neutron_subnet_id"] == subnet["neutron_subnet_id"]
                ]
            )
            > 1
        ):
            return NOTHING  # promises know a subnet by Neutron's id
        return self.delete_subnet(network, subnet)

    def delete_subnet(self, network: dict[str, Any], subnet: dict[str, Any]) -> str:
        answer = self.caller("DELETE", f"/v2/share-networks/{network['id']}/subnets/{subnet['id']}")
        return self.promised(
            ("subnet", network["name"], subnet["neutron_subnet_id"]), False, answer
        )

    def _delete_share_network(self, decision: Decision) -> str:
        network = chosen(self.share_networks(), decision.dice[0])
        return self.delete_share_network(network) if network else NOTHING

    def delete_share_network(self, network: dict[str, Any]) -> str:
        return self.promised(
            ("network", network["name"]),
            False,
            self.caller("DELETE", f"/v2/share-networks/{network['id']}"),
        )

    # --- shares -----------------------------------------------------------------------------------

    def _create_share(self, decision: Decision) -> str:
        network = chosen(self.share_networks(), decision.dice[0])
        return self.new_share(network["id"], decision.dice[1] % 3 + 1) if network else NOTHING

    def _create_share_from_snapshot(self, decision: Decision) -> str:
        snapshot = chosen(
            [each for each in self.snapshots() if each["status"] == "available"], decision.dice[0]
        )
        parent = next(
            (share for share in self.shares() if snapshot and share["id"] == snapshot["share_id"]),
            None,
        )
        if snapshot is None or parent is None:
            return NOTHING
        return self.new_share(
            parent["share_network_id"],
            snapshot["size"] + decision.dice[1] % 2,
            snapshot_id=snapshot["id"],
            share_type=parent["share_type_name"],
        )

    def new_share(self, network_id: str | None, size: int, **more: Any) -> str:
        if len(self.shares()) >= MOST["shares"]:
            return NOTHING
        name = self.new_name()
        wanted = {
            "share_proto": "NFS",
            "size": size,
            "share_type": SHARE_TYPE,
            "share_network_id": network_id,
            "name": name,
            **more,
        }
        answer = self.caller("POST", "/v2/shares", {"share": wanted})
        self.promised_size(name, size, answer)
        return self.promised(("share", name), True, answer)

    def _extend(self, decision: Decision) -> str:
        share = self.chosen_share(decision.dice[0])
        return (
            self._resized(share, "extend", share["size"] + decision.dice[1] % GROWTH + 1)
            if share
            else NOTHING
        )

    def _shrink(self, decision: Decision) -> str:
        share = self.chosen_share(decision.dice[0])
        return (
            self._resized(share, "shrink", max(share["size"] - decision.dice[1] % GROWTH - 1, 1))
            if share
            else NOTHING
        )

    def _resized(self, share: dict[str, Any], action: str, size: int) -> str:
        answer = self.act(share, action, {"new_size": size})
        self.promised_size(called(share), size, answer)
        return answer.outcome

    def _delete_share(self, decision: Decision) -> str:
        share = self.chosen_share(decision.dice[0])
        return self.delete_share(share) if share else NOTHING

    def delete_share(self, share: dict[str, Any]) -> str:
        return self.promised(
            self.key("share", share), False, self.caller("DELETE", _path_of(share))
        )

    def _allow(self, decision: Decision) -> str:
        share = self.chosen_share(decision.dice[0])
        return self.allow(share, ACCESS[decision.dice[1] % len(ACCESS)]) if share else NOTHING

    def allow(self, share: dict[str, Any], access_to: str) -> str:
        answer = self.act(
            share,
            "allow_access",
            {"access_type": "ip", "access_to": access_to, "access_level": "rw"},
        )
        return self.promised(("rule", called(share), access_to), True, answer)

    def _deny(self, decision: Decision) -> str:
        share = self.chosen_share(decision.dice[0])
        rule = chosen(self.rules(share), decision.dice[1]) if share else None
        if share is None or rule is None:
            return NOTHING
        return self.promised(
            ("rule", called(share), rule["access_to"]),
            False,
            self.act(share, "deny_access", {"access_id": rule["id"]}),
        )

    # --- snapshots --------------------------------------------------------------------------------

    def _snapshot(self, decision: Decision) -> str:
        share = self.chosen_share(decision.dice[0])
        if share is None or len(self.snapshots()) >= MOST["snapshots"]:
            return NOTHING
        name = self.new_name()
        return self.promised(
            ("snapshot", name),
            True,
            self.caller(
                "POST", "/v2/snapshots", {"snapshot": {"share_id": share["id"], "name": name}}
            ),
        )

    def _revert(self, decision: Decision) -> str:
        snapshot = chosen(self.snapshots(), decision.dice[0])
        share = next(
            (each for each in self.shares() if snapshot and each["id"] == snapshot["share_id"]),
            None,
        )
        if snapshot is None or share is None:
            return NOTHING
        self.written.discard(share["id"])
        answer = self.act(share, "revert", {"snapshot_id": snapshot["id"]})
        self.promised_size(called(share), snapshot["size"], answer)
        return answer.outcome

    def _delete_snapshot(self, decision: Decision) -> str:
        snapshot = chosen(self.snapshots(), decision.dice[0])
        return self.delete_snapshot(snapshot) if snapshot else NOTHING

    def delete_snapshot(self, snapshot: dict[str, Any]) -> str:
        return self.promised(
            self.key("snapshot", snapshot),
            False,
            self.caller("DELETE", f"/v2/snapshots/{snapshot['id']}"),
        )

    # ----------------------------------------------------------------------------------------------

    def chosen_share(self, number: int) -> dict[str, Any] | None:
        return chosen(self.shares(), number)

    def act(self, share: dict[str, Any], action: str, arguments: dict[str, Any] | None) -> Answer:
        return self.caller("POST", f"/v2/shares/{share['id']}/action", {action: arguments})

    def new_name(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def promised(self, key: Key, is_there: bool, answer: Answer) -> str:
        if answer.outcome != "refused":
            self.promises.asked(key, is_there=is_there, is_certain=answer.is_certain)
        return answer.outcome

    def promised_size(self, share: str, size: int, answer: Answer) -> None:
        if answer.outcome != "refused":
            self.promises.asked_for_size(share, size, is_certain=answer.is_certain)


def called(share: dict[str, Any]) -> str:
    """Its name; shares that are made with a group have none."""
    return str(share["name"] or share["id"])


def _path_of(share: dict[str, Any]) -> str:
    group = share["share_group_id"]
    return f"/v2/shares/{share['id']}" + (f"?share_group_id={group}" if group else "")


def chosen(things: Sequence[dict[str, Any]], number: int) -> dict[str, Any] | None:
    """Lists come in an order of their own; by name and id it is the same one whenever they hold the
    same."""
    ordered = sorted(
        things, key=lambda thing: (thing.get("name") or "", thing.get("cidr") or "", thing["id"])
    )
    return ordered[number % len(ordered)] if ordered else None
