"""A machine on the tenant's network that no access rule admits, and one whose rule was taken
away."""

from __future__ import annotations

import time
from contextlib import suppress
from threading import Event

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.values import AccessRule
from tests.attack.crowd import AT_ONCE, crowd
from tests.attack.data_plane.floods import folder, lived
from tests.attack.data_stage import DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path, rule
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client, Client41, OpenFile, patiently

STRANGER = ("10.0.0.200/24", "fd00::200/64")
MOST_SECONDS = 60.0  # until a lease of ten is over, on a busy machine


@attack("strangers without a rule", order=-1)
def strangers(stage: DataStage, force: Force) -> Seen:
    """Connections, over both families, from a machine that the server's rules do not admit: none
    comes about."""
    pid = stage.ganesha()
    netns = stage.site.client("stranger", "attacked", *STRANGER)
    made = tried = 0
    end = time.monotonic() + force.seconds
    while time.monotonic() < end:
        for version in (4, 6):
            with crowd(netns, stage.address(version), AT_ONCE) as links:
                made += len(links.links)
                tried += AT_ONCE
    lived_on = lived(stage, pid, f"{made} of {tried} connections came about")
    return Seen(lived_on.holds and made == 0, lived_on.what)


@attack("a rule that was taken away", order=-1, at_once="former rules")
def former_client(stage: DataStage, force: Force) -> Seen:
    """It holds a lock and goes on renewing its lease."""
    renewals, seconds = _after_its_rule(stage, "former", "10.0.0.200", ())
    return Seen(
        renewals == 0 and seconds < MOST_SECONDS,
        f"{renewals} renewals; its lock was gone after {seconds:.0f} s",
    )


@attack(
    "a rule that was taken away from a client of another share", order=-1, at_once="former rules"
)
def client_of_another_share(stage: DataStage, force: Force) -> Seen:
    """The same, but it may use the server for another share's sake."""
    renewals, seconds = _after_its_rule(
        stage, "former elsewhere", "10.0.0.201", (rule("10.0.0.201"),)
    )
    return Seen(
        seconds < MOST_SECONDS, f"{renewals} renewals; its lock was gone after {seconds:.0f} s"
    )


def _after_its_rule(
    stage: DataStage, name: str, address: str, elsewhere: tuple[AccessRule, ...]
) -> tuple[int, float]:
    """(how often a client could renew its lease after its rule had gone, the seconds until another
    one got the lock that it held)."""
    share = stage.site.share(stage.attacked, rules=[rule("10.0.0.20"), rule(address)])
    stage.site.share(stage.attacked, rules=elsewhere)
    netns = stage.site.client(name.replace(" ", "-"), "attacked", f"{address}/24")
    former = Client41(netns, stage.address())
    former.establish()
    held = patiently(
        lambda: former.open(former.handle_of(folder(path(share))), "file", create=True)
    )
    former.lock(held)
    stage.driver.update_access(share, [rule("10.0.0.20")], stage.attacked)
    renewals, began = 0, time.monotonic()
    with Client41(stage.honest_machine("attacked"), stage.address(), source="10.0.0.20") as client:
        file = patiently(lambda: client.open(client.handle_of(folder(path(share))), "file"))
        while not _locks(client, file) and time.monotonic() - began < MOST_SECONDS:
            renewals += _renews(former)
        seconds = time.monotonic() - began
    former.link.link.close()
    return renewals, seconds


def _locks(client: Client, file: OpenFile) -> bool:
    try:
        client.lock(file)
    except Nfs4Error as error:
        if error.name != "DENIED":
            raise
        client.renew()
        return False
    return True


def _renews(former: Client) -> bool:
    try:
        former.renew()
        return True
    except (OSError, Nfs4Error):
        Event().wait(0.2)
    with suppress(OSError):
        former.reconnect([0.0])
    return False


@attack("another client's session")
def foreign_session(stage: DataStage, force: Force) -> Seen:
    """Guessed: sessions are a client's number and a counter, and numbers count upwards from the
    attacker's own."""
    client = Client41(stage.attacker, stage.address())
    client.establish()
    epoch, number = client.client_id >> 32, client.client_id & 0xFFFFFFFF
    ended, tried = 0, 0
    for guessed in range(max(1, number - 20), number):
        for counter in range(1, min(60, force.count // 20)):
            session = (epoch << 32 | guessed).to_bytes(8, "little") + counter.to_bytes(8, "little")
            tried += 1
            try:
                client.compound([ops.destroy_session(session)])
                ended += 1
            except Nfs4Error:
                pass
    client.link.link.close()
    return Seen(ended == 0, f"{ended} sessions of others ended with {tried} guesses")
