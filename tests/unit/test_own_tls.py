"""The certificate of our own: when one is made, for which names, when it is made anew, and what
keys and files are worth."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from cryptography import x509
from oslo_config import cfg

from abaca import config
from abaca.admin import clouds_file, own_tls, serve
from abaca.api import certificates
from abaca.db.session import utcnow
from abaca.errors import Conflict
from tests.service import reachable_folder, wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


def loaded(folder: Path, **options: object) -> cfg.ConfigOpts:
    given = {"listen": "192.0.2.1"} | options
    user = {} if os.geteuid() == 0 else {"api.user": "nobody"}
    named = {f"api.{name}": value for name, value in given.items()}
    return config.load([os.devnull], {"state_dir": str(folder), **user, **named})


def certificate(folder: Path, name: str = "server.pem") -> x509.Certificate:
    found = certificates.read(folder / name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"listen": "127.0.0.1"},
        {"listen": "::1"},
        {"listen": "localhost"},
        {"allow_cleartext": True},
        {"ssl_certificate": "/etc/chain.pem", "ssl_key": "/etc/key.pem"},
    ],
)
def test_where_it_is_not_needed_none_is_made(folder: Path, options: dict[str, object]) -> None:
    assert own_tls.keep(loaded(folder, **options)) == []
    assert list(folder.iterdir()) == []


def test_it_is_made_once_and_keys_are_private(folder: Path) -> None:
    conf = loaded(folder)
    first = own_tls.keep(conf)
    assert len(first) == 2 and str(folder / "ca.pem") in first[0] and "192.0.2.1" in first[1]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert own_tls.keep(conf) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "server.pem": 0o640}
    assert b"PRIVATE" not in before["ca.pem"]
    if os.geteuid() == 0:
        groups = {path.name: path.stat().st_gid for path in folder.iterdir()}
        assert groups["ca.key"] == 0 != groups["server.pem"]


def test_clients_can_check_it_and_it_can_sign_nothing(folder: Path) -> None:
    own_tls.keep(loaded(folder))
    served, authority = certificate(folder), certificate(folder, "ca.pem")
    served.verify_directly_issued_by(authority)
    limits = served.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not limits.ca
    limits = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert limits.ca and limits.path_length == 0


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"listen": "192.0.2.1"}, ["192.0.2.1"]),
        ({"listen": "FD00::0:1"}, ["fd00::1"]),
        ({"listen": "Shares.Example.org."}, ["shares.example.org"]),
        ({"public_endpoint": "https://api.example.org:8786/x"}, ["api.example.org", "192.0.2.1"]),
        ({"certificate_names": ["a.example", "2001:DB8::5"]},
         ["a.example", "2001:db8::5", "192.0.2.1"]),
        ({"certificate_names": ["localhost", "192.0.2.1"]}, ["localhost", "192.0.2.1"]),
    ],
)  # fmt: skip
def test_it_is_for_the_names_that_clients_use(
    folder: Path, options: dict[str, object], wanted: list[str]
) -> None:
    conf = loaded(folder, **options)
    own_tls.keep(conf)
    here = [name for name in ("localhost", "127.0.0.1", "::1") if name not in wanted]
    assert own_tls.names(conf) == [*wanted, *here]
    assert sorted(own_tls.names_in(certificate(folder))) == sorted([*wanted, *here])


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])
def test_for_all_addresses_it_has_those_of_the_machine(folder: Path, listen: str) -> None:
    found = own_tls.names(loaded(folder, listen=listen))
    shown = subprocess.run(
        ["hostname", "--all-ip-addresses"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert {*shown, "127.0.0.1", "::1"} <= {*found}
    assert not [name for name in found if name.startswith("fe80")]


def put(folder: Path, file: str, pair: own_tls.Pair) -> None:
    (folder / file).write_text(own_tls.as_text(pair))


def test_it_is_made_anew_before_it_ends_and_when_it_lacks_a_name(folder: Path) -> None:
    conf = loaded(folder)
    authority = own_tls.make_authority()
    put(folder, "ca.key", authority)
    (folder / "ca.key").chmod(0o600)
    names = own_tls.names(conf)
    for pair, why in [
        (own_tls.issue(authority, names, own_tls.RENEWED_DAYS_BEFORE + 1), None),
        (own_tls.issue(authority, names, own_tls.RENEWED_DAYS_BEFORE - 1), "ends on"),
        (own_tls.issue(authority, ["192.0.2.1"]), "lacks localhost"),
        (own_tls.issue(own_tls.make_authority(), names), "another authority"),
    ]:
        put(folder, "server.pem", pair)
        said = own_tls.keep(conf)
        assert (why is None and said == []) or (len(said) == 1 and why and why in said[0]), said
        assert (certificate(folder) == pair.certificate) == (why is None)
    (folder / "server.pem").write_text("nonsense")
    assert "there was none" in own_tls.keep(conf)[0]
    certificate(folder).verify_directly_issued_by(authority.certificate)


def test_one_that_was_made_while_the_clock_was_ahead_is_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = loaded(folder)
    with monkeypatch.context() as ahead:
        own_tls.keep(conf)
        ahead.setattr(own_tls, "utcnow", lambda: utcnow() + timedelta(days=800))
        own_tls.keep(conf, anew=True)
    (said,) = own_tls.keep(conf)
    assert "the clock was ahead" in said
    assert certificate(folder).not_valid_before_utc < datetime.now(UTC)
    assert own_tls.keep(conf) == []


def test_what_clients_trust_is_mended_whatever_is_there(folder: Path) -> None:
    conf = loaded(folder)
    own_tls.keep(conf)
    before = (folder / "ca.pem").read_bytes()
    (folder / "ca.pem").write_bytes(b"\xff\xfe\x00")  # as DER, or as an editor of Windows writes
    assert own_tls.keep(conf) == []
    assert (folder / "ca.pem").read_bytes() == before


def test_a_renewal_that_fails_in_any_way_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf, stopping, tries = loaded(folder), Event(), []

    def failing(_: object) -> list[str]:
        tries.append(1)
        if len(tries) == 2:
            stopping.set()
        raise ValueError("a name that no certificate can hold")

    with monkeypatch.context() as patch:
        patch.setattr(serve, "CERTIFICATE_SECONDS", 0.0)
        patch.setattr(own_tls, "keep", failing)
        serve._keep_certificate(conf, stopping)
    assert len(tries) == 2


NAMED = """
import os, resource, socket, sys
from abaca import config
from abaca.admin import own_tls
conf = config.load([os.devnull], {"api.listen": "0.0.0.0"})
spent = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
resource.setrlimit(resource.RLIMIT_CPU, (spent + 10, spent + 10))
for name in sys.argv[1:]:
    socket.getfqdn = lambda name=name: name
    print(name in own_tls.names(conf))
