"""The Ceph cluster of a back end, by an agent (`agent.py`) that is started when it is first asked,
and again when it has ended. What Ceph refuses is a `CephError`, by the system's numbers."""

from __future__ import annotations

import errno
import json
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from abaca.drivers.linux import namespaces
from abaca.errors import BackendError, OutcomeUnknown, Unavailable

PYTHON = "/usr/bin/python3"
PACKAGES = "python3-rados, python3-cephfs, nfs-ganesha-ceph"
START_SECONDS = 30.0
CALL_SECONDS = 60.0
_AGENT = Path(__file__).with_name("agent.py")
_TOLD_BYTES = 500


class CephError(Exception):
    """Ceph, or its client, said no. `number`: of the system's errors; 0 where there is none."""

    def __init__(self, number: int, said: str) -> None:
        self.number = number
        super().__init__(said)

    def sorted(self, doing: str) -> BackendError:
        """As what is to be done next."""
        said = f"{doing}: Ceph says {errno.errorcode.get(self.number, 'no')}: {self}"
        if self.number in (errno.ETIMEDOUT, errno.EAGAIN, errno.ENOTCONN, errno.ESHUTDOWN):
            return OutcomeUnknown(said)
        return OutcomeUnknown(said) if self.number == 0 else Unavailable(said)


class Reached(NamedTuple):
    """How Ceph is reached. `config`: its ceph.conf; `user`: without "client."; `keyring`: a file,
    or nothing where `config` names it; `namespace`: a network namespace."""

    config: str
    user: str
    keyring: str
    filesystem: str
    namespace: str


class Cluster:
    """Threads may ask side by side. `guard`: the driver's, called before each question: a worker
    that was held up in a call makes no users of servers that are others' by now."""

    def __init__(self, reached: Reached, guard: Callable[[], None]) -> None:
        self.reached = reached
        self._guard = guard
        self._lock = threading.Lock()
        self._agent: _Running | None = None

    def mgr(self, prefix: str, **arguments: object) -> Any:
        """A command of the manager's about the volume."""
        command = {"prefix": prefix, "vol_name": self.reached.filesystem, "format": "json"}
        return self.ask("mgr", command | arguments)

    def mon(self, prefix: str, **arguments: object) -> Any:
        return self.ask("mon", {"prefix": prefix, "format": "json", **arguments})

    def about(self) -> dict[str, str]:
        return self._running().about

    def ask(self, call: str, *arguments: object, seconds: float = CALL_SECONDS) -> Any:
        """Raises CephError; Unavailable when Ceph cannot be reached, OutcomeUnknown when it does
        not answer."""
        agent = self._running()
        self._guard()
        try:
            answer = agent.ask(call, arguments).result(seconds)
        except NoAnswer:
            agent.kill()
            raise OutcomeUnknown(f"Ceph did not answer {call} within {seconds:g} s") from None
        if "error" in answer:
            raise CephError(answer["error"], answer["said"])
        return answer["result"]

    def close(self) -> None:
        with self._lock:
            if self._agent is not None:
                self._agent.end()
                self._agent = None

    def _running(self) -> _Running:
        with self._lock:
            if self._agent is None or not self._agent.lives:
                self._agent = _Running(self.reached)
            return self._agent


class _Running:
    """One process of the agent. Raises Unavailable when it does not reach Ceph."""

    def __init__(self, reached: Reached) -> None:
        if not namespaces.exists(reached.namespace):
            raise Unavailable(
                f"option ceph_namespace: there is no network namespace {reached.namespace}"
            )
        self._asking = threading.Lock()
        self._asked: dict[int, Future[dict[str, Any]]] = {0: Future()}
        self._last = 0
        try:
            self._process = subprocess.Popen(
                [
                    *("nsenter", f"--net={namespaces.path_of(reached.namespace)}"),
                    *(PYTHON, "-I", str(_AGENT)),
                    *(reached.config, reached.user, reached.keyring, reached.filesystem),
                    str(int(START_SECONDS)),
                ],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise Unavailable(f"Ceph cannot be reached: {error}") from error
        self._is_killed = False
        started = self._asked[0]
        threading.Thread(target=self._listen, name="ceph", daemon=True).start()
        try:
            first = started.result(START_SECONDS + CALL_SECONDS)
        except NoAnswer:
            self.kill()
            raise Unavailable("Ceph cannot be reached: it does not answer") from None
        if "error" in first:
            self.kill()
            raise Unavailable(first["said"])
        self.about: dict[str, str] = first["result"]

    @property
    def lives(self) -> bool:
        return not self._is_killed and self._process.poll() is None

    def ask(self, call: str, arguments: tuple[object, ...]) -> Future[dict[str, Any]]:
        answer: Future[dict[str, Any]] = Future()
        with self._asking:
            self._last += 1
            self._asked[self._last] = answer
            question = {"number": self._last, "call": call, "arguments": arguments}
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(f"{json.dumps(question)}\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                self._forget(f"{call} could not be asked")
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None and self._process.stderr is not None
        with suppress(ValueError):
            for line in self._process.stdout:
                answer = json.loads(line)
                with self._asking:
                    asked = self._asked.pop(answer["number"], None)
                if asked is not None:
                    asked.set_result(answer)
        complaint = self._process.stderr.read()[-_TOLD_BYTES:].strip()
        lacks = "No module named" in complaint
        with self._asking:
            self._forget(
                f"its packages are missing: install {PACKAGES}"
                if lacks
                else complaint or "it ended"
            )
        self._process.wait()

    def _forget(self, why: str) -> None:
        for asked in self._asked.values():
            asked.set_result({"error": errno.ETIMEDOUT, "said": f"Ceph cannot be reached: {why}"})
        self._asked.clear()

    def end(self) -> None:
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(CALL_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """It is asked nothing more."""
        self._is_killed = True
        self._process.kill()
