"""A client that writes without pause and holds a lock, and sees how long it waits. It does what
Linux does: it connects anew and reclaims."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from tests.nfs4.client import Client41, patiently
from tests.service import wait_until

FILE, DIGITS = "written", 8
PAUSE = 0.02
PATIENCE = 3.0  # for an answer; then it connects anew


@dataclass
class Writer:
    """It writes one number after another. `written`: the last one that was acknowledged; `stall`:
    the longest time between two of them, since it was last set to 0; `pause` is between two."""

    client: Client41
    folder: str
    pause: float = PAUSE
    errors: list[str] = field(default_factory=list)
    written: int = 0
    stall: float = 0.0
    stopping: Event = field(default_factory=Event)

    def run(self) -> None:
        client = self.client
        folder = client.handle_of(self.folder)
        self.file = patiently(lambda: client.open(folder, FILE, create=True))
        self.lock = client.lock(self.file, offset=0, length=DIGITS)
        last = time.monotonic()
        while not self.stopping.is_set():
            number = self.written + 1
            try:
                client.persistently(
                    lambda number=number: patiently(  # type: ignore[misc]
                        lambda: client.write(self.file, 0, f"{number:0{DIGITS}}".encode()), 60
                    )
                )
            except Nfs4Error as error:
                self.errors.append(repr(error))
                return
            self.written, now = number, time.monotonic()
            self.stall, last = max(self.stall, now - last), now
            self.stopping.wait(self.pause)

    def has_gone_on(self, since: int) -> bool:
        """It wrote some more after that number, or met an error."""
        return self.written > since + 10 or bool(self.errors)

    def keeps_its_lock(self, netns: str, address: str) -> bool:
        """It keeps out whoever asks for it from there."""
        with Client41(netns, address) as other:
            folder = other.handle_of(self.folder)
            file = patiently(lambda: other.open(folder, FILE), 60)
            try:
                other.lock(file, offset=0, length=DIGITS)
            except Nfs4Error as error:
                if error.name != "DENIED":
                    raise
                return True
            return False


@contextmanager
def writing(netns: str, path: str, pause: float = PAUSE) -> Iterator[Writer]:
    """One that writes to the share at that path while the block runs."""
    with ExitStack() as undone:
        address, _, folder = path.partition(":/")
        client = undone.enter_context(Client41(netns, address, patience=PATIENCE))
        writer = Writer(client, folder, pause)
        thread = Thread(target=writer.run, daemon=True)
        thread.start()
        try:
            wait_until(lambda: writer.has_gone_on(0), lambda: "the writer", 10)
            yield writer
        finally:
            writer.stopping.set()
            thread.join(90)
        assert not thread.is_alive()
