"""Serving the application: Granian with its worker processes, as an unprivileged user when root
starts it (`privileges`).

Waiting until it listens is the caller's business.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import pkgutil
import resource
import signal
from functools import partial
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server
from oslo_config import cfg
from sqlalchemy.exc import OperationalError

import abaca.api
from abaca.api import audit_file, certificates, metrics, policy, privileges
from abaca.api.app import OPEN_PATHS, WsgiApp, create_app
from abaca.api.audit import Audit
from abaca.api.authenticator import Authenticator
from abaca.api.caller import authenticator
from abaca.api.cleartext import refuse_cleartext, refuse_unusable_tls
from abaca.api.door.application import Door
from abaca.api.door.connections import Connections
from abaca.api.door.environment import Proxies
from abaca.api.page import serving as page
from abaca.api.routing import DEFAULTS
from abaca.config import database_url
from abaca.db import migrations

LOG = logging.getLogger(__name__)

# held by each worker process; idle ones count, so it is far above the number of threads
_CONNECTIONS = 4096
_OTHER_FILES = 512  # of those that a process may open: left for databases and the like
# until a request's head is there; for the first one, and after each answer for the next one
_HEAD_MILLISECONDS = 10_000
_HEAD_BYTES = 32_768
_KILL_AFTER = 14  # seconds that a worker process may take to end: longer than a body
_OBJECTS_BETWEEN_COLLECTIONS = 50_000

# imported by those who configure Keystone: they need the extra `openstack`
_OPTIONAL = {"abaca.api.keystone", "abaca.api.page.keystone_forward"}

# What Granian's worker processes import only after they have been forked.
_GRANIAN_LATER = (
    "granian._loops",
    "granian._signals",
    "granian.rsgi",
    "granian._futures",
    "asyncio",
)


def serve(conf: cfg.ConfigOpts) -> None:
    """Serve until SIGTERM or SIGINT. Raises cfg.Error when the configuration must not or cannot be
    served, Conflict when the schema is older."""
    refuse_cleartext(conf)
    Proxies(conf.api.trusted_proxies)  # refused now if it is wrong
    refuse_unusable_tls(conf)
    server, authenticate, revisions = _server(conf), authenticator(conf), migrations.revisions()
    _import_all()
    privileges.give_up_root(conf.api.user)
    for complaint in privileges.unreadable(conf):
        raise cfg.Error(complaint)
    wrong = list(policy.complaints(conf, DEFAULTS))
    if wrong:
        raise cfg.Error("\n  ".join(wrong))
    _refuse_older(conf, revisions)
    metrics.COUNTS.share(2 * conf.api.workers)  # on SIGHUP new ones start before old ones end
    if found := certificates.served(conf):
        server.on_startup(partial(certificates.follow, found))
    server.serve(target_loader=_Loader(conf, authenticate), wrap_loader=False)


def _import_all() -> None:
    """What the worker processes need, so that they share it in memory."""
    for name in _GRANIAN_LATER:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(abaca.api.__path__, "abaca.api."):
        if module.name not in _OPTIONAL:
            importlib.import_module(module.name)


def _refuse_older(conf: cfg.ConfigOpts, revisions: list[str]) -> None:
    """By the user who serves: root has nothing to do with the database. While it is away, requests
    are answered with 503."""
    try:
        migrations.refuse_older(database_url(conf), revisions)
    except OperationalError as error:
        LOG.warning("the database does not answer yet: %s", error)


class _Loader:
    """Makes the application in a worker process, with an engine of its own. The process ends when
    its parent does, however that ended."""

    def __init__(self, conf: cfg.ConfigOpts, authenticate: Authenticator) -> None:
        self._conf = conf
        self._authenticate = authenticate
        self._turns = audit_file.turns() if conf.api.audit_file else None
        self._parent = os.getpid()

    def __call__(self) -> Door:
        privileges.end_with(signal.SIGKILL)
        if os.getppid() != self._parent:
            os._exit(1)
        metrics.COUNTS.take_part()
        audit = Audit(self._conf.api.audit_file, self._turns)
        app = create_app(self._conf, authenticate=self._authenticate, audit=audit)
        door = _door(self._conf, app, self._authenticate, audit)
        # Rows hold no cycles: what a long list makes is not worth looking through, what stays for
        # good never. It took a quarter of the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        return door


def _door(conf: cfg.ConfigOpts, app: WsgiApp, authenticate: Authenticator, audit: Audit) -> Door:
    api = conf.api
    proxies = Proxies(api.trusted_proxies)
    connections = Connections(api.port, api.connections_per_client, proxies)
    return Door(
        app,
        page.with_logins(authenticate, conf),
        OPEN_PATHS - {page.LOGIN},
        threads=api.threads,
        most_bytes=api.max_body_bytes,
        proxies=proxies,
        connections=connections,
        audit=audit,
    )


def _server(conf: cfg.ConfigOpts) -> Any:
    api = conf.api
    found = certificates.served(conf)
    level = LogLevels(conf.log_level.lower())
    return Server(
        target="abaca.api",
        address=api.listen,
        port=api.port,
        interface=Interfaces.RSGI,
        workers=api.workers,
        blocking_threads=1,  # those that carry requests out are the door's
        # of HTTP/2's settings none ends a half request, and no client needs it
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEAD_MILLISECONDS, max_buffer_size=_HEAD_BYTES
        ),
        backpressure=_most_connections(),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=_KILL_AFTER,
        log_level=level,
        log_dictconfig={
            "loggers": {"_granian": {"level": level.upper(), "handlers": [], "propagate": True}}
        },
        ssl_cert=found.certificate if found else None,
        ssl_key=found.key if found else None,
    )


def _most_connections() -> int:
    """Connections that a process of ours may hold, after raising what the system lets it open as
    far as may be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Two files each: one whose client is sent a long list is held open twice.
    return (
        _CONNECTIONS
        if most == resource.RLIM_INFINITY
        else max(64, min(_CONNECTIONS, (most - _OTHER_FILES) // 2))
    )
