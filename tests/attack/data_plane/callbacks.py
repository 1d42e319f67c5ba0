"""Callbacks to where a client says that it listens."""

from __future__ import annotations

import socket

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from tests.attack.data_plane.floods import folder, lived
from tests.attack.data_stage import DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path
from tests.nfs4.client import Client40, patiently


@attack("callbacks")
def callbacks(stage: DataStage, force: Force) -> Seen:
    """Clients of version 4.0 name ports of others as where they listen: nothing of the server's
    arrives there.

    One is on the honest client's machine, others on the server itself: its own NFS port, and where
    nobody listens.
    """
    pid = stage.ganesha()
    honest = stage.site.client("honest-attacked", "attacked", "10.0.0.20/24", "fd00::20/64")
    listening = namespaces.inside(
        honest,
        lambda _: [_listen(socket.AF_INET, "10.0.0.20"), _listen(socket.AF_INET6, "fd00::20")],
    )
    targets = [
        (netid, universal(link)) for netid, link in zip(("tcp", "tcp6"), listening, strict=True)
    ]
    targets += [
        ("tcp", "127.0.0.1.8.1"),
        ("tcp", "10.0.0.5.8.1"),
        ("tcp", "10.0.0.77.8.1"),
        ("udp", "10.0.0.20.8.1"),
        ("tcp", "x" * 2000),
    ]
    refusals = 0
    for number in range(max(len(targets), force.count // 100)):
        client = Client40(stage.attacker, stage.address())
        client.callback = targets[number % len(targets)]
        try:
            client.establish()
            root = client.handle_of(folder(path(stage.open_share)))
            patiently(
                lambda client=client, root=root: client.open(  # type: ignore[misc]
                    root, f"called {client.name!r}", create=True
                ),
                20,
            )
        except (Nfs4Error, OSError):
            refusals += 1
        client.link.link.close()
    called = [link.getsockname()[0] for link in listening if _was_called(link)]
    for link in listening:
        link.close()
    lived_on = lived(stage, pid, f"called back: {called or 'nobody'}; {refusals} clients refused")
    return Seen(lived_on.holds and not called, lived_on.what)


def universal(link: socket.socket) -> str:
    """A socket's address as the protocol writes it: `10.0.0.20.8.1` is port 2049."""
    address, port, *_ = link.getsockname()
    return f"{address}.{port >> 8}.{port & 255}"


def _listen(family: int, address: str) -> socket.socket:
    link = socket.socket(family)
    link.bind((address, 0))
    link.listen(16)
    return link


def _was_called(link: socket.socket) -> bool:
    link.settimeout(2.0)
    try:
        link.accept()[0].close()
    except TimeoutError:
        return False
    return True
