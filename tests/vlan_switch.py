"""A switch in user space, with VLANs: what a real network has beside the machine, for tests on
kernels without VLAN links and bridges that know tags.

Its ports are TAP interfaces of machines (`Machine`), and cables to other switches. As a real one it
learns MAC addresses per VLAN, floods what it does not know, and drops what comes with a tag that a
port is not a member of. Priority tags (VLAN 0) count as none. There is no spanning tree: connect
switches in a tree.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import struct
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from abaca.drivers.linux import namespaces

_TUN = "/dev/net/tun"
_TUNSETIFF, _TUNSETCARRIER = 0x400454CA, 0x400454E2
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_LONGEST = 65536
_TAGGED = b"\x81\x00"
_VLAN_ID = 0x0FFF


class Port(NamedTuple):
    """`untagged`: the VLAN of frames without a tag; None: such frames are dropped. `tagged`: the
    VLANs whose frames have a tag here."""

    name: str
    handle: int
    untagged: int | None
    tagged: frozenset[int]


class Switch:
    """Runs in a thread of its own until `stop`. `carried`: (port, tag or None) of every frame that
    a port took or sent."""

    def __init__(self) -> None:
        self.carried: set[tuple[str, int | None]] = set()
        self._ports: dict[int, Port] = {}
        self._learnt: dict[tuple[int, bytes], int] = {}
        self._selector = selectors.DefaultSelector()
        self._end, self._ended = os.pipe()
        self._selector.register(self._end, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)
        self._thread.start()

    def access(self, namespace: str, interface: str, vlan: int) -> None:
        """A port for a machine that knows nothing of VLANs: the TAP `interface`, made in the
        machine's network namespace. It is down until somebody raises it."""
        self._add(Port(interface, _tap(namespace, interface), vlan, frozenset()))

    def trunk(
        self, namespace: str, interface: str, vlans: Collection[int], native: int | None = None
    ) -> None:
        """A port for a machine that tags by itself. `native`: the VLAN of its untagged frames."""
        self._add(Port(interface, _tap(namespace, interface), native, frozenset(vlans)))

    def cable(self, other: Switch, name: str, vlans: Collection[int]) -> None:
        """A cable to another switch, a port `name` at both ends, on which all frames have a tag."""
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for switch, end in zip((self, other), ends, strict=True):
            end.setblocking(False)
            switch._add(Port(name, end.detach(), None, frozenset(vlans)))

    def plug(self, interface: str, *, is_in: bool) -> None:
        """Pull a machine's cable out of its port, or put it in again: its carrier goes and
        comes."""
        (port,) = (port for port in self._ports.values() if port.name == interface)
        fcntl.ioctl(port.handle, _TUNSETCARRIER, struct.pack("i", is_in))

    def stop(self) -> None:
        """Its TAP interfaces go, too."""
        os.write(self._ended, b".")
        self._thread.join()
        self._selector.close()
        for handle in (*self._ports, self._end, self._ended):
            os.close(handle)

    def _add(self, port: Port) -> None:
        self._ports[port.handle] = port
        self._selector.register(port.handle, selectors.EVENT_READ)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._end:
                    return
                self._take(self._ports[key.fd])

    def _take(self, port: Port) -> None:
        try:
            frame = os.read(port.handle, _LONGEST)
        except BlockingIOError:
            return
        except OSError:  # the machine is gone, and its interface with it
            self._selector.unregister(port.handle)
            return
        tag, plain = split(frame)
        vlan = tag or port.untagged
        self.carried.add((port.name, tag))
        if vlan is None or (tag and tag not in port.tagged):
            return
        target, source = plain[:6], plain[6:12]
        if not source[0] & 1:
            self._learnt[vlan, source] = port.handle
        known = None if target[0] & 1 else self._learnt.get((vlan, target))
        for out in list(self._ports.values()):
            if out.handle != port.handle and known in (None, out.handle):
                self._send(out, vlan, plain)

    def _send(self, port: Port, vlan: int, plain: bytes) -> None:
        if vlan == port.untagged:
            tag, frame = None, plain
        elif vlan in port.tagged:
            tag, frame = vlan, tagged(plain, vlan)
        else:
            return
        # one that is down, or takes no more just now, loses it
        with suppress(OSError):
            os.write(port.handle, frame)
            self.carried.add((port.name, tag))


def split(frame: bytes) -> tuple[int | None, bytes]:
    """The VLAN that an Ethernet frame names, if it does, and the frame without its tag."""
    if frame[12:14] != _TAGGED:
        return None, frame
    vlan = struct.unpack("!H", frame[14:16])[0] & _VLAN_ID
    return vlan or None, frame[:12] + frame[16:]


def tagged(frame: bytes, vlan: int) -> bytes:
    """An Ethernet frame with a tag."""
    return frame[:12] + _TAGGED + struct.pack("!H", vlan) + frame[12:]


def _tap(namespace: str, interface: str) -> int:
    """A TAP interface that is there as long as its handle, which does not block, is open."""

    def make() -> int:
        handle = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH22x", interface.encode(), _IFF_TAP | _IFF_NO_PI)
        fcntl.ioctl(handle, _TUNSETIFF, request)
        return handle

    return namespaces.inside(namespace, lambda _links: make())
