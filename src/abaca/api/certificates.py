"""Which certificate the API serves TLS with: the one that is configured, or, beyond loopback where
none is, one of an authority of our own, which `admin/own_tls.py` makes.

The API's processes take a certificate that was exchanged without being told.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from oslo_config import cfg

from abaca.config import state_path

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 5.0

_RSA_BITS = range(2048, 4096 + 1)
_LEAST_EXPONENT = 65537
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_KNOWN = (
    "keys that can be served with: RSA of 2048 to 4096 bits, EC P-256 and P-384, Ed25519, "
    "without a passphrase"
)


class Served(NamedTuple):
    """Where certificate and key are; for one of our own both are in one file, so that they are
    exchanged at once. `trusted`: what a client is given to trust."""

    certificate: Path
    key: Path
    trusted: Path
    is_own: bool


def served(conf: cfg.ConfigOpts) -> Served | None:
    """None: without TLS, on loopback or because `allow_cleartext` says so."""
    api = conf.api
    if api.ssl_certificate and api.ssl_key:
        given = Path(api.ssl_certificate)
        return Served(given, Path(api.ssl_key), given, is_own=False)
    if is_loopback(api.listen) or api.allow_cleartext:
        return None
    pair = state_path(conf, "server.pem")
    return Served(pair, pair, state_path(conf, "ca.pem"), is_own=True)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def read(path: Path | None) -> x509.Certificate | None:
    """The first certificate of a PEM file. None: there is none, or TLS itself will report the
    error."""
    if path is None:
        return None
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def expires(conf: cfg.ConfigOpts) -> float | None:
    """When the certificate that is served expires, in seconds since 1970."""
    found = served(conf)
    certificate = read(found.certificate if found else None)
    return certificate.not_valid_after_utc.timestamp() if certificate else None


def require_pair(certificate: Path, key: Path) -> None:
    """Raises OSError, of which those of TLS are a kind, when they cannot be served with: OpenSSL
    sees whether they fit, and has to take them first; rustls, which serves, takes fewer kinds of
    keys, and would only say so when a process of the API starts."""
    _require_known(key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)


def _require_known(path: Path) -> None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except TypeError:
        raise OSError(errno.EINVAL, f"{path}: a key with a passphrase; {_KNOWN}") from None
    except (ValueError, UnsupportedAlgorithm):
        return  # OpenSSL says what is wrong
    if isinstance(key, rsa.RSAPrivateKey):
        exponent = key.public_key().public_numbers().e
        found = f"RSA of {key.key_size} bits with the exponent {exponent}"
        is_known = key.key_size in _RSA_BITS and exponent >= _LEAST_EXPONENT
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        found, is_known = f"EC {key.curve.name}", isinstance(key.curve, _CURVES)
    else:
        found = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        is_known = isinstance(key, ed25519.Ed25519PrivateKey)
    if not is_known:
        raise OSError(errno.EINVAL, f"{path}: a key of the kind {found}; {_KNOWN}")


def follow(found: Served) -> None:
    """From now on have this process, which is Granian's first one, start successors of its worker
    processes whenever certificate or key are other files than before and fit together."""
    again = partial(os.kill, os.getpid(), signal.SIGHUP)
    looking = partial(look, found, again, Event())
    Thread(target=looking, name="certificate", daemon=True).start()


def look(
    found: Served, reload: Callable[[], None], stopping: Event, seconds: float = LOOK_SECONDS
) -> None:
    """Call `reload` for each pair that the files have become, until `stopping` is set."""
    taken = refused = _state(found)
    while not stopping.wait(seconds):
        state = _state(found)
        if state in (taken, refused):
            continue
        try:
            require_pair(found.certificate, found.key)
        except OSError as error:
            refused = state
            LOG.warning(
                "%s has changed and is not taken: it and %s must be a certificate and its key (%s)",
                found.certificate, found.key, error.strerror or error,
            )  # fmt: skip
            continue
        taken = state
        LOG.info("%s has changed: new processes take it", found.certificate)
        reload()


def _state(found: Served) -> list[tuple[int, int, int] | None]:
    """Another one when a file was replaced or written."""
    states: list[tuple[int, int, int] | None] = []
    for path in (found.certificate, found.key):
        try:
            seen = path.stat()
            states.append((seen.st_ino, seen.st_mtime_ns, seen.st_size))
        except OSError:
            states.append(None)
    return states
