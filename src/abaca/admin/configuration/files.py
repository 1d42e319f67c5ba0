"""What is wrong with the files that the configuration names: policy, users, keys, certificates. Those that the first start makes may be absent."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet
from oslo_config import cfg

from abaca import config
from abaca.api import policy
from abaca.api.users_file import parse
from abaca.db.private_files import read_private


def errors(conf: cfg.ConfigOpts) -> list[str]:
    """A sentence for each. What this process may not read is left to who must."""
    return [*policy.complaints(conf), *_of_users(conf), *_of_key(conf), *_of_certificate(conf)]


def _of_users(conf: cfg.ConfigOpts) -> Iterator[str]:
    path = config.users_file(conf)
    if conf.api.auth_strategy != "http_basic":
        return
    if not path.exists() and conf.api.http_basic_auth_user_file and not path.parent.is_dir():
        yield f"[api] http_basic_auth_user_file = {path}: the folder {path.parent} is not there."
    try:
        parse(read_private(path))
    except (FileNotFoundError, PermissionError):
        return
    except OSError as error:
        yield str(error)
    except ValueError as error:
        yield f"{path}: {error}; `abaca user` writes such lines."


def _of_key(conf: cfg.ConfigOpts) -> Iterator[str]:
    path = config.key_file(conf)
    try:
        lines = read_private(path).split()
        for line in lines:
            Fernet(line)
    except (FileNotFoundError, PermissionError):
        return
    except OSError as error:
        yield str(error)
        return
    except ValueError:
        lines = []
    if not lines:
        yield f"{path}: this is no key file. Restore the one that stored passwords were encrypted with; a new installation makes one by itself."


def _of_certificate(conf: cfg.ConfigOpts) -> Iterator[str]:
    if not (conf.api.ssl_certificate and conf.api.ssl_key):
        return
    for option in ("ssl_certificate", "ssl_key"):
        if not Path(conf.api[option]).exists():
            yield f"[api] {option} = {conf.api[option]}: there is no such file."
            return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(conf.api.ssl_certificate, conf.api.ssl_key)
    except PermissionError:
        return
    except ssl.SSLError as error:
        yield f"[api] ssl_certificate and ssl_key ({conf.api.ssl_certificate}, {conf.api.ssl_key}) do not fit: {error.reason or error}."
    except OSError as error:
        yield f"[api] ssl_certificate = {conf.api.ssl_certificate}: {error.strerror or error}."
