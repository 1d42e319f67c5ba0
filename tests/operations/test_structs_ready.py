"""An API process or a worker that has just started is asked by many threads at once: what msgspec
has to work out before it can decode a struct has been worked out by then."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest

from abaca import struct_types
from abaca.api.app import create_app
from tests.databases import SqliteDatabases
from tests.stack import Stack, initialise, make_conf

THREADS = 6


def start_api(stack: Stack) -> None:
    create_app(stack.conf, stack.engine)


def start_worker(stack: Stack) -> None:
    with stack.working():
        pass


def structs(parent: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    for struct in parent.__subclasses__():
        yield struct
        yield from structs(struct)


def decode_at_once(start: Callable[[Stack], None], state_dir: Path, url: str) -> None:
    """In a process of its own, since a fault ends that: several threads decode each struct."""
    start(Stack(make_conf(state_dir, url)))
    sys.setswitchinterval(1e-6)
    barrier = Barrier(THREADS)

    def decode(struct: type[msgspec.Struct]) -> None:
        barrier.wait()
        with suppress(msgspec.ValidationError):
            msgspec.convert(
                dict.fromkeys(struct.__struct_encode_fields__, "x"), struct, strict=False
            )

    with ThreadPoolExecutor(THREADS) as pool:
        for struct in dict.fromkeys(structs()):
            list(pool.map(decode, [struct] * THREADS))


def test_a_struct_that_nobody_can_decode_keeps_nothing_from_starting() -> None:
    """A plug-in may have one, which it only writes."""
    fields: list[tuple[str, Any]] = [("member", "Nowhere")]
    written = msgspec.defstruct("Written", fields)
    struct_types.make_ready()
    assert msgspec.json.encode(written(member=1)) == b'{"member":1}'


@pytest.mark.parametrize("start", [start_api, start_worker])
def test_threads_decode_structs_at_once(
    start: Callable[[Stack], None], sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    url = sqlite_databases.create_from(initialise)
    process = multiprocessing.get_context("spawn").Process(
        target=decode_at_once, args=(start, tmp_path, url)
    )
    process.start()
    process.join()
    assert process.exitcode == 0, "negative: it was ended by that signal"
