"""The seam of file services: who speaks to the clients of share servers, one package a protocol.

`FileServices` is a back end's, `FileService` one share server's. They know nothing of pools and
networks: what they publish is mounted for them, at `ServerLayout.mount_point(id)`, and the server's
network namespace, `ServerLayout.namespace`, is made for them. Ids are those of share instances and
snapshot instances. Every method may be repeated, and raises BackendErrors, sorted by what to do
next.

The contract suite: tests/contracts/seams/test_file_services.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from abaca.drivers.linux.layout import NO_SHARE, ServerLayout
from abaca.drivers.linux.storage import Source
from abaca.values import (
    AccessRule,
    Clients,
    ExportChoice,
    ExportLocation,
    Finding,
    NetworkInfo,
    Share,
    Snapshot,
)

PROOF_OWN, PROOF_OTHER = f"{NO_SHARE}own", f"{NO_SHARE}other"
"""What is in the pool for the proof, by id: clients are given the first, and aim at the
second."""


class Export(NamedTuple):
    """A share, or a mountable snapshot, which is read only, with the rules by which clients may use
    it: none means nobody.

    `extra_specs`: of the share's type. `choice`: on which of `networks`, those of its server, it is
    exported. `name`: what clients know it by in place of its id. `source`: where its data are that
    are not mounted.
    """

    id: str
    access_rules: Sequence[AccessRule] = ()
    extra_specs: Mapping[str, str] = {}
    is_snapshot: bool = False
    choice: ExportChoice = ExportChoice()
    networks: Sequence[NetworkInfo] = ()
    name: str = ""
    source: Source | None = None

    @classmethod
    def of(
        cls,
        what: Share | Snapshot,
        networks: Sequence[NetworkInfo],
        access_rules: Sequence[AccessRule] | None = None,
    ) -> Export:
        """Of a share or snapshot on a server with these networks; by its own rules, or by these."""
        is_snapshot = isinstance(what, Snapshot)
        share = what.share if isinstance(what, Snapshot) else what
        rules = what.access_rules if access_rules is None else access_rules
        choice = share.export_choice
        name = "" if is_snapshot else share.mount_point_name or ""
        return cls(what.id, rules, share.extra_specs, is_snapshot, choice, networks, name)

    @property
    def addresses(self) -> list[str] | None:
        """The server's addresses at which it is exported; None: at all of them, also those to
        come."""
        if self.choice.is_free:
            return None
        return [
            allocation.ip_address
            for info in self.choice.of(self.networks)
            for allocation in info.network_allocations
        ]


class FileService(ABC):
    """Of one share server. Callers hold the server's lock, but for `serves` and `clients`."""

    @abstractmethod
    def prepare(self) -> None:
        """Make sure of the folders that the service works in, and of the one that shares are
        mounted in.

        Ends the service when it could not see what is mounted from now on; `ensure_running` brings
        it back.
        """

    @abstractmethod
    def close_to_strangers(self) -> None:
        """Let those clients reach the service at all whom the rules of a published export admit,
        and nobody else.

        Called when the namespace is there, before anybody can reach it.
        """

    @abstractmethod
    def ensure_running(self) -> bool:
        """Start what does not run, or hangs; True when it was to be started. Raises Unavailable
        with a reason when it does not come up."""

    @abstractmethod
    def restart(self) -> bool:
        """As `ensure_running`, with what was published before. False, and nothing done, where
        nothing was ever started."""

    @abstractmethod
    def serves(self, blame: Callable[[], bool]) -> bool:
        """Whether it serves clients now. Each call is a probe, bounded in time; of one that lives
        and has left a probe without an answer True is said until that has happened several times in
        a row. `blame`: asked then; False when something else is the reason."""

    @abstractmethod
    def clients(self) -> Clients:
        """Who is connected now, within about a second. Asked without the lock, beside everything
        else. Raises Unavailable when the service does not run."""

    @abstractmethod
    def findings(self) -> Iterator[Finding]:
        """Whether it runs and answers, as people are told. Changes nothing; asked without the
        lock."""

    @abstractmethod
    def export_findings(
        self, export_id: str, address: str, client: str | None
    ) -> Iterator[Finding]:
        """Whether an export is served at the server's address, and whether `client` is let in
        there. Changes nothing; asked without the lock."""

    @abstractmethod
    def stop(self) -> None:
        """End it with everything that belongs to it. Nothing there is success; what was published
        is published at the next start."""

    @abstractmethod
    def publish(self, exports: Sequence[Export], newly_mounted: Collection[str]) -> dict[str, str]:
        """Have clients use these by exactly their rules, others as before, and start the service
        when it does not run.

        `newly_mounted`: ids of those at whose mount point there was something else, or nothing,
        before. Returns the rules that cannot be enforced, by id, with the reason; they grant
        nothing. What fails with one export keeps none of the others from being published, and is
        raised in the end.
        """

    @abstractmethod
    def published(self) -> set[str]:
        """Ids of what is published, running or not."""

    @abstractmethod
    def withdraw(self, export_id: str) -> None:
        """Publish it no longer, in use or not: its mount point is free to be unmounted. Nothing
        there is success."""

    @abstractmethod
    def withdraw_unknown(self) -> None:
        """Have the running service serve nothing that is not published."""

    @abstractmethod
    def release(self, export_id: str) -> None:
        """Have the running service release an export's mount point, which stays published:
        `publish` brings it back."""

    @abstractmethod
    def clients_paused(self) -> AbstractContextManager[Pause]:
        """While the block runs, which must be short, the server's clients wait and see no error,
        whatever is released and published in it."""

    @abstractmethod
    def resume_clients(self) -> None:
        """End a pause that a worker which died in `clients_paused` has left."""


class Pause(Protocol):
    """Clients wait."""

    def require_kept(self) -> None:
        """Raises Unavailable unless nothing that clients asked for has been done since it began."""


class FileServices(ABC):
    """Of one back end."""

    @abstractmethod
    def of(self, server: ServerLayout, counts: Callable[[], Path | None]) -> FileService:
        """The service of a share server. `counts`: the pool's of that server, see `Pool.counts`;
        asked when the service is started."""

    @abstractmethod
    def deaths(self, seconds: float) -> list[str]:
        """Wait, at most `seconds`, until services end by themselves; returns the ids of their share
        servers, each death once."""

    @abstractmethod
    def proof_export(self) -> Export:
        """PROOF_OWN, with the rules by which the proof may use it."""

    @abstractmethod
    def prove(self, server: ServerLayout, numbers: Mapping[str, int]) -> None:
        """Ask a running service, as a hostile client would, whether its walls hold. Raises
        Unavailable, naming what is wrong.

        `numbers`: of PROOF_OWN and PROOF_OTHER, by which file handles tell the data of one share
        from that of another.
        """

    @abstractmethod
    def path(self, address: str, ip_version: int, export: Export) -> str:
        """Under which clients reach an export at an address of its server."""

    def locations(
        self,
        export: Export,
        known: Sequence[ExportLocation] = (),
    ) -> list[ExportLocation]:
        """Of an export, in the order of its server's subnets that are chosen for it; the first of
        each IP version is preferred. On a subnet that drains only those that are `known`
        already."""
        found: list[ExportLocation] = []
        versions: set[int] = set()
        known_paths = {location.path for location in known}
        for info in export.choice.of(export.networks):
            version = info.subnet.ip_version
            for allocation in info.network_allocations:
                path = self.path(allocation.ip_address, version, export)
                if info.is_draining and path not in known_paths:
                    continue
                found.append(
                    ExportLocation(path=path, ip_version=version, preferred=version not in versions)
                )
                versions.add(version)
        return found
