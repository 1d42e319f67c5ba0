"""Connections of this process that only take up room are closed: those of clients that have too
many, ask for nothing, or take no answers.

Granian shows a connection with its first request only. The kernel shows all of them: they are
sockets among our open files.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread

from abaca.api.door.environment import Proxies, neighbourhood, plain_address

# seconds from when it is seen first until its first request is there, TLS included
_FIRST_REQUEST = 15.0
_SENDING = 20.0  # seconds within which one that has something to be sent takes at least …
_LEAST_BYTES = 20 * 8192  # … so much of it
_LOOK_AT_SENDING = 5.0
_NEW_A_SECOND = 500  # of one address
_MANY = 256  # from so many on it is looked more often
_SOON, _LATER = 0.2, 1.0

_ESTABLISHED = 1  # of the kernel's states of TCP
_ABORT = struct.pack("ii", 1, 0)  # for SO_LINGER: what was not sent is forgotten
# of struct tcp_info: unacked (packets), bytes_acked, notsent_bytes
_TCP_INFO = struct.Struct("=24xI92xQ16xI")


class _Connection:
    """One that is there."""

    def __init__(self, peer: str, client: str, since: float) -> None:
        self.peer = peer  # as Granian writes it
        self.client = client
        self.since = since
        self.sending_since: float | None = None
        self.taken = 0  # bytes, when `sending_since` was set

    def is_stuck(self, info: bytes, now: float) -> bool:
        """Whether the other end takes what is sent too slowly. `info`: struct tcp_info."""
        unacknowledged, taken, unsent = _TCP_INFO.unpack_from(info)
        if not unacknowledged and not unsent:
            self.sending_since = None
        elif self.sending_since is None:
            self.sending_since, self.taken = now, taken
        elif now - self.sending_since >= _SENDING:
            if taken - self.taken < _LEAST_BYTES:
                return True
            self.sending_since, self.taken = now, taken
        return False


class Reader:
    """How much the other end of a connection has taken since this was made. To be released."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._before = self._acknowledged()

    def taken(self) -> int | None:
        """Bytes; None when the connection has ended."""
        if self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED:
            return None
        return self._acknowledged() - self._before

    def release(self) -> None:
        """Stop counting; the connection is left open."""
        self._connection.close()

    def _acknowledged(self) -> int:
        info = self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        return int(_TCP_INFO.unpack(info)[1])


class Connections:
    """Those that came to `port`. `of_one`: the most of one client (an IPv4 address, an IPv6 /64);
    trusted proxies have no limit."""

    def __init__(self, port: int, of_one: int, proxies: Proxies) -> None:
        self._port = port
        self._of_one = of_one
        self._proxies = proxies
        self._known: dict[int, _Connection] = {}  # by inode, in the order in which they came
        self._others: set[int] = set()  # inodes of other sockets
        self._asked: dict[str, float] = {}
        self._second = 0.0
        # connections that brought their first request since then, by address
        self._new: Counter[str] = Counter()
        self._looked_at_sending = 0.0

    def reader(self, peer: str) -> Reader | None:
        """The other end of the connection from `peer`, as it takes what is sent; None when it has
        gone. Looks at all open sockets."""
        for inode, file in _open_sockets():
            one = _handle(file, inode)
            if one is not None:
                found = self._peer(one)
                if found is not None and found[0] == peer:
                    return Reader(one)
                one.close()
        return None

    def watch(self) -> None:
        """Look again and again, in a thread of this process."""
        Thread(target=self._watch, name="connections", daemon=True).start()

    def admit(self, peer: str, now: float) -> bool:
        """The connection from `peer` has brought a request. False when its client makes new ones
        too fast."""
        is_new = peer not in self._asked
        self._asked[peer] = now
        if not is_new:
            return True
        if now - self._second > 1.0:
            self._second, self._new = now, Counter()
        address = peer.rpartition(":")[0]
        self._new[address] += 1
        return self._new[address] <= _NEW_A_SECOND or self._proxies.trust(plain_address(address))

    def look(self, now: float) -> int:
        """Close those that exceed a limit; returns how many there are."""
        files = dict(_open_sockets())
        self._notice(files, now)
        doomed = [
            inode
            for inode, one in self._known.items()
            if one.peer not in self._asked and now - one.since > _FIRST_REQUEST
        ]
        doomed += self._too_many()
        if now - self._looked_at_sending >= _LOOK_AT_SENDING:
            self._looked_at_sending = now
            doomed += self._stuck(files, now)
        for inode in doomed:
            one = _handle(files[inode], inode)
            if one is not None:
                with one, suppress(OSError):  # it has just ended by itself
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                    one.shutdown(socket.SHUT_RDWR)
        return len(self._known)

    def _watch(self) -> None:
        pause, seconds = Event(), _LATER
        try:
            while not pause.wait(seconds):
                seconds = _SOON if self.look(time.perf_counter()) >= _MANY else _LATER
        finally:
            self.watch()  # a bug has ended this thread: another one takes its place

    def _notice(self, files: dict[int, int], now: float) -> None:
        """Connections opened and closed since the last look."""
        self._known = {inode: one for inode, one in self._known.items() if inode in files}
        self._others &= files.keys()
        for inode in files.keys() - self._known.keys() - self._others:
            one = _handle(files[inode], inode)
            if one is not None:
                with one:
                    peer = self._peer(one)
                if peer is None:
                    self._others.add(inode)
                else:
                    self._known[inode] = _Connection(*peer, now)
        here = {known.peer for known in self._known.values()}
        for peer_name, when in list(self._asked.items()):
            # else it may have come since we looked
            if peer_name not in here and now - when > _LATER:
                self._asked.pop(peer_name, None)

    def _peer(self, one: socket.socket) -> tuple[str, str] | None:
        """Name and client of the other end; None unless it is a connection that came to our
        port."""
        try:
            if (
                one.family not in (socket.AF_INET, socket.AF_INET6)
                or one.getsockname()[1] != self._port
            ):
                return None
            host, port, *more = one.getpeername()
        except OSError:  # it listens, or has ended
            return None
        address = plain_address(host)
        if one.family == socket.AF_INET:
            return f"{host}:{port}", address
        zone = f"%{more[1]}" if more[1] else ""
        return f"[{host.partition('%')[0]}{zone}]:{port}", address

    def _too_many(self) -> Iterator[int]:
        """The newest of those who have more than they may have."""
        number: Counter[str] = Counter()
        for inode, one in self._known.items():
            if not self._proxies.trust(one.client):
                client = neighbourhood(one.client)
                number[client] += 1
                if number[client] > self._of_one:
                    yield inode

    def _stuck(self, files: dict[int, int], now: float) -> Iterator[int]:
        for inode, known in self._known.items():
            one = _handle(files[inode], inode)
            if one is not None:
                with one, suppress(OSError):
                    if known.is_stuck(
                        one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size), now
                    ):
                        yield inode


def _open_sockets() -> Iterator[tuple[int, int]]:
    """(inode, file) of each socket that this process has."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed meanwhile
            found = os.fstat(int(name))
            if stat.S_ISSOCK(found.st_mode):
                yield found.st_ino, int(name)


def _handle(file: int, inode: int) -> socket.socket | None:
    """The socket by a file of our own, which stays the same whatever Granian closes meanwhile. None
    when it has gone."""
    try:
        own = os.dup(file)
    except OSError:
        return None
    if os.fstat(own).st_ino == inode:
        return socket.socket(fileno=own)
    os.close(own)
    return None
