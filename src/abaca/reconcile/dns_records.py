"""Publish the names of share servers and shares in DNS, and keep that right.

It has a thread of its own, and what it does is nobody's step: a DNS server that refuses, hangs or
lies delays names and nothing else. Each kind of publication is tried by itself; one that fails is
tried again after longer and longer pauses, and each attempt is one line of the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy.engine import Engine

from abaca.addresses import Network
from abaca.db.session import read
from abaca.dns.dynamic_updates import Primary
from abaca.dns.records import DnsError, Names, ReadNames
from abaca.dns.refused_names import LONGEST_PAUSE
from abaca.dns.zone_file import ZoneFile
from abaca.domain.shares import dns_names
from abaca.reconcile.passes import once

_LOG = logging.getLogger(__name__)

MOST_TOLD = 5
"""Names that a line of the log shows."""
_REST = 3.0
"""Seconds of rest for each second that a look computed: a large zone that changes all the time
takes a quarter of a processor, and not a whole one."""


class Publication:
    """One place where names are published: `publish(read names)` says in a sentence what it could
    not do of its work; empty: nothing. It is tried again after `shortest_pause` seconds, after a
    failure later and later, and after a look that cost much later. `now`, `spent`: clocks in
    seconds, of the wall and of the processor."""

    def __init__(
        self,
        publish: Callable[[ReadNames], str],
        shortest_pause: float,
        now: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._now, self._spent = now, spent
        self._publish = publish
        self._shortest_pause = shortest_pause
        self._pause = shortest_pause
        self._not_before = 0.0
        self._told = ""

    def bring_in_line(self, names: ReadNames) -> None:
        """Once, unless it has failed just now. What is still as it was told is not told again."""
        if self._now() < self._not_before:
            return
        begun = self._spent()
        self._not_before = self._now() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        try:
            complaint = self._publish(names)
        except DnsError as error:
            _LOG.warning("names are not published in DNS: %s", error)
            self._told = str(error)
            return
        self._pause = self._shortest_pause
        self._not_before = self._now() + _REST * (self._spent() - begun)
        if complaint != self._told:
            self._told = complaint
            _LOG.log(
                logging.WARNING if complaint else logging.INFO,
                "names in DNS: %s",
                complaint or "all is published again",
            )


class DnsRecords:
    """What is published of this installation: addresses in `networks`, in `zone_file` and on
    `primary`, each where there is one. `interval`: seconds from one look to the next."""

    def __init__(
        self,
        engine: Engine,
        domain: str,
        networks: Sequence[Network],
        interval: float,
        zone_file: ZoneFile | None = None,
        primary: Primary | None = None,
    ) -> None:
        self._engine = engine
        self._domain = domain
        self._networks = networks
        self._left_out, self._not_told_before = "", 0.0
        self._publications: dict[str, Publication] = {}
        if zone_file is not None:
            self._publications["zone file"] = Publication(_to(zone_file), interval)
        if primary is not None:
            self._publications["primary server"] = Publication(_at(primary), interval)

    def bring_in_line(self) -> None:
        """Once. What fails for one is nothing to the other."""
        for what, publication in self._publications.items():
            once(f"names in DNS, {what}", partial(publication.bring_in_line, self._names))

    def _names(self) -> Names:
        with read(self._engine) as conn:
            found = dns_names.all_names(conn, self._domain, self._networks)
        self._tell(found.left_out)
        return found.names

    def _tell(self, left_out: Mapping[str, str]) -> None:
        """Log what is left out when it has changed; projects can change it, so not at each look."""
        told = _shown(left_out, "left out")
        if told == self._left_out or time.monotonic() < self._not_told_before:
            return
        self._left_out, self._not_told_before = told, time.monotonic() + LONGEST_PAUSE
        if told:
            _LOG.warning("names in DNS: %s", told)


def _to(zone_file: ZoneFile) -> Callable[[ReadNames], str]:
    def publish(names: ReadNames) -> str:
        zone_file.publish(names)
        return ""

    return publish


def _at(primary: Primary) -> Callable[[ReadNames], str]:
    def publish(names: ReadNames) -> str:
        return _shown(primary.publish(names).failed, "cannot be published")

    return publish


def _shown(names: Mapping[str, str], what: str) -> str:
    """How many names, and of the first few the reason; nothing for none."""
    if not names:
        return ""
    first = [f"{ascii(name)[1:-1][:255]} ({names[name]})" for name in sorted(names)[:MOST_TOLD]]
    return f"{len(names)} {what}: {'; '.join(first)}"
