"""A project's client who also asks for what is built on shares and snapshots: groups and their
snapshots, backups, schedules, shares without share servers, and shares that pass to another
project."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple

from tests.crash import tenant
from tests.crash.decisions import Decision
from tests.crash.promises import BY_ITSELF, Key
from tests.crash.site import Site
from tests.crash.tenant import NOTHING, Tenant, called, chosen

WEIGHTS = {
    **tenant.WEIGHTS,
    "create_plain_share": 10,
    "create_group": 6,
    "create_member": 10,
    "delete_group": 4,
    "snapshot_group": 8,
    "clone_group": 6,
    "delete_group_snapshot": 5,
    "back_up": 10,
    "restore": 6,
    "delete_backup": 6,
    "schedule": 6,
    "offer": 10,
    "accept": 10,
    "withdraw": 3,
}
PLAIN_TYPE = "plain"
"""Of shares without share servers."""
MOST = {"groups": 2, "group_snapshots": 2, "backups": 3}
SCHEDULES = (
    {"snapshot_schedule": "hourly:1", "backup_schedule": "none"},
    {"snapshot_schedule": "none", "backup_schedule": "hourly:1"},
    {"snapshot_schedule": "none", "backup_schedule": "none"},
)


class Offer(NamedTuple):
    """A share that its project has offered, with the key of the transfer."""

    of: Customer
    share: str
    size: int
    transfer: str
    auth_key: str


class Board:
    """Where projects tell each other what they offer."""

    def __init__(self) -> None:
        self._offers: list[Offer] = []
        self._guard = Lock()

    def put(self, offer: Offer) -> None:
        with self._guard:
            self._offers.append(offer)

    def take(self, number: int, by: Customer) -> Offer | None:
        """One of another project, which is off the board then."""
        with self._guard:
            others = [offer for offer in self._offers if offer.of is not by]
            if not others:
                return None
            taken = others[number % len(others)]
            self._offers.remove(taken)
            return taken


class Types(NamedTuple):
    """Ids of a share type, and of the type of groups that hold shares of it."""

    share_type: str
    group_type: str


class Customer(Tenant):
    """`types` by name: of shares on share servers, and of those on none."""

    weights = WEIGHTS

    def __init__(self, site: Site, name: str, board: Board) -> None:
        super().__init__(site, name)
        self._board = board
        self.types: Mapping[str, Types] = {}

    # --- what is there ----------------------------------------------------------------------------

    def groups(self) -> list[dict[str, Any]]:
        return self.listed("/v2/share-groups/detail", "share_groups")

    def group_snapshots(self) -> list[dict[str, Any]]:
        return self.listed("/v2/share-group-snapshots/detail", "share_group_snapshots")

    def backups(self) -> list[dict[str, Any]]:
        return self.listed("/v2/share-backups/detail", "share_backups")

    def transfers(self) -> list[dict[str, Any]]:
        return self.listed("/v2/share-transfers/detail", "transfers")

    def found(self) -> dict[Key, int | None]:
        kinds = {
            "group": self.groups(),
            "group snapshot": self.group_snapshots(),
            "backup": self.backups(),
        }
        return super().found() | {
            self.key(kind, thing): None for kind, things in kinds.items() for thing in things
        }

    # --- groups -----------------------------------------------------------------------------------

    def _create_group(self, decision: Decision) -> str:
        """In a share network, or without one."""
        network = chosen(self.share_networks(), decision.dice[0])
        if network is None or decision.dice[1] % 3 == 0:
            return self._new_group(PLAIN_TYPE)
        return self._new_group(tenant.SHARE_TYPE, share_network_id=network["id"])

    def _clone_group(self, decision: Decision) -> str:
        taken = chosen(
            [each for each in self.group_snapshots() if each["status"] == "available"],
            decision.dice[0],
        )
        source = next(
            (each for each in self.groups() if taken and each["id"] == taken["share_group_id"]),
            None,
        )
        if taken is None or source is None:
            return NOTHING
        named = tenant.SHARE_TYPE if source["share_network_id"] else PLAIN_TYPE
        return self._new_group(named, source_share_group_snapshot_id=taken["id"])

    def _new_group(self, type_name: str, **more: str) -> str:
        if len(self.groups()) >= MOST["groups"]:
            return NOTHING
        name, types = self.new_name(), self.types[type_name]
        wanted: dict[str, Any] = {"name": name, "share_group_type_id": types.group_type, **more}
        if "source_share_group_snapshot_id" not in more:
            wanted["share_types"] = [types.share_type]
        answer = self.caller("POST", "/v2/share-groups", {"share_group": wanted})
        return self.promised(("group", name), True, answer)

    def _create_member(self, decision: Decision) -> str:
        group = chosen(self.groups(), decision.dice[0])
        if group is None:
            return NOTHING
        size = decision.dice[1] % 3 + 1
        return self.new_share(
            group["share_network_id"],
            size,
            share_group_id=group["id"],
            share_type=tenant.SHARE_TYPE if group["share_network_id"] else PLAIN_TYPE,
        )

    def _delete_group(self, decision: Decision) -> str:
        group = chosen(self.groups(), decision.dice[0])
        return self.delete_group(group) if group else NOTHING

    def delete_group(self, group: dict[str, Any]) -> str:
        answer = self.caller("DELETE", f"/v2/share-groups/{group['id']}")
        return self.promised(("group", group["name"]), False, answer)

    def _snapshot_group(self, decision: Decision) -> str:
        group = chosen(self.groups(), decision.dice[0])
        if group is None or len(self.group_snapshots()) >= MOST["group_snapshots"]:
            return NOTHING
        wanted = {"share_group_id": group["id"], "name": self.new_name()}
        answer = self.caller("POST", "/v2/share-group-snapshots", {"share_group_snapshot": wanted})
        return self.promised(("group snapshot", wanted["name"]), True, answer)

    def _delete_group_snapshot(self, decision: Decision) -> str:
        taken = chosen(self.group_snapshots(), decision.dice[0])
        return self.delete_group_snapshot(taken) if taken else NOTHING

    def delete_group_snapshot(self, taken: dict[str, Any]) -> str:
        answer = self.caller("DELETE", f"/v2/share-group-snapshots/{taken['id']}")
        return self.promised(("group snapshot", taken["name"]), False, answer)

    # --- backups and schedules --------------------------------------------------------------------

    def _back_up(self, decision: Decision) -> str:
        """Of a share without snapshots: others are not backed up."""
        kept = {snapshot["share_id"] for snapshot in self.snapshots()}
        share = chosen([each for each in self.shares() if each["id"] not in kept], decision.dice[0])
        if share is None or len(self.backups()) >= MOST["backups"]:
            return NOTHING
        wanted = {"share_id": share["id"], "name": self.new_name()}
        answer = self.caller("POST", "/v2/share-backups", {"share_backup": wanted})
        return self.promised(("backup", wanted["name"]), True, answer)

    def _restore(self, decision: Decision) -> str:
        """Into the share that it is of, or another one."""
        backup = chosen(self.backups(), decision.dice[0])
        other = self.chosen_share(decision.dice[1]) if decision.dice[2] % 2 else None
        if backup is None:
            return NOTHING
        target = other["id"] if other else None
        self.written.discard(target or backup["share_id"])
        path = f"/v2/share-backups/{backup['id']}/action"
        return self.caller("POST", path, {"restore": target}).outcome

    def _delete_backup(self, decision: Decision) -> str:
        backup = chosen(self.backups(), decision.dice[0])
        return self.delete_backup(backup) if backup else NOTHING

    def delete_backup(self, backup: dict[str, Any]) -> str:
        answer = self.caller("DELETE", f"/v2/share-backups/{backup['id']}")
        return self.promised(self.key("backup", backup), False, answer)

    def _schedule(self, decision: Decision) -> str:
        """Begin one, change it, or end it."""
        share = self.chosen_share(decision.dice[0])
        if share is None:
            return NOTHING
        wanted = SCHEDULES[decision.dice[1] % len(SCHEDULES)]
        path = f"/v2/shares/{share['id']}/metadata"
        return self.caller("POST", path, {"metadata": wanted}).outcome

    # --- shares without share servers -------------------------------------------------------------

    def _create_plain_share(self, decision: Decision) -> str:
        """In every other case by a name in its export path."""
        named = {"mount_point_name": f"n{decision.dice[3]}"} if decision.dice[2] % 2 else {}
        size = decision.dice[1] % 3 + 1
        return self.new_share(None, size, share_type=PLAIN_TYPE, **named)

    def _offer(self, decision: Decision) -> str:
        """A share that has no snapshots that were asked for: they would pass on with it."""
        kept = {
            each["share_id"]
            for each in self.snapshots()
            if self.key("snapshot", each)[0] != BY_ITSELF
        }
        share = chosen(
            [
                each
                for each in self.shares()
                if each["share_network_id"] is None and each["name"] and each["id"] not in kept
            ],
            decision.dice[0],
        )
        if share is None:
            return NOTHING
        wanted = {"share_id": share["id"], "name": "offered"}
        answer = self.caller("POST", "/v2/share-transfers", {"transfer": wanted})
        if answer.outcome == "accepted":
            made = answer.body["transfer"]
            self._board.put(Offer(self, called(share), share["size"], made["id"], made["auth_key"]))
        return answer.outcome

    def _accept(self, decision: Decision) -> str:
        """What another project offers, if it still does."""
        offer = self._board.take(decision.dice[0], self)
        if offer is None or len(self.shares()) >= tenant.MOST["shares"]:
            return NOTHING
        wanted = {"auth_key": offer.auth_key, "clear_access_rules": True}
        path = f"/v2/share-transfers/{offer.transfer}/accept"
        answer = self.caller("POST", path, {"accept": wanted})
        if answer.outcome != "refused":
            offer.of.promises.passed_on(offer.share, is_certain=answer.is_certain)
        self.promised_size(offer.share, offer.size, answer)
        return self.promised(("share", offer.share), True, answer)

    def _withdraw(self, decision: Decision) -> str:
        transfer = chosen(self.transfers(), decision.dice[0])
        return self.withdraw(transfer) if transfer else NOTHING

    def withdraw(self, transfer: dict[str, Any]) -> str:
        return self.caller("DELETE", f"/v2/share-transfers/{transfer['id']}").outcome
