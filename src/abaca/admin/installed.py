"""What of the installation that a configuration describes can be on this machine, and which of its
processes run. Asks no database, and the driver nothing."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NamedTuple

from oslo_config import cfg

from abaca import config
from abaca.admin import state_dir
from abaca.drivers import registry
from abaca.worker.backends import network_namespace

LINUX = "linux"


class Place(NamedTuple):
    """Where a back end of the Linux driver keeps what. `state_dir`: of all back ends of a
    worker, each with a folder in it; `pool_path`: the pool that an administrator gave, if any."""

    back_end: str
    namespace: str
    state_dir: Path
    pool_path: Path | None


def places(conf: cfg.ConfigOpts) -> list[Place]:
    """Of each configured back end of the Linux driver, and always of the one without configuration:
    what is there now does not depend on what the machine still has installed."""
    names = [
        name
        for name in conf.enabled_share_backends or []
        if config.backend_driver(conf, name)[0] == LINUX
    ]
    return [_place(conf, name) for name in dict.fromkeys([*names, LINUX])]


def running(conf: cfg.ConfigOpts) -> list[str]:
    """The processes of this installation that hold their lock: `abaca serve`, or an `abaca api`
    that was started without it, and `worker HOST`."""
    if _is_held(config.state_path(conf, "serve.lock")):
        found = ["abaca serve"]
    else:
        found = ["abaca api"] if _is_held(state_dir.api_lock(conf)) else []
    locks = sorted(config.state_path(conf, "worker").glob("*.lock"))
    return found + [f"worker {lock.stem}" for lock in locks if _is_held(lock)]


def _place(conf: cfg.ConfigOpts, name: str) -> Place:
    given = config.plugin_settings(conf, name, registry.driver_class(LINUX).OPTIONS)
    return Place(
        name,
        given.get("namespace") or network_namespace(conf),
        Path(given.get("state_dir") or config.state_path(conf, "worker")),
        Path(given["pool_path"]) if given.get("pool_path") else None,
    )


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # there is none
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
