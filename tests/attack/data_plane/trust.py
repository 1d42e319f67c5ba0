"""What a client says of itself, and what it makes the server write down."""

from __future__ import annotations

import os
import time

from abaca.drivers.linux.file_services.nfs import logs
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from tests.attack.data_plane.floods import folder, lived
from tests.attack.data_stage import DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path
from tests.nfs4.client import Client41, patiently
from tests.nfs4.nonsense import NONSENSE, send

UNREMARKABLE = 64 * 1024  # bytes of log


@attack("log flood")
def log_flood(stage: DataStage, force: Force) -> Seen:
    """Requests that cannot be read, of every kind, for a while."""
    pid, before, sent = stage.ganesha(), stage.log_bytes(), 0
    end = time.monotonic() + force.seconds
    while time.monotonic() < end:
        for what in NONSENSE.values():
            send(stage.attacker, stage.address(), what, 100)
            sent += 100
    grown = stage.log_bytes() - before
    lived_on = lived(
        stage,
        pid,
        f"{sent} requests that cannot be read: {grown} bytes of log, of {logs.ROOM} at most",
    )
    return Seen(lived_on.holds and grown <= UNREMARKABLE, lived_on.what)


@attack("unprivileged ports")
def unprivileged_ports(stage: DataStage, force: Force) -> Seen:
    """Somebody who is not root on a client speaks NFS by himself, as whom he likes."""
    share = stage.site.share(stage.attacked)
    got_in = 0
    for version in (4, 6):
        for uid in (0, 1001):
            with Client41(
                stage.attacker, stage.address(version), source_port=0, uid=uid, gid=uid
            ) as client:
                try:
                    client.handle_of(folder(path(share)))
                    got_in += 1
                except Nfs4Error:
                    pass
    return Seen(got_in == 0, f"{got_in} of 4 clients at ports from 1024 on found the share")


@attack("somebody else's uid")
def foreign_uid(stage: DataStage, force: Force) -> Seen:
    """Root on a client, and everybody on it, when the share type squashes them."""
    acted = []
    for squash, uid in (("root_squash", 0), ("all_squash", 0), ("all_squash", 1001)):
        share = stage.site.share(stage.attacked, extra_specs={"nfs:squash": squash})
        secret = stage.driver.pool.path(share.id) / "secret"
        secret.write_text("text")
        secret.chmod(0o600)
        os.chown(secret, uid, uid)
        with Client41(stage.attacker, stage.address(), uid=uid, gid=uid) as client:
            root = client.handle_of(folder(path(share)))
            try:
                patiently(lambda: client.get(root, "secret"))  # noqa: B023 - called at once
                acted.append(f"{squash}: {uid}")
            except Nfs4Error:
                pass
    return Seen(not acted, f"secrets read: {', '.join(acted) or 'none'}")
