"""LDAP servers that mean no good, run in a client's network namespace: `python hostile_ldap.py HOW
PORT`.

silent: takes connections and says nothing. drip: a byte a second. loud: refuses the bind with 64
MiB of bytes that are no text. endless: answers the search with entries and never ends it.
"""

from __future__ import annotations

import socket
import sys
from threading import Event, Thread

_never = Event()


def tlv(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


def message(number: int, operation: bytes) -> bytes:
    return tlv(0x30, tlv(0x02, bytes([number])) + operation)


def bound(code: int, text: bytes) -> bytes:
    return message(1, tlv(0x61, tlv(0x0A, bytes([code])) + tlv(0x04, b"") + tlv(0x04, text)))


def serve(connection: socket.socket, how: str) -> None:
    if how == "silent":
        _never.wait(300)
    elif how == "drip":
        for byte in bound(0, b"") * 10:
            connection.send(bytes([byte]))
            _never.wait(1)
    elif how == "loud":
        connection.sendall(bound(49, b"\xff\x1b[2J\n" * (64 * 1024 * 1024 // 6)))
    elif how == "endless":
        connection.recv(4096)
        connection.sendall(bound(0, b""))
        connection.recv(4096)
        entry = message(2, tlv(0x64, tlv(0x04, b"dc=example,dc=org") + tlv(0x30, b"")))
        while True:
            connection.sendall(entry * 1000)


def main(how: str, port: int) -> None:
    with socket.create_server(
        ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
    ) as listener:
        print("ready", flush=True)
        while True:
            Thread(target=serve, args=(listener.accept()[0], how), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
