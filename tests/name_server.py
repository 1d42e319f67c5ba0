"""Real DNS servers for tests, Knot DNS and BIND, on ports of their own on loopback."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import dns.zone
import pytest

from abaca.admin.ports import free_port
from abaca.dns.tsig_key import read_key
from tests.stack import wait_for

DOMAIN = "nfs.example.org"
KEY_NAME, SECRET = "abaca-test", "bm90IGEgc2VjcmV0OiBpdCBpcyBpbiB0aGUgdGVzdHM="

_ZONE = """\
$ORIGIN {domain}.
$TTL 60
@ SOA ns1.example.org. hostmaster.example.org. 1 3600 600 604800 60
@ NS ns1.example.org.
"""
_KNOT = """\
server:
    rundir: {folder}
    listen: [127.0.0.1@{port}, ::1@{port}]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: {folder}/db
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
  - id: reader
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: writes
    key: {key}
    action: [transfer, update]
  - id: reads
    key: reader
    action: transfer
zone:
  - domain: {domain}
    file: {zone_file}
    acl: [writes, reads]
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
"""


_BIND = """\
options {{
    directory "{folder}";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 port {port} {{ ::1; }};
    pid-file none;
    session-keyfile none;
    recursion no;
}};
controls {{ }};
key "{key}" {{ algorithm hmac-sha256; secret "{secret}"; }};
key "reader" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{domain}" {{
    type primary;
    file "{zone_file}";
    allow-transfer {{ key "{key}"; key "reader"; }};
    update-policy {{ grant {key} zonesub ANY; }};
}};
"""
KINDS = {"knotd": _KNOT, "named": _BIND}
"""Program → its configuration."""


def require(kind: str = "knotd") -> None:
    """Skip the test where that server is not installed."""
    if shutil.which(kind) is None:
        pytest.skip(f"needs {kind} (Debian package {'knot' if kind == 'knotd' else 'bind9'})")


class NameServer:
    """A server of the zone DOMAIN. `port`; `key_file` has the key that may update it."""

    def __init__(self, folder: Path, zone_file: Path | None = None, kind: str = "knotd") -> None:
        require(kind)
        self.folder = folder
        self._command = {
            "knotd": ["knotd", "-c", str(folder / "conf")],
            "named": ["named", "-g", "-n", "1", "-c", str(folder / "conf")],
        }[kind]
        self.port = free_port()
        self.key_file = write_key(folder / "key")
        own = folder / "zone"
        own.write_text(_ZONE.format(domain=DOMAIN))
        (folder / "conf").write_text(
            KINDS[kind].format(
                folder=folder,
                port=self.port,
                key=KEY_NAME,
                secret=SECRET,
                domain=DOMAIN,
                zone_file=zone_file or own,
            )
        )

    @contextmanager
    def served(self) -> Iterator[None]:
        """It serves meanwhile."""
        with (self.folder / "output").open("wb") as output:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        wait_for(lambda: self.serial() or process.poll() is not None)
        try:
            assert process.poll() is None, (self.folder / "output").read_text()
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def reload(self) -> None:
        """Read the zone file again."""
        subprocess.run(
            ["knotc", "-b", "-c", str(self.folder / "conf"), "zone-reload", DOMAIN],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def ask(self, name: str, kind: str, timeout: float = 10) -> list[str]:
        """What a resolver would be told: the values of a name's records, sorted."""
        answer = dns.query.udp(
            dns.message.make_query(name, kind), "127.0.0.1", port=self.port, timeout=timeout
        )
        wanted = dns.rdatatype.from_text(kind)
        return sorted(
            value.to_text() for rrset in answer.answer if rrset.rdtype == wanted for value in rrset
        )

    def addresses(self, name: str) -> list[str]:
        """Its A and AAAA records."""
        return self.ask(name, "A") + self.ask(name, "AAAA")

    def serial(self) -> int:
        """Of the zone; 0 while it is not served."""
        with suppress(OSError, dns.exception.DNSException):
            found = self.ask(DOMAIN, "SOA", timeout=0.5)
            return int(found[0].split()[2]) if found else 0
        return 0

    def names(self) -> set[str]:
        """All names below the zone, by a transfer."""
        key = read_key(self.key_file)
        transfer = dns.query.xfr(
            "127.0.0.1", DOMAIN, port=self.port, keyring={key.name: key}, lifetime=20
        )
        return {str(name) for name in dns.zone.from_xfr(transfer) if str(name) != "@"}

    def change(self, update: dns.update.UpdateMessage) -> None:
        """What an administrator does by hand."""
        update.use_tsig(read_key(self.key_file))
        answer = dns.query.tcp(update, "127.0.0.1", port=self.port, timeout=10)
        assert answer.rcode() == dns.rcode.NOERROR, answer


def write_key(path: Path, name: str = KEY_NAME, secret: str = SECRET) -> Path:
    """A key file as `tsig-keygen` writes it."""
    path.write_text(
        f'key "{name}" {{\n\talgorithm hmac-sha256;\n\tsecret "{secret}";\n}};\n', encoding="ascii"
    )
    path.chmod(0o600)
    return path


@contextmanager
def running(
    folder: Path, zone_file: Path | None = None, kind: str = "knotd"
) -> Iterator[NameServer]:
    """A server that takes updates, or one of that zone file."""
    server = NameServer(folder, zone_file, kind)
    with server.served():
        yield server
