"""Names in a zone of a primary server, by updates (RFC 2136) signed with TSIG (RFC 8945).

What is there is read by a zone transfer, whenever the zone's serial is another one, so what
somebody else takes away comes back. Each name that is ours carries a TXT record that says so; names
without it are never touched. An update says what was found at each of its names, and is refused
when that has changed meanwhile (prerequisites): of two workers that publish at the same time, or of
a worker and a person, neither undoes what it has not seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.update

from abaca.dns.dialogue import Dialogue, Refusal
from abaca.dns.records import DnsError, Names, ReadNames, by_type, is_name
from abaca.dns.refused_names import RefusedNames
from abaca.dns.tsig_key import read_key

SECONDS = 60.0
"""How long one look at the server, with all its updates, may take."""
MOST_REFUSALS = 500
"""Of updates in one look: with one more the look ends."""
_SHORTEST_PAUSE = 20.0
"""Seconds after which a name that was refused is tried again for the first time."""
_MOST_RECORDS = 500
"""In an update, unless one name has more: 64 KiB hold twice as many of the longest."""
_LONGEST_TRUST = 600.0
"""Seconds after which a zone is read again, although its serial is the same."""
_OURS = ("A", "AAAA", "TXT")

Records = Mapping[str, frozenset[str]]
"""Record type → values as text."""


@dataclass
class _Found:
    """What a name has: of the types that we write the values, with the TTLs of all; `others`: it
    has records of other types."""

    records: dict[str, set[str]] = field(default_factory=dict)
    ttls: set[int] = field(default_factory=set)
    others: bool = False


class Change(NamedTuple):
    """A name, what it has, and what it shall have; nothing: it goes."""

    name: str
    before: Records
    after: Records

    @property
    def size(self) -> int:
        """How many records of an update it takes, at most."""
        values = [*self.before.values(), *self.after.values()]
        return 2 * len(_OURS) + sum(map(len, values))


class _Look(NamedTuple):
    """What was seen when nothing was left to be done, or all that was had to wait; and until when
    that is believed (of the monotonic clock)."""

    serial: int
    names: Names
    failed: dict[str, str]
    until: float

    def is_still(self, serial: int) -> bool:
        """Whether the zone with that serial need not be read again. A server may lie about it, but
        not for ever."""
        return serial == self.serial and time.monotonic() < self.until


class Outcome(NamedTuple):
    """How many names were changed; those that were not, each with the reason."""

    changed: int
    failed: dict[str, str]


@dataclass
class Primary:
    """The zone `zone` on a server; names of ours are below `domain`, which is in it. `key_file` is
    read anew each time. `owner`: what our names carry; installations that share a zone have
    different ones. `seconds`: how long one look, with all its updates, may take. A name that is
    refused is tried again after `shortest_pause` seconds, then later and later."""

    address: str
    port: int
    key_file: Path
    zone: str
    domain: str
    ttl: int
    owner: str
    seconds: float = SECONDS
    shortest_pause: float = _SHORTEST_PAUSE
    _last: _Look | None = field(init=False, default=None)
    _refused: RefusedNames = field(init=False)

    def __post_init__(self) -> None:
        self._refused = RefusedNames(self.shortest_pause)

    def publish(self, names: ReadNames) -> Outcome:
        """Bring the zone in line. `names` are read after the zone was, so that an older state of
        them never replaces a newer one. Raises DnsError when the zone cannot be read, when time is
        over, or when the server refuses more than a few: what was done until then is done."""
        key = read_key(self.key_file)
        with Dialogue(self.address, self.port, key, self.seconds) as dialogue:
            serial = self._serial(dialogue)
            last = self._last
            if last is not None and last.is_still(serial) and last.names == names():
                return Outcome(0, last.failed)
            self._last = None
            found = self._transferred(dialogue)
            wanted = names()
            changes, failed = self._changes(found, wanted)
            due = self._refused.due({change.name: change for change in changes})
            if not due:
                failed |= self._refused.reasons()
                until = min(time.monotonic() + _LONGEST_TRUST, self._refused.next_due())
                self._last = _Look(serial, wanted, failed, until)
            changed = self._carry_out(dialogue, [*due.values()])
        return Outcome(changed, failed | self._refused.reasons())

    def _serial(self, dialogue: Dialogue) -> int:
        question = dns.message.make_query(dns.name.from_text(self.zone), dns.rdatatype.SOA)
        answer = dialogue.ask(question, f"the SOA of zone {self.zone}")
        for record in answer.answer:
            if record.rdtype == dns.rdatatype.SOA:
                return int(record[0].serial)
        raise DnsError(f"{self.address} does not serve zone {self.zone}")

    def _transferred(self, dialogue: Dialogue) -> dict[str, _Found]:
        """All names below the domain. Raises DnsError."""
        domain = dns.name.from_text(self.domain)
        found: dict[str, _Found] = {}
        for record in dialogue.transfer(dns.name.from_text(self.zone)):
            if record.name == domain or not record.name.is_subdomain(domain):
                continue
            name = found.setdefault(record.name.to_text(omit_final_dot=True).lower(), _Found())
            kind = dns.rdatatype.to_text(record.rdtype)
            if kind in _OURS:
                name.records.setdefault(kind, set()).update(value.to_text() for value in record)
                name.ttls.add(record.ttl)
            elif kind not in ("RRSIG", "NSEC"):
                name.others = True
        return found

    def _changes(
        self, found: Mapping[str, _Found], names: Names
    ) -> tuple[list[Change], dict[str, str]]:
        """What is to be done, what goes first; and what cannot be: names that others have, and what
        is no name."""
        marker = {"TXT": frozenset({f'"abaca {self.owner}"'})}
        nothing = _Found()
        changes = []
        failed = {
            name: "it is no host name in the domain"
            for name in names
            if not is_name(name, self.domain)
        }
        names = {name: names[name] for name in names.keys() - failed.keys()}
        for name in sorted(found.keys() | names.keys(), key=lambda each: (each in names, each)):
            there = found.get(name, nothing)
            before = {kind: frozenset(values) for kind, values in there.records.items()}
            is_ours = before.get("TXT") == marker["TXT"] and not there.others
            if name in found and not is_ours:
                if name in names:
                    failed[name] = "the name has records that are not of this installation"
                continue
            after: Records = {}
            if name in names:
                addresses = by_type(names[name]).items()
                after = {kind: frozenset(map(str, values)) for kind, values in addresses} | marker
            if before != after or (after and there.ttls != {self.ttl}):
                changes.append(Change(name, before, after))
        return changes, failed

    def _carry_out(self, dialogue: Dialogue, changes: Sequence[Change]) -> int:
        """Send updates; how many names were changed. An update that is refused is tried in halves:
        a name that the server does not take holds up no other."""
        waiting = [*_batches(changes)][::-1]
        changed = refusals = 0
        while waiting:
            batch = waiting.pop()
            refusal = self._refusal(dialogue, batch)
            if not refusal:
                changed += len(batch)
                for change in batch:
                    self._refused.forget(change.name)
                continue
            refusals += 1
            if len(batch) > 1:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
            else:
                self._refused.add(batch[0].name, batch[0], refusal)
            if waiting and refusals >= MOST_REFUSALS:
                raise DnsError(f"{self.address} refused {refusals} updates, at last: {refusal}")
        return changed

    def _refusal(self, dialogue: Dialogue, batch: Sequence[Change]) -> str:
        """Send one update; why it was refused, or nothing."""
        try:
            dialogue.ask(self._update(batch), f"an update of zone {self.zone}")
        except Refusal as error:
            return str(error)
        except dns.exception.DNSException as error:  # there is no such message
            return str(error) or type(error).__name__
        return ""

    def _update(self, batch: Sequence[Change]) -> dns.update.UpdateMessage:
        update = dns.update.UpdateMessage(dns.name.from_text(self.zone))
        for change in batch:
            name = dns.name.from_text(change.name)
            if not change.before:
                update.absent(name)
            for kind in _OURS if change.before else ():
                if values := change.before.get(kind):
                    update.present(name, *_rdatas(kind, values))
                    update.delete(name, kind)
                else:
                    update.absent(name, kind)
            for kind, values in change.after.items():
                update.add(name, self.ttl, *_rdatas(kind, values))
        return update


def _rdatas(kind: str, values: frozenset[str]) -> list[dns.rdata.Rdata]:
    return [dns.rdata.from_text(dns.rdataclass.IN, kind, value) for value in sorted(values)]


def _batches(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """The changes in their order, so many at a time that they fit into one message."""
    batch: list[Change] = []
    for change in changes:
        if batch and sum(each.size for each in batch) + change.size > _MOST_RECORDS:
            yield batch
            batch = []
        batch.append(change)
    if batch:
        yield batch
