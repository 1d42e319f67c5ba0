"""A Linux back end with two tenants on one pool, each with a file server; a client of the first one
is the attacker."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abaca.drivers.linux import processes
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.drivers.linux.file_services.nfs.xdr import Malformed
from abaca.values import Share, ShareServer
from tests.attack.honest import Honest, Watched
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import Site, path, rule
from tests.nfs4.client import Client41

ADDRESSES = {"attacked": ("10.0.0.5", "fd00::5"), "neighbour": ("10.9.0.5", "fd09::5")}
NETWORKS = {"attacked": ("10.0.0", "fd00:"), "neighbour": ("10.9.0", "fd09:")}


# of the attacker, who may have taken any that are free
SOURCES = [f"10.0.0.{number}" for number in range(100, 116)]


class DataStage:
    """`attacked` and `neighbour` are servers of two tenants. The attacker may use `open_share` of
    the attacked one, and `closed_share` not."""

    def __init__(self, driver: LinuxDriver) -> None:
        self.driver = driver
        self.site = Site(driver)
        self.attacked = self._server("attacked")
        self.neighbour = self._server("neighbour")
        self.attacker = self.site.client(
            "attacker",
            "attacked",
            "10.0.0.66/24",
            "fd00::66/64",
            *(f"{source}/24" for source in SOURCES),
        )
        rules = [rule("10.0.0.64/26"), rule("fd00::66")]
        self.open_share = self.site.share(
            self.attacked, rules=rules, extra_specs={"nfs:privileged_ports": "false"}
        )
        self.closed_share = self.site.share(self.attacked, rules=[rule("10.0.0.20")])
        self.foreign_share = self.site.share(self.neighbour)
        self._honest = {
            "attacked": self._honest_client("attacked", self.closed_share, "10.0.0.20"),
            "neighbour": self._honest_client("neighbour", self.foreign_share, "10.9.0.20"),
        }

    def address(self, version: int = 4) -> str:
        """The attacked server's."""
        return ADDRESSES["attacked"][version == 6]

    def watched(self) -> dict[str, Watched]:
        """What the honest clients saw since this was asked last, by the server that they use."""
        return {name: client.so_far() for name, client in self._honest.items()}

    def newcomer(self) -> str:
        """What becomes of a client that was not there yet: it connects, mounts the closed share and
        reads its root's attributes."""
        began = time.monotonic()
        try:
            with Client41(self.honest_machine("attacked"), self.address(), patience=10) as client:
                client.attributes(
                    client.handle_of(path(self.closed_share).split(":", 1)[1]), "fileid"
                )
        except (OSError, Nfs4Error, Malformed) as error:
            return f"fails: {error}"
        return f"is served in {(time.monotonic() - began) * 1000:.0f} ms"

    def ganesha(self, server: ShareServer | None = None) -> int:
        """The process of a server, the attacked one's unless another is named; 0 when it does not
        run."""
        return (
            processes.by_pid_file(self.site.layout(server or self.attacked).ganesha_pid, GANESHA)
            or 0
        )

    def memory(self, pid: int) -> int:
        """Bytes in use by a process."""
        return _status(pid, "VmRSS") * 1024

    def threads(self, pid: int) -> int:
        return _status(pid, "Threads")

    def files(self, pid: int) -> int:
        """File descriptors that a process has open."""
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())

    def log_bytes(self) -> int:
        """What the attacked server has logged, as far as it is still there."""
        return sum(file.stat().st_size for file in self.site.layout(self.attacked).logs.iterdir())

    def clear(self) -> None:
        for client in self._honest.values():
            client.end()
        self.site.clear()

    def _server(self, name: str) -> ShareServer:
        ipv4, ipv6 = ADDRESSES[name]
        return self.site.server((name, f"{ipv4}/24"), (name, f"{ipv6}/64"))

    def honest_machine(self, name: str) -> str:
        """Where the honest client of a server is."""
        return linux_backend.client_namespace(self.driver, f"honest-{name}")

    def _honest_client(self, name: str, share: Share, address: str) -> Honest:
        netns = self.site.client(
            f"honest-{name}", name, f"{address}/24", f"{NETWORKS[name][1]}:20/64"
        )
        assert netns == self.honest_machine(name)
        server, folder = path(share).split(":", 1)
        return Honest("tests.attack.honest", netns, server, folder)


@contextmanager
def data_stage() -> Iterator[DataStage]:
    with tempfile.TemporaryDirectory(prefix="abaca-attack-") as folder:
        driver = linux_backend.make_linux_driver(Path(folder))
        try:
            stage = DataStage(driver)
            try:
                yield stage
            finally:
                stage.clear()
        finally:
            linux_backend.cleanup(driver)


def _status(pid: int, field: str) -> int:
    """A number of /proc/PID/status; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)
