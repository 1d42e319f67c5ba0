"""The configuration: what files, the environment and the command line say of the options
(`options`).

`load()` makes a configuration object that is handed down; there is no global one.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from oslo_config import cfg

from abaca.options import BACKEND_OPTIONS, QUOTA_OPTIONS, SECTIONS
from abaca.plugin_options import Option


def load(
    config_files: Sequence[str] = (), overrides: Mapping[str, object] | None = None
) -> cfg.ConfigOpts:
    """The configuration of the files, later ones winning, and of `overrides` (`{"state_dir": …,
    "api.port": …}`) on top.

    Without files, those of `default_files` are read. Raises oslo_config.cfg.Error for a file that
    is not one.
    """
    conf = cfg.ConfigOpts()
    for section, options in SECTIONS.items():
        conf.register_opts(options, group=None if section == "DEFAULT" else section)
    conf(
        args=[],
        project="abaca",
        default_config_files=list(config_files) or default_files(),
        default_config_dirs=[],
    )
    for name, value in (overrides or {}).items():
        group, _, option = name.rpartition(".")
        conf.set_override(option, value, group=group or None)
    return conf


def default_files() -> list[str]:
    """The files that are read when none are named: of those that are there."""
    return [
        path
        for path in ("/etc/abaca/abaca.conf", *sorted(glob.glob("/etc/abaca/abaca.conf.d/*.conf")))
        if os.path.exists(path)
    ]


def state_path(conf: cfg.ConfigOpts, *parts: str) -> Path:
    """A path below the state directory."""
    return Path(conf.state_dir, *parts)


def database_url(conf: cfg.ConfigOpts) -> str:
    """The configured database, or SQLite in the state directory."""
    return conf.database.connection or f"sqlite:///{state_path(conf, 'db', 'abaca.sqlite')}"


def quota_defaults(conf: cfg.ConfigOpts) -> dict[str, int]:
    """The configured limits by resource; -1: none."""
    return {option.name: conf.quota[option.name] for option in QUOTA_OPTIONS}


def users_file(conf: cfg.ConfigOpts) -> Path:
    """The http_basic users file."""
    return Path(conf.api.http_basic_auth_user_file or state_path(conf, "users"))


def tokens_file(conf: cfg.ConfigOpts) -> Path:
    """The application tokens of the users in the users file, beside it."""
    users = users_file(conf)
    return users.with_name("tokens" if users.name == "users" else f"{users.name}.tokens")


def key_file(conf: cfg.ConfigOpts) -> Path:
    """The key that stored passwords are encrypted with."""
    return Path(conf.key_file or state_path(conf, "key"))


def plugin_opts(options: Mapping[str, Option]) -> list[cfg.Opt]:
    """The options of a driver or a network plug-in as oslo.config's. None of them has a default:
    what is not set, the plug-in is not given."""
    return [
        cfg.StrOpt(
            name, secret=option.is_secret, help=option.help, sample_default=option.default or None
        )
        for name, option in options.items()
    ]


def plugin_settings(
    conf: cfg.ConfigOpts, section: str, options: Mapping[str, Option]
) -> dict[str, str]:
    """Those of the options of a driver or a network plug-in that are set in its section, as
    text."""
    conf.register_opts(plugin_opts(options), group=section)
    return {name: conf[section][name] for name in options if conf[section][name] is not None}


def backend_driver(conf: cfg.ConfigOpts, backend: str) -> tuple[str, str]:
    """The driver's name and the availability zone of back end `backend`."""
    conf.register_opts(BACKEND_OPTIONS, group=backend)
    return conf[backend].share_driver, conf[
        backend
    ].availability_zone or conf.storage_availability_zone


def backend_host(conf: cfg.ConfigOpts, backend: str) -> str:
    """host@backend of the back end `backend`."""
    conf.register_opts(BACKEND_OPTIONS, group=backend)
    return f"{conf[backend].backend_host or conf.host}@{backend}"
