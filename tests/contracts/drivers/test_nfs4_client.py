"""The raw NFSv4 client of the tests does what it says, against a real file server: else attacks
that use it would prove nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from abaca.drivers.linux import processes
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, getfh, lookup, putfh
from abaca.values import Share, ShareServer
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client, Client40, Client41, patiently
from tests.nfs4.connection import RawConnection, connect

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

IPV4, IPV6 = "10.0.0.5", "fd00::5"
VERSIONS = [Client40, Client41]


@pytest.fixture
def server(site: Site) -> ShareServer:
    return site.server(*BOTH)


@pytest.fixture
def share(site: Site, server: ShareServer) -> Share:
    return site.share(server)


@pytest.fixture
def netns(site: Site) -> str:
    return site.client("client", "net", *CLIENT)


@pytest.fixture(params=VERSIONS)
def client(request: pytest.FixtureRequest, netns: str, share: Share) -> Iterator[Client]:
    with request.param(netns, IPV4) as client:
        yield client


def folder_of(client: Client, share: Share) -> bytes:
    return client.handle_of(path(share).split(":", 1)[1])


def test_files_folders_links_and_attributes(client: Client, share: Share) -> None:
    root = folder_of(client, share)
    file = patiently(lambda: client.put(root, "file", b"text"))
    assert client.get(root, "file") == b"text"
    assert client.attributes(file, "type", "size", "mode", "owner") == {
        "type": ops.REGULAR,
        "size": 4,
        "mode": 0o644,
        "owner": "0",
    }
    client.run(putfh(file), ops.setattr(ops.fattr(size=2, mode=0o600)))
    client.run(putfh(root), ops.create("folder"))
    client.run(putfh(root), ops.create("symlink", ops.SYMLINK, target="../file"))
    client.run(putfh(file), ops.savefh(), putfh(root), lookup("folder"), ops.link("hard"))
    client.run(putfh(root), ops.savefh(), putfh(root), ops.rename("file", "renamed"))
    assert sorted(client.names_in(root)) == ["folder", "renamed", "symlink"]
    assert client.run(putfh(root), lookup("symlink"), ops.readlink())[-1] == "../file"
    found = client.attributes(
        file,
        "size",
        "mode",
        "numlinks",
        "fileid",
        "fsid",
        "space_total",
        "space_avail",
        "space_free",
        "space_used",
    )
    assert (found["size"], found["mode"], found["numlinks"], len(found)) == (2, 0o600, 2, 9)
    assert client.run(putfh(file), ops.access(1))[-1] == (1, 1)
    client.run(putfh(root), ops.remove("renamed"))
    with pytest.raises(Nfs4Error, match="NOENT for operation"):
        client.run(putfh(root), lookup("renamed"), getfh())


def test_locks_exclude_other_owners_until_unlocked(client: Client, share: Share) -> None:
    root = folder_of(client, share)
    file = patiently(lambda: client.open(root, "file", create=True))
    held = client.lock(file, offset=0, length=10)
    other = client.open(root, "file")
    with pytest.raises(Nfs4Error, match="DENIED"):
        client.lock(other, offset=5, length=1)
    client.unlock(file, held)
    client.lock(other, offset=5, length=1)
    client.write(other, 0, b"x", ops.UNSTABLE)
    client.run(putfh(other.handle), ops.commit())


@pytest.mark.parametrize("version", VERSIONS)
def test_opens_and_locks_are_reclaimed_from_a_killed_server(
    site: Site, server: ShareServer, share: Share, netns: str, version: type[Client]
) -> None:
    with version(netns, IPV6) as client:
        root = folder_of(client, share)
        file = patiently(lambda: client.open(root, "file", create=True))
        client.lock(file, length=10)
        client.write(file, 0, b"before")
        os.kill(
            processes.by_pid_file(site.layout(server).ganesha_pid, GANESHA) or 0, signal.SIGKILL
        )
        site.driver.ensure_server(server, [share])
        client.reconnect()
        with pytest.raises(Nfs4Error, match=r"STALE_STATEID|STALE_CLIENTID|BADSESSION|EXPIRED"):
            client.write(file, 0, b"lost")
        client.recover()
        client.write(file, 0, b"after!")
        assert client.read(file) == b"after!"
        with version(netns, IPV4) as other:
            theirs = patiently(
                lambda: other.open(folder_of(other, share), "file"), meanwhile=client.renew
            )
            with pytest.raises(Nfs4Error, match="DENIED"):
                other.lock(theirs, length=1)


def test_where_from_is_ones_choice(netns: str, share: Share) -> None:
    with Client41(netns, IPV6, source="fd00::20", source_port=0) as client:
        assert (
            client.link.link.getsockname()[0] == "fd00::20"
            and client.link.link.getsockname()[1] > 1023
        )
    with Client40(netns, IPV4) as client:
        assert client.link.link.getsockname()[1] < 1024
    with Client40(netns, IPV4, source="10.0.0.20", source_port=777) as client:
        assert client.link.link.getsockname() == ("10.0.0.20", 777)


def test_raw_bytes_half_requests_and_forged_handles(netns: str, share: Share) -> None:
    half = RawConnection(connect(netns, IPV4), 5)
    half.send(b"\x80\0\0")
    garbage = RawConnection(connect(netns, IPV4), 5)
    garbage.send(b"\xff" * 64)
    with Client41(netns, IPV4) as client:
        with pytest.raises(Nfs4Error, match=r"BADHANDLE|STALE"):
            client.run(putfh(b"forged"), getattr("size"))
        assert client.attributes(folder_of(client, share), "type") == {"type": ops.DIRECTORY}
