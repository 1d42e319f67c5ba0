"""What a crowd asks for about backups; see `crowd`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from falcon.testing import Result

from abaca.db.tables import share_backups, shares

if TYPE_CHECKING:
    from tests.operations.crowd import Place


def back_up(place: Place, client: int, share: int) -> Result:
    wanted = {"share_id": place.one_of(shares.c.id, share)}
    return place.send(client, "POST", "/share-backups", {"share_backup": wanted})


def restore_backup(place: Place, client: int, backup: int) -> Result:
    path = f"/share-backups/{place.one_of(share_backups.c.id, backup)}/action"
    return place.send(client, "POST", path, {"restore": None})


def delete_backup(place: Place, client: int, backup: int) -> Result:
    return place.send(
        client, "DELETE", f"/share-backups/{place.one_of(share_backups.c.id, backup)}"
    )
