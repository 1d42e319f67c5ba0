"""Connections that only take room: silent, half, slow, reset, unread; each from one address,
without credentials unless it says so."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

from tests.attack.api import on_each_database
from tests.attack.api_stage import ApiStage, send, time_passes
from tests.attack.registry import Force, Seen
from tests.raw_http import request

RESET = struct.pack("ii", 1, 0)
HALF_A_BODY = b"POST /v2/types HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
# HTTP/2: preface, SETTINGS, then HEADERS of a POST (static table: :method POST, :scheme http, :path
# /) without its end, then DATA without its end
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex(
    "0000000400000000000000030104000000018386840000010000000000017b"
)


@on_each_database("HTTP/2 with half bodies", waits=True)
def http_2(stage: ApiStage, force: Force) -> Seen:
    """Left behind: these once took the API down until it was told to start again."""
    cpu = time.thread_time()
    with stage.crowd(force.count // 20, HTTP_2) as links:
        hold(links, force.seconds)
    return stage.seen(force, f"{len(links)} connections", time.thread_time() - cpu)


@on_each_database("slow bodies", waits=True)
def slow_bodies(stage: ApiStage, force: Force) -> Seen:
    """A byte each half second."""
    cpu = time.thread_time()
    with stage.crowd(force.count // 10, HALF_A_BODY) as links:
        hold(links, force.seconds * 2, drip=b" ")
    return stage.seen(force, f"{len(links)} connections", time.thread_time() - cpu)


@on_each_database("slow heads", waits=True)
def slow_heads(stage: ApiStage, force: Force) -> Seen:
    """A byte each half second."""
    cpu = time.thread_time()
    with stage.crowd(force.count // 10, b"GET / HTTP/1.1\r\nX-Slow: ") as links:
        hold(links, force.seconds * 2, drip=b"x")
    return stage.seen(force, f"{len(links)} connections", time.thread_time() - cpu)


@on_each_database("silent connections", waits=True)
def silent(stage: ApiStage, force: Force) -> Seen:
    """Ten of them at a time from as many addresses, and as many as there are places from one."""
    cpu = time.thread_time()
    with contextlib.ExitStack() as stack:
        links = stack.enter_context(stage.crowd(force.count // 3))
        for number in range(10):
            links += stack.enter_context(
                stage.crowd(force.count // 100, source=f"127.0.1.{number + 1}")
            )
        hold(links, force.seconds)
    return stage.seen(force, f"{len(links)} connections", time.thread_time() - cpu)


@on_each_database("connections that reset at once")
def resets(stage: ApiStage, force: Force) -> Seen:
    """With a request that then nobody waits for."""
    cpu, began, number = time.thread_time(), time.monotonic(), 0
    while time.monotonic() - began < force.seconds:
        link = stage.connect()
        if link is not None:
            send(link, request("GET", "/"))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            link.close()
            number += 1
    return stage.seen(
        force, f"{number} connections in {force.seconds:g} s", time.thread_time() - cpu
    )


@on_each_database("large answers that nobody reads", waits=True)
def unread(stage: ApiStage, force: Force) -> Seen:
    """Each connection asks for the largest answer that needs no credentials, again and again."""
    cpu = time.thread_time()
    ask = request("GET", "/openapi.json")
    with stage.crowd(force.count // 20, ask * 20) as links:
        for link in links:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        hold(links, force.seconds * 2)
    return stage.seen(force, f"{len(links)} connections", time.thread_time() - cpu)


def hold(links: list[socket.socket], seconds: float, drip: bytes = b"") -> None:
    """Keep them for so long; with `drip`, each sends that twice a second."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for link in links if drip else ():
            send(link, drip)
        for _ in range(5):
            time_passes()
