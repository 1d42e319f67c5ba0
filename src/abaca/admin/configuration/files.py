"""What is wrong with the files that the configuration names: policy, users, keys, certificates.
Those that the first start makes may be absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.fernet import Fernet
from oslo_config import cfg

from abaca import config
from abaca.api import certificates, policy, tokens_file, users_file
from abaca.api.cleartext import refuse_unusable_tls
from abaca.api.routing import DEFAULTS
from abaca.db.private_files import read_private
from abaca.dns.records import DnsError
from abaca.dns.tsig_key import read_key


def errors(conf: cfg.ConfigOpts) -> list[str]:
    """A sentence for each. What this process may not read is left to who must."""
    return [
        *policy.complaints(conf, DEFAULTS),
        *_of_users(conf),
        *_of_tokens(conf),
        *_of_key(conf),
        *_of_certificate(conf),
        *_of_dns_key(conf),
    ]


def _of_users(conf: cfg.ConfigOpts) -> Iterator[str]:
    path = config.users_file(conf)
    if conf.api.auth_strategy != "http_basic":
        return
    if not path.exists() and conf.api.http_basic_auth_user_file and not path.parent.is_dir():
        yield f"[api] http_basic_auth_user_file = {path}: the folder {path.parent} does not exist."
    yield from _of_lines(path, users_file.parse, "abaca user")


def _of_tokens(conf: cfg.ConfigOpts) -> Iterator[str]:
    if conf.api.auth_strategy == "http_basic":
        yield from _of_lines(config.tokens_file(conf), tokens_file.parse, "abaca token")


def _of_lines(path: Path, parse: Callable[[str], object], command: str) -> Iterator[str]:
    try:
        parse(read_private(path))
    except (FileNotFoundError, PermissionError):
        return
    except OSError as error:
        yield str(error)
    except ValueError as error:
        yield f"{path}: {error}; `{command}` writes such lines."


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
        yield (
            f"{path}: this is not a key file. Restore the one that stored passwords were "
            "encrypted with; a new installation makes one by itself."
        )


def _of_certificate(conf: cfg.ConfigOpts) -> Iterator[str]:
    found = certificates.served(conf)
    if found is not None and found.is_own:  # made, and made anew where it is wrong
        return
    try:
        refuse_unusable_tls(conf)
    except cfg.Error as error:
        if not isinstance(error.__cause__, PermissionError):
            yield str(error)


def _of_dns_key(conf: cfg.ConfigOpts) -> Iterator[str]:
    if not conf.dns.domain or not conf.dns.server or not conf.dns.key_file:
        return
    try:
        read_key(Path(conf.dns.key_file))
    except DnsError as error:
        if not isinstance(error.__cause__, PermissionError):
            yield f"[dns] key_file: {error}."
