"""An installation with real Linux back ends and a real worker in this process, and tenants' clients
that use its shares by NFS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.tables import network_allocations
from abaca.drivers.linux import inventory, namespaces
from abaca.drivers.linux.clients import attach_client
from abaca.drivers.linux.layout import run_path
from abaca.drivers.linux.wires import plugging
from abaca.worker.backends import network_namespace
from tests.contracts.drivers.linux_backend import Loop, probe, unavailable_reason
from tests.operations.scene import allow, available_share, server_of, settled_rules
from tests.stack import Stack, make_conf, sqlite_database

EVERYBODY = ("0.0.0.0/0", "::/0")
Pair = tuple[str, str]


class Site:
    """The installation `stack`. Subnets are given as (network id, subnet id)."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.namespace = network_namespace(stack.conf)

    def share(self, share_network: str, **more: Any) -> str:
        """An available share that everybody may write to; its id."""
        id_ = available_share(self.stack, share_network, **more)
        for everybody in EVERYBODY:
            allow(self.stack, id_, everybody)
        assert settled_rules(self.stack, id_) == "active"
        return id_

    def file_server(self, share_id: str) -> int:
        """The process id of the Ganesha that serves a share; 0 while there is none."""
        file = run_path(self.namespace) / server_of(self.stack, share_id) / "ganesha.pid"
        return int(file.read_text() or 0) if file.exists() else 0

    def client(self, name: str, pair: Pair, *cidrs: str) -> str:
        """The namespace of a tenant's machine with an address in each of these ranges, that no
        server has."""
        taken = set(
            self.stack.ask(
                lambda conn: conn.scalars(sa.select(network_allocations.c.ip_address)).all()
            )
        )
        addresses = []
        for cidr in map(ip_network, cidrs):
            free = next(
                address
                for address in (cidr[number] for number in range(100, 120))
                if str(address) not in taken
            )
            addresses.append(str(ip_interface(f"{free}/{cidr.prefixlen}")))
        netns = f"{self.namespace}-{name}"
        attach_client(self.namespace, pair[0], netns, addresses)
        return netns

    def assert_served(self, netns: str, paths: Sequence[str]) -> None:
        """Written and read by every path."""
        assert paths
        for path in paths:
            assert probe(netns, "write", path, "served", f"by {path}")["ok"], path
            assert probe(netns, "read", path, "served") == {"ok": True, "text": f"by {path}"}

    def own_links(self) -> set[str]:
        """The links in the namespace of the bridges."""
        return set(
            inventory.leftovers(self.namespace, Path(self.stack.conf.state_dir, "worker"))["links"]
        )

    @contextmanager
    def occupied(self, pair: Pair) -> Iterator[None]:
        """Something else has the name of the network's bridge, so that nobody can be plugged in."""
        name = plugging.bridge_name(pair[0])
        namespaces.inside(
            self.namespace,
            lambda links: links.link(
                "add", ifname=name, kind="veth", peer={"ifname": f"x{name}"[:15]}
            ),
        )
        try:
            yield
        finally:
            namespaces.inside(
                self.namespace,
                lambda links: links.link("del", index=links.link_lookup(ifname=name)[0]),
            )


def assert_undisturbed(*loops: Loop) -> None:
    """No client met an error, and all of them worked."""
    for loop in loops:
        assert loop.answer["error_count"] == 0, loop.answer
        assert loop.answer["rounds"] > 5, loop.answer


Install = Callable[..., Site]


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    """See `installing`."""
    with installing(tmp_path) as install:
        yield install


@contextmanager
def installing(folder: Path) -> Iterator[Install]:
    """`install(number, {option: value}, **overrides)`: that many Linux back ends (b1, b2, …),
    served; in the end nothing of them may be left."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    ended: list[Callable[[], None]] = []

    def make(number: int, options: Mapping[str, str] | None = None, **overrides: object) -> Site:
        folder.chmod(0o755)
        url = sqlite_database(folder / "abaca.db")
        state_dir = folder / "state"
        state_dir.mkdir()
        pool = {"share_driver": "linux", "pool_size_gib": "2", "pool_sparse": "true"}
        backends = {f"b{index}": pool | dict(options or {}) for index in range(1, number + 1)}
        stack = Stack(make_conf(state_dir, url, backends, **overrides))
        stack.share_type()
        for name in backends:
            stack.share_type(name, share_backend_name=name)
        site = Site(stack)
        working = stack.working()
        working.__enter__()
        ended.append(lambda: _end(site, lambda: working.__exit__(None, None, None)))
        return site

    yield make
    for end in ended:
        end()


def _end(site: Site, stop: Callable[[], object]) -> None:
    worker = Path(site.stack.conf.state_dir, "worker")
    try:
        stop()
    finally:
        site.stack.close()
        inventory.remove_installation(site.namespace, worker)
    left = {
        kind: found for kind, found in inventory.leftovers(site.namespace, worker).items() if found
    }
    assert not left, f"left on this machine: {left}"
