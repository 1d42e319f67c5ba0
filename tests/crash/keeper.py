"""An administrator in a project of his own, who lets shares go that Abaca manages, and has them
managed again."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tests.crash.customer import PLAIN_TYPE, Board, Customer
from tests.crash.decisions import Decision
from tests.crash.site import Site
from tests.crash.tenant import NOTHING, chosen

NAME = "project-admin"
_IS_ID = re.compile("/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
WEIGHTS = {
    "create_plain_share": 10,
    "extend": 3,
    "allow": 4,
    "delete_share": 4,
    "unmanage": 12,
    "manage": 12,
    "snapshot": 2,
    "delete_snapshot": 3,
    "offer": 2,
    "accept": 4,
}


class LetGo(NamedTuple):
    """A share that was unmanaged, or may be: there was no answer."""

    name: str
    path: str
    host: str

    @property
    def instance_id(self) -> str:
        return self.path.rpartition("/")[2]


class Keeper(Customer):
    """`let_go`: what the back end has, and the database may not."""

    weights = WEIGHTS

    def __init__(self, site: Site, name: str, board: Board) -> None:
        super().__init__(site, name, board)
        self.let_go: list[LetGo] = []

    def settle_in(self) -> None:
        """All his shares are without share networks."""

    def networks(self) -> list[dict[str, Any]]:
        """Not those of others, which an administrator is shown, too."""
        return []

    subnets = networks

    def _create_plain_share(self, decision: Decision) -> str:
        """Without a name in its export path, which would not tell what it is called there."""
        return self.new_share(None, decision.dice[1] % 3 + 1, share_type=PLAIN_TYPE)

    def _unmanage(self, decision: Decision) -> str:
        kept = {snapshot["share_id"] for snapshot in self.snapshots()}
        share = chosen(
            [
                each
                for each in self.shares()
                if each["status"] == "available" and each["id"] not in kept
            ],
            decision.dice[0],
        )
        if share is None:
            return NOTHING
        locations = self.listed(f"/v2/shares/{share['id']}/export_locations", "export_locations")
        if not locations or not _IS_ID.search(locations[0]["path"]):
            return NOTHING  # by its mount point name it would not be found again
        answer = self.act(share, "unmanage", None)
        if answer.outcome != "refused":
            self.promises.passed_on(share["name"], is_certain=answer.is_certain)
            self.let_go.append(LetGo(share["name"], locations[0]["path"], share["host"]))
        return answer.outcome

    def _manage(self, decision: Decision) -> str:
        if not self.let_go:
            return NOTHING
        return self.manage(self.let_go[decision.dice[0] % len(self.let_go)])

    def manage(self, share: LetGo) -> str:
        """Refused while it is unmanaged, and when it never was."""
        wanted = {
            "service_host": share.host,
            "export_path": share.path,
            "protocol": "NFS",
            "share_type": PLAIN_TYPE,
            "name": share.name,
        }
        answer = self.caller("POST", "/v2/shares/manage", {"share": wanted})
        if answer.outcome == "accepted":
            self.let_go.remove(share)
        return self.promised(("share", share.name), True, answer)

    def manage_all(self) -> list[str]:
        """Everything that he let go, once nothing goes on; what was refused."""
        there = {
            location["path"]
            for share in self.shares()
            for location in self.listed(
                f"/v2/shares/{share['id']}/export_locations", "export_locations"
            )
        }
        self.let_go = [share for share in self.let_go if share.path not in there]
        return [
            f"{share} is not managed again: {outcome}"
            for share in list(self.let_go)
            if (outcome := self.manage(share)) != "accepted"
        ]
