"""The RSGI application that Granian calls, around the WSGI application. What it answers by itself:
/healthcheck, and refusals.

A request without a body whose credentials are known goes straight to the threads. All others go
through the event loop, which waits for their bodies and their credentials, and drops those whose
clients have gone.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any
from wsgiref.types import WSGIApplication

from granian import _futures
from granian._granian import RSGIProtocolClosed

from abaca import log_context
from abaca.api import faults, metrics
from abaca.api.audit import Audit
from abaca.api.authenticator import Authenticator
from abaca.api.door import bodies, environment
from abaca.api.door.bodies import Bodies
from abaca.api.door.connections import Connections, Reader
from abaca.api.door.environment import Proxies
from abaca.api.door.large_answers import LARGE, LargeAnswers
from abaca.api.door.refusals import BrokenBody, Busy, ClientGone, TooSlow
from abaca.api.door.threads import RequestThreads
from abaca.api.faults import TooLarge
from abaca.api.priority import is_background
from abaca.errors import CallerError

LOG = logging.getLogger(__name__)

HEALTHCHECK = "/healthcheck"

_AGAIN = 0.05  # seconds between two looks whether a long answer can go on
_UNTAKEN = 256 * 1024  # bytes of it that may be under way
_LOOK_SECONDS = 1.0
_LARGE_BYTES = 256 * 1024 * 1024  # of large answers that come in one piece, under way at once

Headers = list[tuple[str, str]]

_TOO_OFTEN: Headers = [("retry-after", "1"), ("connection", "close")]


class Door:
    """`open_paths` need no credentials. The threads are made in Granian's worker process, after the
    fork."""

    def __init__(
        self, app: WSGIApplication, authenticator: Authenticator, open_paths: Collection[str], *,
         threads: int, most_bytes: int, proxies: Proxies,
        connections: Connections, audit: Audit,
    ) -> None:  # fmt: skip
        self._app = app
        self._authenticator = authenticator
        self._open_paths = frozenset(open_paths)
        self._number_of_threads = threads
        self._bodies = Bodies(most_bytes)
        self._proxies = proxies
        self._connections = connections
        self._audit = audit
        self._large_answers = LargeAnswers(_LARGE_BYTES)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads = RequestThreads(self._number_of_threads)
        self._background = RequestThreads(1)
        self._connections.watch()
        _shorten_the_way(self.at_once)

    def at_once(self, scope: Any, protocol: Any) -> bool:
        """Answer, or have a thread answer, if that needs no waiting for the client or its
        credentials. May be called in any thread."""
        began = time.perf_counter()
        if self._is_answered(scope, protocol, began):
            return True
        try:
            environ = environment.make(scope, self._proxies)
            threads = self._threads_for(environ)
            if bodies.is_announced(environ) or threads.are_behind() or not self._is_known(environ):
                return False
            threads.carry_out(
                environment.neighbourhood(environ["REMOTE_ADDR"]),
                partial(self._answer, environ, protocol, scope.client),
            )
        except CallerError as refusal:
            self._refuse(scope, protocol, refusal, began)
        return True

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer. Granian takes the end of this for the end of the answer."""
        began = time.perf_counter()
        if self._is_answered(scope, protocol, began):
            return
        gone = asyncio.ensure_future(_disconnection(protocol))
        try:
            await self._in_turn(
                environment.make(scope, self._proxies), protocol, scope.client, gone
            )
        except ClientGone:
            pass
        except CallerError as refusal:
            self._refuse(scope, protocol, refusal, began)
        finally:
            gone.cancel()

    def _is_answered(self, scope: Any, protocol: Any, began: float) -> bool:
        """Answer what needs no look at the rest: who comes too often, and the health check."""
        if not self._connections.admit(scope.client, began):
            protocol.response_bytes(503, _TOO_OFTEN, b"")
            return True
        if scope.path != HEALTHCHECK or scope.method != "GET":
            return False
        protocol.response_bytes(
            200,
            [("content-type", "text/plain; charset=utf-8"), *_names(log_context.new_request_id())],
            b"OK",
        )
        metrics.count("GET", HEALTHCHECK, 200, time.perf_counter() - began)
        return True

    async def _in_turn(
        self, environ: dict[str, Any], protocol: Any, peer: str, gone: asyncio.Future[None]
    ) -> None:
        """Wait for what is needed, then for a thread. `peer`: the connection's other end, as
        Granian writes it."""
        client = environment.neighbourhood(environ["REMOTE_ADDR"])
        if bodies.is_announced(environ):
            body = await self._bodies.read(protocol, environ, client)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        if not self._is_known(environ):
            await self._authenticator.prepare(environ, client, gone)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Future[None] | None] = loop.create_future()

        def answer() -> None:
            if not answered.cancelled():
                sending = self._answer(environ, protocol, peer)
                loop.call_soon_threadsafe(_settle, answered, sending)

        self._threads_for(environ).carry_out(client, answer)
        waited: set[asyncio.Future[Any]] = {answered, gone}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if answered.done() and (sending := answered.result()) is not None:
            await asyncio.wrap_future(sending)
        answered.cancel()

    def _threads_for(self, environ: dict[str, Any]) -> RequestThreads:
        """Those that carry it out: what can wait has one thread of its own, and takes none of the
        others'."""
        return self._background if is_background(environ) else self._threads

    def _is_known(self, environ: dict[str, Any]) -> bool:
        return environ["PATH_INFO"].rstrip("/") in self._open_paths or self._authenticator.is_known(
            environ
        )

    def _answer(self, environ: dict[str, Any], protocol: Any, peer: str) -> Future[None] | None:
        """Call the application; in a thread. What is returned is done when a body that comes in
        parts has been sent; None: all has."""
        environ.setdefault("wsgi.input", io.BytesIO())
        said: list[tuple[str, Headers]] = []
        body = self._app(environ, lambda status, headers, *_: said.append((status, headers)))  # type: ignore[arg-type]
        status, headers = said[0]
        client = environment.neighbourhood(environ["REMOTE_ADDR"])
        if isinstance(body, list):
            whole = b"".join(body)
            if len(whole) >= LARGE and not self._has_room_for(len(whole), client, peer):
                _say_busy(protocol)
            else:
                protocol.response_bytes(int(status[:3]), headers, whole)
            return None
        reader = self._connections.reader(peer)
        if reader is None:  # the client has gone, or no file can be opened
            _say_busy(protocol)
            return None
        transport = protocol.response_stream(int(status[:3]), headers)
        return asyncio.run_coroutine_threadsafe(
            self._send(transport, iter(body), client, reader, self._threads_for(environ)),
            self._loop,
        )

    def _has_room_for(self, size: int, client: str, peer: str) -> bool:
        """Whether an answer of that size may be given to Granian, which keeps it until it is
        taken."""
        reader = self._connections.reader(peer)
        if reader is None or not self._large_answers.admit(client, reader, size):
            return False
        self._loop.call_soon_threadsafe(self._look_at_large_answers)
        return True

    def _look_at_large_answers(self) -> None:
        """Again and again while there are any: a reader keeps a file of its connection."""
        if self._large_answers.look():
            self._loop.call_later(_LOOK_SECONDS, self._look_at_large_answers)

    async def _send(
        self,
        transport: Any,
        parts: Iterator[bytes],
        client: str,
        reader: Reader,
        threads: RequestThreads,
    ) -> None:
        """Send part after part. One of `threads` makes each, when most of those before have been
        taken; none waits for the client.

        Granian itself keeps whatever it is given, however slowly that is taken.
        """
        sent = 0
        try:
            while part := await _made(parts, client, threads):
                await transport.send_bytes(part)
                sent += len(part)
                while (taken := reader.taken()) is not None and sent - taken > _UNTAKEN:
                    await asyncio.sleep(_AGAIN)
                if taken is None:
                    return  # the client has gone
        except RSGIProtocolClosed:
            return  # the same
        finally:
            reader.release()

    def _refuse(self, scope: Any, protocol: Any, refusal: CallerError, began: float) -> None:
        request_id, seconds = log_context.new_request_id(), time.perf_counter() - began
        metrics.count(scope.method, "none", refusal.status, seconds)
        with log_context.working_for(request_id):  # first: who has the answer finds the line
            address = environment.plain_address(scope.client.rpartition(":")[0])
            self._audit.refused(scope.method, scope.path, address, refusal.status, seconds)
        protocol.response_bytes(refusal.status, *_answer_to(refusal, request_id))


