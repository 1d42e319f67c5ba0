"""What a crowd asks for about shares without share servers, which may pass to another project; see
`crowd`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from falcon.testing import Result

from abaca.db.tables import share_instances, share_transfers, shares

if TYPE_CHECKING:
    from tests.operations.crowd import Place

PLAIN = "plain"
OWNERS = {"project": "member:project:member", "another": "taker:another:member"}
"""Who asks about the shares of a project."""


def owner(place: Place, share_id: str) -> str:
    return OWNERS[place.one_of(shares.c.project_id, 0, shares.c.id == share_id)]


def create_plain_share(place: Place, client: int, size: int, project: str) -> Result:
    wanted = {"share_proto": "NFS", "size": size, "share_type": PLAIN}
    return place.send(client, "POST", "/shares", {"share": wanted}, OWNERS[project])


def offer(place: Place, client: int, share: int) -> Result:
    on_none = sa.exists().where(
        share_instances.c.share_id == shares.c.id, share_instances.c.share_network_id.is_(None)
    )
    key = place.one_of(shares.c.id, share, on_none)
    body = {"transfer": {"share_id": key}}
    answer = place.send(client, "POST", "/share-transfers", body, owner(place, key))
    if answer.status_code < 300:
        place.keys[answer.json["transfer"]["id"]] = answer.json["transfer"]["auth_key"]
    return answer


def accept(place: Place, client: int, transfer: int, clear: bool) -> Result:
    """By the other project; with a wrong key as long as the offer has not been answered."""
    key = place.one_of(share_transfers.c.id, transfer)
    giver = place.one_of(share_transfers.c.source_project_id, 0, share_transfers.c.id == key)
    (taker,) = OWNERS.keys() - {giver}
    wanted = {"auth_key": place.keys.get(key, "wrong"), "clear_access_rules": clear}
    path = f"/share-transfers/{key}/accept"
    return place.send(client, "POST", path, {"accept": wanted}, OWNERS[taker])


def withdraw(place: Place, client: int, transfer: int) -> Result:
    key = place.one_of(share_transfers.c.id, transfer)
    giver = place.one_of(share_transfers.c.source_project_id, 0, share_transfers.c.id == key)
    return place.send(client, "DELETE", f"/share-transfers/{key}", who=OWNERS[giver])
