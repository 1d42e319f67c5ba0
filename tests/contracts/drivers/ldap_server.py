"""A real slapd in a client's network namespace, with data of its own: what a tenant would run
beside his share servers."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces, processes

BASE = "dc=example,dc=org"
USER = f"cn=reader,{BASE}"
PASSWORD = "s3cret, with a blank and an ä"
SCHEMA = Path("/etc/ldap/schema/core.schema")

CONFIGURATION = """\
include {schema}
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
directory {folder}/data
suffix "{base}"
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * auth
"""
ENTRIES = """\
dn: {base}
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: {user}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword:: {password}

dn: uid=anna,ou=people,{base}
objectClass: account
objectClass: simpleSecurityObject
uid: anna
userPassword:: {password}
"""


def unavailable_reason() -> str | None:
    """Why there can be no slapd on this machine, or None."""
    if not shutil.which("slapd", path="/usr/sbin:/usr/bin") or not SCHEMA.exists():
        return "slapd (Debian package slapd)"
    return None


@contextmanager
def slapd(netns: str, folder: Path, port: int = 389) -> Iterator[subprocess.Popen[bytes]]:
    """It runs while the block does, on every address of the namespace."""
    (folder / "data").mkdir(parents=True)
    configuration, entries = folder / "slapd.conf", folder / "entries.ldif"
    schemas = "\ninclude ".join(
        str(SCHEMA.with_name(f"{name}.schema")) for name in ("core", "cosine")
    )
    configuration.write_text(CONFIGURATION.format(schema=schemas, folder=folder, base=BASE))
    entries.write_text(
        ENTRIES.format(base=BASE, user=USER, password=base64.b64encode(PASSWORD.encode()).decode())
    )
    subprocess.run(
        ["/usr/sbin/slapadd", "-f", configuration, "-l", entries], check=True, capture_output=True
    )
    inside = ["nsenter", f"--net={namespaces.path_of(netns)}"]
    process = subprocess.Popen(
        [*inside, "/usr/sbin/slapd", "-f", str(configuration), "-h", f"ldap://:{port}/", "-d", "0"]
    )
    try:
        assert processes.wait_until(lambda: _answers(netns, port), 20), "slapd does not answer"
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


def _answers(netns: str, port: int) -> bool:
    def attempt(_: IPRoute) -> bool:
        with socket.socket(socket.AF_INET6) as client:
            client.settimeout(1)
            return client.connect_ex(("::1", port)) == 0

    return namespaces.inside(netns, attempt)
