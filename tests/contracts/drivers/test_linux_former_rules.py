"""A client that a rule of one share admits, and whose rule on another share of the same server was
taken away: what it left open there goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event

import msgspec
import pytest

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.admission import TABLE
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, putfh
from abaca.drivers.linux.file_services.nfs.xdr import Malformed
from abaca.values import Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path, rule
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client, Client40, Client41, patiently
from tests.stack import wait_for

pytestmark = [pytest.mark.sampled_file(8), pytest.mark.root, pytest.mark.timeout(300)]

SERVERS = ("10.0.0.5", "fd00::5")
STAYS, FORMER = ("10.0.0.20", "fd00::20"), ("10.0.0.66", "fd00::66")
AT_MOST = 120.0  # seconds until it is gone; a lease is ten


class Scene:
    """`closed` was open to both clients until `close` was called; `other` is open to both of
    them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.server: ShareServer = site.server(*BOTH)
        both = [rule(address) for address in (*STAYS, *FORMER)]
        self.closed, self.other = (site.share(self.server, rules=both) for _ in range(2))
        self.stays, self.former = (
            site.client("client", "net", *CLIENT),
            site.client("former", "net", "10.0.0.66/24", "fd00::66/64"),
        )

    def close(self) -> None:
        refused = self.site.driver.update_access(
            self.closed, [rule(address) for address in STAYS], self.server
        )
        assert refused == {}


@pytest.fixture
def scene(site: Site) -> Scene:
    return Scene(site)


def folder(share: Share) -> str:
    return path(share).split(":", 1)[1]


def renews(client: Client) -> None:
    """As who wants to keep what it has: over a new connection when the old one is gone."""
    with suppress(OSError, Nfs4Error, Malformed):
        client.renew()
        return
    with suppress(OSError):
        client.reconnect([0.0])


def come_back(scene: Scene) -> None:
    """Nobody is sent away any more: as if the worker had died just before."""
    emptied = "".join(f"flush set {' '.join(TABLE)} away_{family}\n" for family in ("ipv4", "ipv6"))
    namespaces.inside(
        scene.site.layout(scene.server).namespace, lambda _: packet_filter.apply(emptied)
    )


def locks(client: Client, file: object) -> bool:
    try:
        client.lock(file)  # type: ignore[arg-type]
    except Nfs4Error as error:
        assert error.name == "DENIED"
        return False
    return True


@pytest.mark.parametrize(("version", "address"), [(Client40, SERVERS[0]), (Client41, SERVERS[1])])
def test_what_it_left_open_goes(scene: Scene, version: Callable[..., Client], address: str) -> None:
    with version(scene.stays, address) as stays, version(scene.former, address) as goes:
        held = patiently(
            lambda: goes.open(goes.handle_of(folder(scene.closed)), "file", create=True)
        )
        goes.lock(held)
        goes.put(goes.handle_of(folder(scene.other)), "other", b"text")
        file = stays.open(stays.handle_of(folder(scene.closed)), "file")
        assert not locks(stays, file)
        scene.close()

        def is_free() -> bool:
            renews(goes)
            return locks(stays, file)

        wait_for(is_free, AT_MOST)

    def reads() -> bool:
        with suppress(OSError), version(scene.former, address) as again:
            return again.get(again.handle_of(folder(scene.other)), "other") == b"text"
        return False

    wait_for(reads, AT_MOST)


def test_what_denies_others_goes_too(scene: Scene) -> None:
    """An open that lets nobody else open the file."""
    with Client41(scene.stays, SERVERS[0]) as stays, Client41(scene.former, SERVERS[0]) as goes:
        root = goes.handle_of(folder(scene.closed))
        denying = ops.open_(
            b"denying", goes.client_id, ops.created(), ops.by_name("file"), deny=ops.BOTH
        )
        patiently(lambda: goes.run(putfh(root), denying))
        with pytest.raises(Nfs4Error, match="SHARE_DENIED"):
            stays.open(root, "file")
        scene.close()

        def opens() -> bool:
            renews(goes)
            try:
                stays.open(root, "file")
            except Nfs4Error as error:
                assert error.name == "SHARE_DENIED"
                return False
            return True

        wait_for(opens, AT_MOST)


def test_who_has_closed_its_files_and_who_is_still_admitted_notice_nothing(scene: Scene) -> None:
    with Client41(scene.stays, SERVERS[0]) as stays, Client41(scene.former, SERVERS[0]) as goes:
        root, other = (goes.handle_of(folder(share)) for share in (scene.closed, scene.other))
        used = patiently(lambda: goes.open(root, "used", create=True))
        goes.write(used, 0, b"text", ops.UNSTABLE)
        goes.run(putfh(used.handle), ops.commit())
        goes.run(putfh(used.handle), ops.setattr(ops.fattr(size=2)))
        assert goes.read(used) == b"te"
        goes.unlock(used, goes.lock(used))
        goes.close(used)
        goes.names_in(root)
        kept, held = goes.open(other, "kept", create=True), stays.open(root, "used")
        goes.lock(kept)
        stays.lock(held)
        scene.close()
        for _ in range(20):
            goes.renew()
            stays.renew()
            Event().wait(0.05)
        assert goes.read(kept) == b""
        with pytest.raises(Nfs4Error):
            goes.attributes(root, "size")


def test_what_is_held_keeps_no_share_from_being_deleted(scene: Scene) -> None:
    with Client41(scene.former, SERVERS[0]) as goes:
        held = patiently(
            lambda: goes.open(goes.handle_of(folder(scene.closed)), "file", create=True)
        )
        goes.lock(held)
        scene.close()
        scene.site.driver.delete_share(scene.closed, scene.server)
        assert not scene.site.data(scene.closed).exists()
        goes.files.clear()


def test_a_worker_that_died_before_it_sent_a_client_away_does_so_when_the_server_is_ensured(
    scene: Scene,
) -> None:
    server = scene.server
    with Client41(scene.stays, SERVERS[0]) as stays, Client41(scene.former, SERVERS[0]) as goes:
        held = patiently(
            lambda: goes.open(goes.handle_of(folder(scene.closed)), "file", create=True)
        )
        goes.lock(held)
        file = stays.open(stays.handle_of(folder(scene.closed)), "file")
        scene.close()
        come_back(scene)
        renews(goes)
        closed = msgspec.structs.replace(
            scene.closed, access_rules=[rule(address) for address in STAYS]
        )
        linux_backend.successor(scene.site.driver).ensure_server(server, [closed, scene.other])

        def is_free() -> bool:
            renews(goes)
            return locks(stays, file)

        wait_for(is_free, AT_MOST)
