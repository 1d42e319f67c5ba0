"""Whether passwords would be sent in clear text, or callers accepted without proof, beyond this
machine; and whether TLS can be served."""

from __future__ import annotations

import ipaddress
import ssl

from oslo_config import cfg

from abaca.regular_files import NotRegular, require_regular


def refuse_cleartext(conf: cfg.ConfigOpts) -> None:
    """Raises cfg.Error if passwords would be sent in clear text, or callers accepted without proof,
    beyond this machine."""
    api = conf.api
    if bool(api.ssl_certificate) != bool(api.ssl_key):
        raise cfg.Error("[api] ssl_certificate and ssl_key must be set together or not at all.")
    if _is_loopback(api.listen):
        return
    if api.auth_strategy == "noauth":
        raise cfg.Error(
            "[api] auth_strategy = noauth accepts anybody: it is for loopback addresses only, "
            f"not for {api.listen}."
        )
    if not api.ssl_certificate and not api.allow_cleartext:
        raise cfg.Error(
            f"Passwords or tokens would be sent in clear text to {api.listen}: set [api] "
            "ssl_certificate and ssl_key, or allow_cleartext = true "
            "where something in front of it does TLS."
        )


def refuse_unusable_tls(conf: cfg.ConfigOpts) -> None:
    """Raises cfg.Error, naming the files, if they are missing or are not a certificate and its
    key."""
    api = conf.api
    if not api.ssl_certificate:
        return
    try:
        for file in (api.ssl_certificate, api.ssl_key):
            require_regular(file)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(api.ssl_certificate, api.ssl_key)
    except NotRegular as error:
        raise cfg.Error(str(error)) from error
    except OSError as error:  # of which those of TLS are a kind
        raise cfg.Error(
            f"[api] ssl_certificate = {api.ssl_certificate} and ssl_key = {api.ssl_key} cannot be "
            "used: they must be PEM files of a "
            f"certificate and its key ({error.strerror or error})."
        ) from error


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
