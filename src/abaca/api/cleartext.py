"""Whether callers would be accepted without proof beyond this machine, and whether TLS can be
served. Passwords travel in clear text only where `[api] allow_cleartext` says so: see
`certificates`."""

from __future__ import annotations

from oslo_config import cfg

from abaca.api.certificates import is_loopback, require_pair, served
from abaca.regular_files import NotRegular, require_regular


def refuse_cleartext(conf: cfg.ConfigOpts) -> None:
    """Raises cfg.Error if callers would be accepted without proof beyond this machine, or half of
    what TLS needs is configured."""
    api = conf.api
    if bool(api.ssl_certificate) != bool(api.ssl_key):
        raise cfg.Error("[api] ssl_certificate and ssl_key must be set together or not at all.")
    if api.auth_strategy == "noauth" and not is_loopback(api.listen):
        raise cfg.Error(
            "[api] auth_strategy = noauth accepts anybody: it is for loopback addresses only, "
            f"not for {api.listen}."
        )


def refuse_unusable_tls(conf: cfg.ConfigOpts) -> None:
    """Raises cfg.Error, naming the files, if they are missing or are not a certificate and its
    key."""
    found = served(conf)
    if found is None:
        return
    try:
        for file in (found.certificate, found.key):
            require_regular(file)
        require_pair(found.certificate, found.key)
    except NotRegular as error:
        raise cfg.Error(str(error)) from error
    except OSError as error:  # of which those of TLS are a kind
        why = error.strerror or error
        if found.is_own:
            raise cfg.Error(
                f"The certificate {found.certificate}, with which {conf.api.listen} is served, "
                f"cannot be used ({why}): `abaca init` makes it, `abaca tls renew` makes it anew."
            ) from error
        raise cfg.Error(
            f"[api] ssl_certificate = {found.certificate} and ssl_key = {found.key} cannot be "
            f"used: they must be PEM files of a certificate and its key ({why})."
        ) from error
