"""Scenes of backups, for `scenarios.SCENARIOS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from abaca.domain.backups import share_backups
from abaca.drivers.fake import FakeDriver
from abaca.values import Page
from tests.operations.scene import instance_of
from tests.stack import ADMIN, MEMBER, Stack, wait_for

if TYPE_CHECKING:
    from tests.operations.scenarios import Ground

Ask = Callable[[], object]
GIB = 2**30


def filled_share(ground: Ground) -> str:
    """A share that holds something, so that copying it takes more than one call."""
    _, share = ground.share()
    state = f"{ground.stack.conf.state_dir}/worker/alpha.json"
    FakeDriver("alpha", {"state_file": state}).set_used_bytes(
        instance_of(ground.stack, share).id, GIB
    )
    return share


def available_backup(ground: Ground) -> tuple[str, str]:
    """Such a share, and a backup of it."""
    share = filled_share(ground)
    backup = ground.stack.backup(share)
    assert ground.stack.settled_backup(backup) == "available"
    return share, backup


def share_backup_create(ground: Ground) -> Ask:
    share = filled_share(ground)
    return lambda: ground.stack.backup(share)


def share_backup_restore(ground: Ground) -> Ask:
    _, backup = available_backup(ground)
    return lambda: ground.stack.do(share_backups.restore, MEMBER, backup)


def share_backup_restore_of_another_share(ground: Ground) -> Ask:
    _, backup = available_backup(ground)
    _, other = ground.share()
    return lambda: ground.stack.do(share_backups.restore, MEMBER, backup, other)


def share_backup_delete(ground: Ground) -> Ask:
    _, backup = available_backup(ground)
    return lambda: ground.stack.do(share_backups.delete, MEMBER, backup)


def wipe_backups(stack: Stack) -> None:
    """Delete all backups, whatever their status."""

    def there() -> list[str]:
        found = stack.ask(share_backups.LISTING.find, ADMIN, {}, Page(), True)
        return [row["id"] for row in found]

    for backup in there():
        stack.do(share_backups.reset_status, ADMIN, backup, "error")
        stack.do(share_backups.delete, ADMIN, backup)
    wait_for(lambda: not there())


SCENES = (
    share_backup_create,
    share_backup_delete,
    share_backup_restore,
    share_backup_restore_of_another_share,
)
