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
from tests.crash.promises import Key, Promises
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
_NOTHING = "nothing to do it on"
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
        return self._list("/v2/shares/detail", "shares")

    def snapshots(self) -> list[dict[str, Any]]:
        return self._list("/v2/snapshots/detail", "snapshots")

    def share_networks(self) -> list[dict[str, Any]]:
        return self._list("/v2/share-networks/detail", "share_networks")

    def networks(self) -> list[dict[str, Any]]:
        return self._list("/network/v2.0/networks", "networks")

    def subnets(self) -> list[dict[str, Any]]:
        return self._list("/network/v2.0/subnets", "subnets")

    def rules(self, share: dict[str, Any]) -> list[dict[str, Any]]:
        return self._list(f"/v2/share-access-rules?share_id={share['id']}", "access_list")

    def found(self) -> dict[Key, int | None]:
        """All of it, as `Promises` takes it. The size of a share in error is what it was or was to
        be."""
        shares, snapshots, networks = self.shares(), self.snapshots(), self.share_networks()
        found: dict[Key, int | None] = {
            ("share", share["name"]): None if "error" in share["status"] else share["size"]
            for share in shares
        }
        found |= {("snapshot", snapshot["name"]): None for snapshot in snapshots}
        found |= {("network", network["name"]): None for network in networks}
        found |= {
            ("subnet", network["name"], subnet["neutron_subnet_id"]): None
            for network in networks
            for subnet in network["share_network_subnets"]
        }
        return found | {
            ("rule", share["name"], rule["access_to"]): None
            for share in shares
            for rule in self.rules(share)
        }

    def _list(self, path: str, member: str) -> list[dict[str, Any]]:
        answer = self.caller.read(path)
        return answer[member] if answer is not None else []

    # --- networks ---------------------------------------------------------------------------------

    def _create_network(self, decision: Decision) -> str:
        """With four subnets, of the same ranges as the other projects'."""
        there = self.networks()
        if len(there) >= MOST["networks"]:
            return _NOTHING
        answer = self.caller(
            "POST", "/network/v2.0/networks", {"network": {"name": self._new_name()}}
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
        network = _chosen(self.networks(), decision.dice[0])
        return self.delete_network(network) if network else _NOTHING

    def delete_network(self, network: dict[str, Any]) -> str:
        return self.caller("DELETE", f"/network/v2.0/networks/{network['id']}").outcome

    def _create_share_network(self, decision: Decision) -> str:
        subnet = _chosen(self.subnets(), decision.dice[0])
        if subnet is None or len(self.share_networks()) >= MOST["share_networks"]:
            return _NOTHING
        name = self._new_name()
        wanted = {
            "name": name,
            "neutron_net_id": subnet["network_id"],
            "neutron_subnet_id": subnet["id"],
        }
        answer = self.caller("POST", "/v2/share-networks", {"share_network": wanted})
        self._promised(("subnet", name, subnet["id"]), True, answer)
        return self._promised(("network", name), True, answer)

    def _add_subnet(self, decision: Decision) -> str:
        """Asked for again for a while: the shares on a network that is in use must be at rest, and
        the drivers be asked."""
        network, subnet = (
            _chosen(self.share_networks(), decision.dice[0]),
            _chosen(self.subnets(), decision.dice[1]),
        )
        if (
            network is None
            or subnet is None
            or len(network["share_network_subnets"]) >= MOST["subnets"]
        ):
            return _NOTHING
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
        return self._promised(("subnet", network["name"], subnet["id"]), True, answer)

    def _delete_subnet(self, decision: Decision) -> str:
        network = _chosen(self.share_networks(), decision.dice[0])
        subnet = _chosen(network["share_network_subnets"], decision.dice[1]) if network else None
        if network is None or subnet is None:
            return _NOTHING
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
            return _NOTHING  # promises know a subnet by Neutron's id
        return self.delete_subnet(network, subnet)

    def delete_subnet(self, network: dict[str, Any], subnet: dict[str, Any]) -> str:
        answer = self.caller("DELETE", f"/v2/share-networks/{network['id']}/subnets/{subnet['id']}")
        return self._promised(
            ("subnet", network["name"], subnet["neutron_subnet_id"]), False, answer
        )

    def _delete_share_network(self, decision: Decision) -> str:
        network = _chosen(self.share_networks(), decision.dice[0])
        return self.delete_share_network(network) if network else _NOTHING

    def delete_share_network(self, network: dict[str, Any]) -> str:
        return self._promised(
            ("network", network["name"]),
            False,
            self.caller("DELETE", f"/v2/share-networks/{network['id']}"),
        )

    # --- shares -----------------------------------------------------------------------------------

    def _create_share(self, decision: Decision) -> str:
        network = _chosen(self.share_networks(), decision.dice[0])
        return self._new_share(network["id"], decision.dice[1] % 3 + 1) if network else _NOTHING

    def _create_share_from_snapshot(self, decision: Decision) -> str:
        snapshot = _chosen(
            [each for each in self.snapshots() if each["status"] == "available"], decision.dice[0]
        )
        parent = next(
            (share for share in self.shares() if snapshot and share["id"] == snapshot["share_id"]),
            None,
        )
        if snapshot is None or parent is None:
            return _NOTHING
        return self._new_share(
            parent["share_network_id"],
            snapshot["size"] + decision.dice[1] % 2,
            snapshot_id=snapshot["id"],
        )

    def _new_share(self, network_id: str, size: int, **more: str) -> str:
        if len(self.shares()) >= MOST["shares"]:
            return _NOTHING
        name = self._new_name()
        wanted = {
            "share_proto": "NFS",
            "size": size,
            "share_type": SHARE_TYPE,
            "share_network_id": network_id,
            "name": name,
            **more,
        }
        answer = self.caller("POST", "/v2/shares", {"share": wanted})
        self._promised_size(name, size, answer)
        return self._promised(("share", name), True, answer)

    def _extend(self, decision: Decision) -> str:
        share = self._share(decision.dice[0])
        return (
            self._resized(share, "extend", share["size"] + decision.dice[1] % GROWTH + 1)
            if share
            else _NOTHING
        )

    def _shrink(self, decision: Decision) -> str:
        share = self._share(decision.dice[0])
        return (
            self._resized(share, "shrink", max(share["size"] - decision.dice[1] % GROWTH - 1, 1))
            if share
            else _NOTHING
        )

    def _resized(self, share: dict[str, Any], action: str, size: int) -> str:
        answer = self._act(share, action, {"new_size": size})
        self._promised_size(share["name"], size, answer)
        return answer.outcome

    def _delete_share(self, decision: Decision) -> str:
        share = self._share(decision.dice[0])
        return self.delete_share(share) if share else _NOTHING

    def delete_share(self, share: dict[str, Any]) -> str:
        return self._promised(
            ("share", share["name"]), False, self.caller("DELETE", f"/v2/shares/{share['id']}")
        )

    def _allow(self, decision: Decision) -> str:
        share = self._share(decision.dice[0])
        return self.allow(share, ACCESS[decision.dice[1] % len(ACCESS)]) if share else _NOTHING

    def allow(self, share: dict[str, Any], access_to: str) -> str:
        answer = self._act(
            share,
            "allow_access",
            {"access_type": "ip", "access_to": access_to, "access_level": "rw"},
        )
        return self._promised(("rule", share["name"], access_to), True, answer)

    def _deny(self, decision: Decision) -> str:
        share = self._share(decision.dice[0])
        rule = _chosen(self.rules(share), decision.dice[1]) if share else None
        if share is None or rule is None:
            return _NOTHING
        return self._promised(
            ("rule", share["name"], rule["access_to"]),
            False,
            self._act(share, "deny_access", {"access_id": rule["id"]}),
        )

    # --- snapshots --------------------------------------------------------------------------------

    def _snapshot(self, decision: Decision) -> str:
        share = self._share(decision.dice[0])
        if share is None or len(self.snapshots()) >= MOST["snapshots"]:
            return _NOTHING
        name = self._new_name()
        return self._promised(
            ("snapshot", name),
            True,
            self.caller(
                "POST", "/v2/snapshots", {"snapshot": {"share_id": share["id"], "name": name}}
            ),
        )

    def _revert(self, decision: Decision) -> str:
        snapshot = _chosen(self.snapshots(), decision.dice[0])
        share = next(
            (each for each in self.shares() if snapshot and each["id"] == snapshot["share_id"]),
            None,
        )
        if snapshot is None or share is None:
            return _NOTHING
        self.written.discard(share["id"])
        answer = self._act(share, "revert", {"snapshot_id": snapshot["id"]})
        self._promised_size(share["name"], snapshot["size"], answer)
        return answer.outcome

    def _delete_snapshot(self, decision: Decision) -> str:
        snapshot = _chosen(self.snapshots(), decision.dice[0])
        return self.delete_snapshot(snapshot) if snapshot else _NOTHING

    def delete_snapshot(self, snapshot: dict[str, Any]) -> str:
        return self._promised(
            ("snapshot", snapshot["name"]),
            False,
            self.caller("DELETE", f"/v2/snapshots/{snapshot['id']}"),
        )

    # ----------------------------------------------------------------------------------------------

    def _share(self, number: int) -> dict[str, Any] | None:
        return _chosen(self.shares(), number)

    def _act(self, share: dict[str, Any], action: str, arguments: dict[str, Any]) -> Answer:
        return self.caller("POST", f"/v2/shares/{share['id']}/action", {action: arguments})

    def _new_name(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}"

    def _promised(self, key: Key, is_there: bool, answer: Answer) -> str:
        if answer.outcome != "refused":
            self.promises.asked(key, is_there=is_there, is_certain=answer.is_certain)
        return answer.outcome

    def _promised_size(self, share: str, size: int, answer: Answer) -> None:
        if answer.outcome != "refused":
            self.promises.asked_for_size(share, size, is_certain=answer.is_certain)


def _chosen(things: Sequence[dict[str, Any]], number: int) -> dict[str, Any] | None:
    """Lists come in an order of their own; by name and id it is the same one whenever they hold the
    same."""
    ordered = sorted(
        things, key=lambda thing: (thing.get("name") or "", thing.get("cidr") or "", thing["id"])
    )
    return ordered[number % len(ordered)] if ordered else None
