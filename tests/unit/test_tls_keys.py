"""Which keys TLS is served with: what is taken before is what Granian then serves with, and what it
would end at is told before, by name."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from abaca.admin.ports import free_port
from abaca.api import certificates
from tests.service import wait_until

pytestmark = pytest.mark.slow("keys of many sizes are made")

APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""
PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
KINDS: dict[str, tuple[Callable[[], Any], serialization.PrivateFormat, str | None]] = {
    "rsa-2048": (lambda: rsa.generate_private_key(65537, 2048), PKCS8, None),
    "rsa-2048-old": (lambda: rsa.generate_private_key(65537, 2048), OLD, None),
    "rsa-4096": (lambda: rsa.generate_private_key(65537, 4096), PKCS8, None),
    "p256": (lambda: ec.generate_private_key(ec.SECP256R1()), PKCS8, None),
    "p256-old": (lambda: ec.generate_private_key(ec.SECP256R1()), OLD, None),
    "p384": (lambda: ec.generate_private_key(ec.SECP384R1()), PKCS8, None),
    "ed25519": (ed25519.Ed25519PrivateKey.generate, PKCS8, None),
    "rsa-1024": (lambda: rsa.generate_private_key(65537, 1024), PKCS8, "RSA of 1024 bits"),
    "rsa-4160": (lambda: rsa.generate_private_key(65537, 4160), PKCS8, "RSA of 4160 bits"),
    "rsa-e3": (lambda: rsa.generate_private_key(3, 2048), PKCS8, "with the exponent 3"),
    "p521": (lambda: ec.generate_private_key(ec.SECP521R1()), PKCS8, "EC secp521r1"),
    "k1": (lambda: ec.generate_private_key(ec.SECP256K1()), PKCS8, "EC secp256k1"),
    "ed448": (ed448.Ed448PrivateKey.generate, PKCS8, "of the kind Ed448"),
}


def put(path: Path, key: Any, form: serialization.PrivateFormat) -> None:
    """A certificate of itself, and its key, in one file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    is_eddsa = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, None if is_eddsa else hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, plain))


def is_served_with(pair: Path) -> bool:
    """Whether Granian serves with it; else its process ends or its workers do."""
    (pair.parent / "app.py").write_text(APP)
    port = free_port()
    options = ["--interface", "wsgi", "--port", str(port), "--no-ws", "app:app"]
    files = ["--ssl-certificate", str(pair), "--ssl-keyfile", str(pair)]
    said = pair.with_suffix(".log")
    with open(said, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "granian", *files, *options],
            cwd=pair.parent, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        outcome: list[bool] = []

        def has_come() -> bool:
            if process.poll() is not None or b"panicked" in said.read_bytes():
                outcome.append(False)
            elif answers(port):
                outcome.append(True)
            return bool(outcome)

        wait_until(has_come, "Granian to serve or to end", 60)
        return outcome[0]
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            secured.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return secured.recv(12) == b"HTTP/1.0 200"
    except OSError:
        return False


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_taken_if_it_is_served_with(kind: str, tmp_path: Path) -> None:
    make, form, refusal = KINDS[kind]
    pair = tmp_path / "pair.pem"
    put(pair, make(), form)
    if refusal is None:
        certificates.require_pair(pair, pair)
    else:
        with pytest.raises(OSError, match=refusal):
            certificates.require_pair(pair, pair)
    assert is_served_with(pair) == (refusal is None)


def test_a_passphrase_is_asked_of_nobody(tmp_path: Path) -> None:
    pair = tmp_path / "pair.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    closed = serialization.BestAvailableEncryption(b"secret")
    pair.write_bytes(key.private_bytes(serialization.Encoding.PEM, PKCS8, closed))
    with pytest.raises(OSError, match="a key with a passphrase"):
        certificates.require_pair(pair, pair)