"""


@pytest.mark.timeout(900)  # of a busy machine; what counts is the CPU
def test_a_name_from_dns_that_is_none_is_seen_at_once() -> None:
    """Whoever answers for the machine's addresses chooses what `getfqdn` returns. In ten seconds of
    CPU, or the process is killed."""
    odd = [f"{'a' * 60}-.example.org", "a" * 64, "a..example", f"{'a.' * 120}-"]
    done = subprocess.run(
        [sys.executable, "-c", NAMED, *odd, "a-b_c.example"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr}"
    assert done.stdout.split() == ["False"] * 4 + ["True"]


def test_what_ends_with_its_authority_is_not_made_again_and_again(folder: Path) -> None:
    """Where a clock is that far off that an authority cannot be renewed: its own renewal comes
    years before."""
    authority = own_tls.make_authority(own_tls.RENEWED_DAYS_BEFORE - 1)
    conf = loaded(folder)
    put(folder, "server.pem", own_tls.issue(authority, own_tls.names(conf)))
    assert own_tls.due(conf, authority.certificate) is None


@pytest.mark.parametrize("days", [0, own_tls.AUTHORITY_RENEWED_DAYS_BEFORE - 1])
def test_an_authority_that_ends_keeps_its_key_so_that_clients_go_on(
    folder: Path, days: int
) -> None:
    """The former certificate, as clients have it, is good for what is issued now."""
    former = own_tls.make_authority(days)
    put(folder, "ca.key", former)
    (folder / "ca.key").chmod(0o600)
    conf = loaded(folder)
    said, _ = own_tls.keep(conf)
    ends = f"{former.certificate.not_valid_after_utc:%Y-%m-%d}"
    assert f"the former one ends on {ends}. Name and key are the same" in said
    certificate(folder).verify_directly_issued_by(former.certificate)
    now = certificate(folder, "ca.pem")
    assert now.public_key() == former.certificate.public_key() and now != former.certificate
    assert own_tls.keep(conf) == []


def test_a_clock_that_was_far_ahead_costs_no_client_its_trust(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = loaded(folder)
    own_tls.keep(conf)
    trusted = certificate(folder, "ca.pem")
    with monkeypatch.context() as ahead:
        ahead.setattr(own_tls, "utcnow", lambda: utcnow() + timedelta(days=30 * 365))
        assert len(own_tls.keep(conf)) == 2
    said = own_tls.keep(conf)
    assert len(said) == 2 and all("the clock was ahead" in line for line in said)
    certificate(folder).verify_directly_issued_by(trusted)
    for name in ("ca.pem", "server.pem"):
        assert certificate(folder, name).not_valid_before_utc < datetime.now(UTC)
    assert own_tls.keep(conf) == []


def test_another_authority_is_made_when_that_is_asked_for(folder: Path) -> None:
    conf = loaded(folder)
    own_tls.keep(conf)
    before = (folder / "ca.pem").read_text()
    assert len(own_tls.keep(conf, anew=True, new_authority=True)) == 2
    assert (folder / "ca.pem").read_text() != before
    certificate(folder).verify_directly_issued_by(certificate(folder, "ca.pem"))


@pytest.mark.parametrize("damage", ["nonsense", "half", "other key"])
def test_a_damaged_authority_is_not_silently_replaced(folder: Path, damage: str) -> None:
    conf = loaded(folder)
    own_tls.keep(conf)
    path = folder / "ca.key"
    text = path.read_text()
    end = text.index("-----BEGIN PRIVATE")
    other = own_tls.as_text(own_tls.make_authority())
    damaged = {
        "nonsense": "nonsense",
        "half": text[: end + 60],
        "other key": text[:end] + other[other.index("-----BEGIN PRIVATE") :],
    }
    path.write_text(damaged[damage])
    with pytest.raises(Conflict, match="restore it from a backup, or run `abaca tls renew"):
        own_tls.keep(conf)


def test_an_authority_that_others_could_read_is_not_used(folder: Path) -> None:
    conf = loaded(folder)
    own_tls.keep(conf)
    (folder / "ca.key").chmod(0o644)
    with pytest.raises(OSError, match="may be read or written by others"):
        own_tls.keep(conf)


KILLED = """
import os, signal, sys
from pathlib import Path
from abaca import config
from abaca.admin import own_tls
left, plain = int(sys.argv[2]), Path.replace
def replace(self, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return plain(self, target)
Path.replace = replace
conf = config.load([os.devnull], {"state_dir": sys.argv[1], "api.listen": "192.0.2.1"})
own_tls.keep(conf, anew=True, new_authority=len(sys.argv) > 3)
"""


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("more", [[], ["new authority"]])
def test_killed_at_any_moment_the_next_run_ends_as_if_it_had_not_been(
    folder: Path, more: list[str], step: int
) -> None:
    conf = loaded(folder)
    if more:
        own_tls.keep(conf)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(step), *more], check=False
    )
    assert done.returncode == -signal.SIGKILL
    pair = folder / "server.pem"
    assert pair.exists() == bool(more)
    if more:
        certificates.require_pair(pair, pair)  # it is served meanwhile
    own_tls.keep(conf)
    certificate(folder).verify_directly_issued_by(certificate(folder, "ca.pem"))
    left = {path.name for path in folder.iterdir() if not path.name.endswith(".new")}
    assert left == {"ca.key", "ca.pem", "server.pem"}


def test_a_certificate_that_is_exchanged_is_taken_once_it_has_its_key(folder: Path) -> None:
    """An administrator's, in two files that are not exchanged at once."""
    authority, chain, key = own_tls.make_authority(), folder / "chain.pem", folder / "key.pem"

    def exchange(path: Path) -> own_tls.Pair:
        pair = own_tls.issue(authority, ["localhost"])
        path.write_text(own_tls.as_text(pair))
        return pair

    first = own_tls.issue(authority, ["localhost"])
    put(folder, "chain.pem", first)
    put(folder, "key.pem", first)
    taken: list[float] = []
    stopping, turns = Event(), []

    class Counted(Event):
        def wait(self, timeout: float | None = None) -> bool:
            turns.append(1)
            return stopping.wait(timeout)

    def looks(number: int) -> None:
        before = len(turns)
        wait_until(lambda: len(turns) >= before + number, "looks")

    served = certificates.Served(chain, key, chain, is_own=False)
    thread = Thread(
        target=certificates.look, args=(served, lambda: taken.append(1), Counted(), 0.01)
    )
    thread.start()
    try:
        looks(3)
        assert not taken
        second = exchange(chain)
        looks(3)
        assert not taken
        key.write_text(own_tls.as_text(second))
        wait_until(lambda: taken, "the second certificate to be taken")
        looks(3)
        assert len(taken) == 1
        chain.unlink()
        looks(3)
        put(folder, "chain.pem", second)
        looks(3)
    finally:
        stopping.set()
        thread.join()
    assert len(taken) in (1, 2)  # the same certificate as another file may be taken again


@pytest.mark.parametrize(
    ("options", "trusted"),
    [
        ({}, "ca.pem"),
        ({"public_endpoint": "https://shares.example.org:8786"}, "ca.pem"),
        ({"public_endpoint": "https://shares.example.org"}, None),
        ({"allow_cleartext": True}, None),
    ],
)
def test_the_entry_for_clients_says_whom_to_trust(
    folder: Path, options: dict[str, object], trusted: str | None
) -> None:
    entry = clouds_file.entry(loaded(folder, **options), "admin", "secret")
    assert entry.get("cacert") == (str(folder / trusted) if trusted else None)
