"""What a share server does not serve is refused at once: other ports, other RPC programs, other
versions of NFS; nobody waits for a time-out."""

from __future__ import annotations

import socket

import pytest

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, Operation, putfh
from abaca.drivers.linux.file_services.nfs.rpc import Connection, RpcError, auth_sys
from abaca.drivers.linux.file_services.nfs.xdr import Reader, opaque, u32, u64
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, Client41, Client42

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

PATIENCE = 5.0  # less than any retransmission's end, more than a busy machine takes
SERVER = ("10.0.0.5", "fd00::5")
# The port mapper, mountd as it is usually placed, statd's and lockd's range, rquotad, a neighbour
# of NFS's own.
PORTS = (111, 635, 662, 875, 892, 2050, 20048, 32803)
NFS, PORTMAPPER, MOUNT, LOCKS, STATUS, QUOTAS, ACLS = (
    100003,
    100000,
    100005,
    100021,
    100024,
    100011,
    100227,
)
VERSIONS = range(6)
MISMATCH, NO_PROGRAM = 2, 1
GETACL, SETACL, BAD_HANDLE = 1, 2, 10001


def test_ports_of_nothing_refuse(site: Site) -> None:
    site.server(*BOTH)

    def ask(_: object) -> None:
        for address in SERVER:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for port in PORTS:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((address, port), timeout=PATIENCE)
            with socket.socket(family, socket.SOCK_DGRAM) as link:
                link.settimeout(PATIENCE)
                link.connect((address, 111))
                link.send(bytes(40))
                with pytest.raises(ConnectionRefusedError):
                    link.recv(100)

    namespaces.inside(site.client("client", "net", *CLIENT), ask)


@pytest.mark.parametrize("program", [NFS, PORTMAPPER, MOUNT, LOCKS, STATUS, QUOTAS, 999])
def test_other_programs_and_versions_are_answered_with_what_is_wrong(
    site: Site, program: int
) -> None:
    """A client that asks for NFSv3 is told that there is only version 4; calls with nothing in
    them, and with a handle."""
    site.share(site.server(*BOTH))
    status = MISMATCH if program == NFS else NO_PROGRAM
    handle = len(bytes(44)).to_bytes(4, "big") + bytes(44)

    def ask(_: object) -> None:
        for version in [version for version in VERSIONS if (program, version) != (NFS, 4)]:
            for procedure in (0, 1, 2, 7):
                for body in (b"", handle):
                    answer = called(program, version, procedure, body)
                    assert answer == f"the call failed with RPC status {status}", (
                        version,
                        procedure,
                    )

    namespaces.inside(site.client("client", "net", *CLIENT), ask)


def test_no_minor_version_is_spoken_that_reads_files_as_empty(site: Site) -> None:
    """NFS-Ganesha 4.3 answers READ_PLUS of version 4.2, which Linux sends since 6.6, without any
    data. Clients fall back to 4.1."""
    share = site.share(site.server(*BOTH))
    netns = site.client("client", "net", *CLIENT)
    folder = path(share).split(":", 1)[1]
    with Client41(netns, SERVER[0]) as client:
        client.put(client.handle_of(folder), "file", b"what was written")
    newer = Client42(netns, SERVER[1])
    try:
        newer.establish()
    except Nfs4Error as error:
        assert error.name == "MINOR_VERS_MISMATCH"
        return
    file = newer.open(newer.handle_of(folder), "file", share=ops.READ)
    read_plus = Operation(68, file.stateid + u64(0) + u32(100), Reader.rest)
    assert b"what was written" in newer.run(putfh(file.handle), read_plus)[-1]


def test_the_acl_program_of_version_3_opens_nothing(site: Site) -> None:
    """Ganesha 4.3 answers its NULL call, whatever `Enable_NFSACL` says; a share's own handle, from
    a client that may use it, is refused."""
    share = site.share(site.server(*BOTH))
    netns = site.client("client", "net", *CLIENT)
    client = Client40(netns, SERVER[0])
    client.establish()
    handle = opaque(client.handle_of(path(share).split(":", 1)[1]))

    def ask(_: object) -> None:
        everything = u32(15)
        assert called(ACLS, 3, 0, b"") == ""
        assert called(ACLS, 3, GETACL, handle + everything) == f"NFS status {BAD_HANDLE}"
        assert called(ACLS, 3, SETACL, handle + everything + bytes(16)) in (
            f"NFS status {BAD_HANDLE}",
            "the call failed with RPC status 4",
        )

    namespaces.inside(netns, ask)
    client.leave()


def called(program: int, version: int, procedure: int, body: bytes) -> str:
    """What is wrong with a call, or an empty text. From a privileged port, as root."""
    with socket.socket() as link:
        link.settimeout(PATIENCE)
        _bind_to_privileged(link)
        link.connect((SERVER[0], 2049))
        try:
            answer = (
                Connection(link, PATIENCE)
                .call(program, version, procedure, body, auth_sys(0, 0))
                .rest()
            )
        except RpcError as error:
            return str(error)
    return f"NFS status {int.from_bytes(answer[:4], 'big')}" if answer else ""


def _bind_to_privileged(link: socket.socket) -> None:
    for port in range(1023, 600, -1):
        try:
            return link.bind(("", port))
        except OSError:
            continue  # in use by a connection of before
    raise AssertionError("no privileged port is free")