async def _made(parts: Iterator[bytes], client: str, threads: RequestThreads) -> bytes:
    """The next part, empty after the last."""
    made: Future[bytes] = Future()

    def make() -> None:
        part = b""
        try:
            part = next(parts, b"")
        finally:  # a bug ends the answer, and then this thread
            made.set_result(part)

    while True:
        try:
            threads.carry_out(client, make)
        except Busy:
            await asyncio.sleep(_AGAIN)
        else:
            return await asyncio.wrap_future(made)


def _say_busy(protocol: Any) -> None:
    busy = Busy()
    protocol.response_bytes(busy.status, *_answer_to(busy, log_context.new_request_id()))


async def _disconnection(protocol: Any) -> None:
    await protocol.client_disconnect()


def _settle(answered: asyncio.Future[Future[None] | None], sending: Future[None] | None) -> None:
    if not answered.done():
        answered.set_result(sending)


def _answer_to(refusal: CallerError, request_id: str) -> tuple[Headers, bytes]:
    headers: Headers = [("content-type", "application/json"), *_names(request_id)]
    if isinstance(refusal, Busy):
        headers.append(("retry-after", "1"))
    if isinstance(refusal, TooLarge):
        headers.append(("retry-after", "0"))
    if isinstance(refusal, TooLarge | TooSlow | BrokenBody):
        headers.append(("connection", "close"))  # what still comes of the body is not waited for
    message = faults.naming_request(refusal.status, refusal.message, request_id)
    return headers, faults.fault(refusal.status, message)


def _names(request_id: str) -> Headers:
    return [("x-openstack-request-id", request_id), ("x-compute-request-id", request_id)]


def _shorten_the_way(at_once: Callable[[Any, Any], bool]) -> None:
    """Ask `at_once` where Granian has a request in hand, before it makes a task of it: that saves
    two hops between threads.

    This replaces a function that Granian keeps to itself. If it is not as we know it, all requests
    go through the event loop.
    """
    original = getattr(_futures, "_cbsched_aioschedule", None)
    if original is None or list(inspect.signature(original).parameters) != ["loop", "ctx", "cb"]:
        LOG.warning(
            "this release of Granian schedules requests in another way: the API is somewhat slower"
        )
        return

    def scheduling(loop: Any, ctx: Any, cb: Any) -> Callable[[Any], None]:
        schedule = original(loop, ctx, cb)

        def schedule_or_answer(watcher: Any) -> None:
            if not at_once(watcher.scope, watcher.proto):
                schedule(watcher)

        return schedule_or_answer

    _futures._cbsched_aioschedule = scheduling
