"""See which other hosts of a shared back end are dead, and have their share servers taken over: the
switch `[failover] enabled`.

A lease that has ended is no more than a reason to look: shares are served without a worker. The
host must answer nowhere, too, at each look for `delay_seconds`; and it counts only as far as this
process has seen it answer while its worker lived. So a worker that has just started, as all do
after an outage of the database, takes nobody for dead, nor does one whose questions were never
answered. Times are measured by the monotonic clock. A look may last as long as its answers take;
what was found is forgotten when one fails, or when others were not watched for too long, because
this process was held up, or its database. Who hears of nobody, of two or more, is more likely
alone itself: if no other worker lives, or one lives that answered before.

Why a host whose worker does not live is left alone is told in the log, and with the host.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.server_moves import failovers
from abaca.domain.server_moves.failovers import Peer
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError, Conflict
from abaca.values import Answers
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)

LOOKS = 2
"""Within the delay, after the first one."""

ALONE = "no other host answers here: perhaps it is this one that is cut off"

Place = tuple[str, str]  # host@backend, what its driver has named


@dataclass
class _Seen:
    """Of a peer. `answered`: where, while its worker lived. `lost_at`, `silent_at`: since when
    without a break its lease has ended, and it answers nowhere; `looks`: how many have found that.
    `told`: why it is left alone."""

    answered: set[Place] = field(default_factory=set)
    lost_at: float | None = None
    silent_at: float | None = None
    looks: int = 0
    told: str | None = None


class DeadHosts:
    """For the worker of `runtime`. `ready()`: host@backend → the drivers of its shared back ends
    that are up, which alone can tell, and shut out."""

    def __init__(
        self,
        engine: Engine,
        runtime: Runtime,
        ready: Callable[[], Mapping[str, ShareDriver]],
        *,
        delay_seconds: float,
        pause_seconds: float,
    ) -> None:
        self._engine = engine
        self._runtime = runtime
        self._ready = ready
        self._delay = delay_seconds
        self._pause = pause_seconds
        self._seen: dict[str, _Seen] = {}
        self._awake_at = -math.inf

    @property
    def interval(self) -> float:
        return self._delay / LOOKS

    def look(self) -> None:
        """At all others, once."""
        with ExitStack() as broken_off:
            broken_off.callback(self._forget_silence)
            with read(self._engine) as conn:
                peers = failovers.peers(conn, self._runtime.worker_host)
            if self._was_held_up():
                self._forget_silence()
            began = time.monotonic()
            found = self._ask(peers)
            if found is None:
                return
            broken_off.pop_all()
        (answering, unasked), asked = found, time.monotonic()
        dead = []
        for peer in peers:
            seen = self._seen.setdefault(peer.name, _Seen())
            if peer.lives or peer.is_fenced or not peer.servers:
                seen.lost_at = seen.silent_at = seen.told = None
                if peer.lives:
                    seen.answered = (seen.answered | answering) & _places(peer)
                    self._tell(peer, None)
            elif self._is_dead(peer, seen, answering, unasked, (began, asked)):
                dead.append(peer)
        for peer in dead:
            if not answering and self._may_be_cut_off(peers):
                self._leave(peer, ALONE)
            else:
                self._fail_over(peer)

    def _may_be_cut_off(self, peers: Collection[Peer]) -> bool:
        """This host itself, if nobody answers it. A peer that never answered here, but lives, says
        nothing about that."""
        others = [peer for peer in peers if not peer.is_fenced]
        living = [self._seen[peer.name] for peer in others if peer.lives]
        return len(others) > 1 and (not living or any(seen.answered for seen in living))

    def _is_dead(
        self,
        peer: Peer,
        seen: _Seen,
        answering: set[Place],
        unasked: Mapping[Place, str],
        look: tuple[float, float],
    ) -> bool:
        """Whether it has been so for long enough; if not, it is told what speaks against it.
        `look`: when this one began, and when answers were no longer waited for."""
        began, now = look
        seen.lost_at = began if seen.lost_at is None else seen.lost_at
        doubtful = _places(peer) & unasked.keys()
        back_ends = {name for name, _ in doubtful}
        known = {place for place in seen.answered if place[0] not in back_ends}
        if known and not known & answering:
            if seen.silent_at is None:
                seen.silent_at, seen.looks = began, 0
            seen.looks += 1
            return seen.looks > LOOKS and now - seen.silent_at >= self._delay
        seen.silent_at = None
        if now - seen.lost_at >= self._delay:
            why = "; ".join(sorted({unasked[place] for place in doubtful}))
            if known:
                why = f"it answers at {', '.join(sorted(at for _, at in known & answering))}"
            self._leave(peer, why or "it was never seen to answer here while its worker lived")
        return False

    def _ask(self, peers: Collection[Peer]) -> tuple[set[Place], dict[Place, str]] | None:
        """Where others answer; of places that were not asked, why. One call for each back end, side
        by side. None: this process was held up meanwhile."""
        answering: set[Place] = set()
        unasked: dict[Place, str] = {}
        drivers = self._ready()
        wanted: dict[str, list[str]] = {}
        for peer in peers:
            for name, places in peer.places.items():
                wanted.setdefault(name, []).extend(places)

        def leave(name: str, why: str) -> None:
            unasked.update({(name, place): f"back end {name} {why}" for place in wanted[name]})

        calls: dict[str, Future[Answers]] = {}
        with ThreadPoolExecutor(max(len(wanted), 1), "dead hosts") as threads:
            for name, places in wanted.items():
                what = f"answering of {name}"
                if name not in drivers:
                    leave(name, "is not up here")
                elif what in deadlines.hanging():
                    leave(name, "has not answered an earlier question")
                else:
                    ask = partial(drivers[name].answering, places)
                    calls[name] = threads.submit(deadlines.call, ask, what, self._runtime)
            was_held_up = False
            while wait(calls.values(), self.interval).not_done:
                was_held_up |= self._was_held_up()
        if was_held_up | self._was_held_up():
            return None
        for name, call in calls.items():
            try:
                found = call.result()
            except BackendError as error:
                leave(name, f"cannot tell: {error.message}")
            else:
                answering |= {(name, place) for place in found.at}
                unasked |= {(name, place): why for place, why in found.unasked.items()}
        return answering, unasked

    def _was_held_up(self) -> bool:
        """Since this was asked last, for longer than this process may leave others unwatched."""
        before, self._awake_at = self._awake_at, time.monotonic()
        return self._awake_at - before > self.interval + self._delay

    def _fail_over(self, peer: Peer) -> None:
        if self._runtime.stopping.is_set():
            return
        self._runtime.guard()
        me = self._runtime.worker_host
        try:
            with begin(self._engine) as conn:
                moves = failovers.fail_over(conn, peer.name, me, self._pause)
        except Conflict as conflict:
            self._leave(peer, conflict.message)
            return
        if moves is None:
            return
        _LOG.critical(
            "worker host %s is taken for dead: its lease has ended, and it answers nowhere; it is "
            "fenced, and %d share servers go to other hosts; %d stay",
            peer.name,
            len(moves.going),
            len(moves.staying),
        )

    def _leave(self, peer: Peer, why: str) -> None:
        """Alone, and say so once."""
        seen = self._seen[peer.name]
        if seen.told == why:
            return
        seen.told = why
        _LOG.warning(
            "the worker of host %s does not live, but the host is not taken for dead: %s",
            peer.name,
            why,
        )
        self._tell(peer, why)

    def _tell(self, peer: Peer, refusal: str | None) -> None:
        if peer.refusal != refusal:
            with begin(self._engine) as conn:
                failovers.tell(conn, peer.name, refusal)

    def _forget_silence(self) -> None:
        for seen in self._seen.values():
            seen.lost_at = seen.silent_at = None


def _places(peer: Peer) -> set[Place]:
    return {(name, place) for name, places in peer.places.items() for place in places}
