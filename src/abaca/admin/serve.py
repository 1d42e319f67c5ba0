"""`abaca serve`: prepares the state directory, starts the worker and the API as processes of their
own, and keeps them running."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from threading import Event, Thread

import click
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.admin import clouds_file, init, logs, own_tls, state_dir
from abaca.admin.configuration import files
from abaca.admin.health_check import answers
from abaca.admin.settings import Depth, Refused, Settings
from abaca.admin.supervisor import Child, ChildFailed, Supervisor
from abaca.db.session import create_engine, read, utcnow
from abaca.domain.services import services
from abaca.errors import AbacaError, Conflict
from abaca.reconcile import passes
from abaca.worker.backends import default_backend

LOG = logging.getLogger(__name__)

READY_SECONDS = 60.0
API_PATIENCE = 15.0  # longer than the API gives its own processes to answer what they have begun
WORKER_PATIENCE = 30.0
LOOK_SECONDS = 0.1
CERTIFICATE_SECONDS = 3600.0


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises click.ClickException when it cannot start.

    SIGHUP, which a terminal that is closed sends, too, has API processes replaced, as below systemd
    and by `abaca api`. Until they are there it is ignored.
    """
    signal.signal(signal.SIGHUP, lambda *_: None)
    conf = settings.load(Depth.SERVICE)
    logs.set_up("serve", conf.log_level)
    os.umask(0o077)
    try:
        wrong = files.errors(conf)
        if wrong:
            raise Refused(wrong)
        state_dir.make_folder(conf)
        with state_dir.alone(
            config.state_path(conf, "serve.lock"),
            f"Another `abaca serve` runs on the state directory {conf.state_dir}.",
        ):
            _serve(conf, settings.arguments(conf))
    except AbacaError as error:
        raise click.ClickException(logs.escaped(error.message)) from error
    except cfg.Error as error:
        raise Refused([str(error)]) from error
    except (OSError, ChildFailed) as error:
        raise click.ClickException(str(error)) from error


def children(arguments: list[str]) -> list[Child]:
    """The worker, which keeps root, then the API, which gives it up."""
    program = [sys.executable, "-P", "-m", "abaca.admin.cli"]
    return [
        Child(
            "worker",
            [*program, "worker", "--until-stdin-closes", *arguments],
            patience=WORKER_PATIENCE,
            takes_group=False,
        ),
        Child(
            "api",
            [*program, "api", "--until-stdin-closes", *arguments],
            patience=API_PATIENCE,
            takes_group=True,
        ),
    ]


def _serve(conf: cfg.ConfigOpts, arguments: list[str]) -> None:
    _require_free_port(conf)
    LOG.info(
        "state directory %s, database %s", conf.state_dir, logs.shown_url(config.database_url(conf))
    )
    password = init.prepare(conf)
    supervisor = Supervisor(children(arguments))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: supervisor.reload())
    began = utcnow()
    try:
        supervisor.start()
        if _wait_until(lambda: answers(conf), supervisor):
            _welcome(conf, password)
            _tell_backends(conf, supervisor, began)
        elif not supervisor.stopping.is_set():
            raise Conflict(
                f"The API did not answer at {clouds_file.base_url(conf)} within {READY_SECONDS:g} "
                "s."
            )
        Thread(target=_keep_certificate, args=(conf, supervisor.stopping), daemon=True).start()
        supervisor.run()
        LOG.info("stopping")
    finally:
        supervisor.stop()


def _keep_certificate(conf: cfg.ConfigOpts, stopping: Event) -> None:
    """Once an hour: a certificate of ours that is about to end is made anew. The API sees it."""
    while own_tls.is_needed(conf) and not stopping.wait(CERTIFICATE_SECONDS):
        passes.once("renewal of the certificate", partial(_renew_certificate, conf))


def _renew_certificate(conf: cfg.ConfigOpts) -> None:
    with state_dir.one_at_a_time(conf):
        for line in own_tls.keep(conf):
            LOG.info("%s", line)


def _require_free_port(conf: cfg.ConfigOpts) -> None:
    """Raises Conflict when the API could not listen; reported here, once, and not by a child that
    is started again and again."""
    family = socket.AF_INET6 if ":" in conf.api.listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((conf.api.listen, conf.api.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Conflict(
                    f"Port {conf.api.port} of {conf.api.listen} is in use; choose another one "
                    "with --port."
                ) from error
            raise Conflict(
                f"Cannot listen on port {conf.api.port} of {conf.api.listen}: {error.strerror}."
            ) from error


def _wait_until(condition: Callable[[], bool], supervisor: Supervisor) -> bool:
    """True as soon as it holds; False after 60 s and when we are asked to stop. Raises ChildFailed
    when a child dies meanwhile."""
    for _ in range(int(READY_SECONDS / LOOK_SECONDS)):
        supervisor.require_all()
        if condition():
            return True
        if supervisor.stopping.wait(LOOK_SECONDS):
            return False
    return False


def _welcome(conf: cfg.ConfigOpts, password: str | None) -> None:
    click.echo(f"\nAbaca listens on {clouds_file.base_url(conf)}")
    init.tell_password(conf, password)
    path = clouds_file.path_of(conf)
    if path.exists():
        click.echo(
            f"\nLog in:\n  export OS_CLIENT_CONFIG_FILE={path}\n  export "
            f"OS_CLOUD={clouds_file.CLOUD}\n  openstack share list\n"
        )
    sys.stdout.flush()


def _tell_backends(conf: cfg.ConfigOpts, supervisor: Supervisor, began: datetime) -> None:
    """Say what is missing when the back end is the fake one for want of something better; then, as
    the last words of a start, which are up. `began`: when the worker was started."""
    missing = default_backend()[1] if not conf.enabled_share_backends else []
    if missing:
        click.echo(
            "WARNING: the fake back end is used, which stores no data and serves no files."
            " For the Linux back end this machine lacks:",
            err=True,
        )
        click.echo(
            "".join(f"  - {what}\n" for what in missing) + "Run `abaca doctor` for details.",
            err=True,
        )
    engine = create_engine(config.database_url(conf), pool_size=1)
    try:
        names = conf.enabled_share_backends or [default_backend()[0]]
        ours = {config.backend_host(conf, name) for name in names}
        _wait_until(
            lambda: any(
                host in ours and state == "up" for host, state in _states(engine, ours, began)
            ),
            supervisor,
        )
        found = _states(engine, ours, began)
    finally:
        engine.dispose()
    for host, state in found:
        click.echo(logs.escaped(f"Back end {host} is {state}."))
    sys.stdout.flush()


def _states(engine: Engine, ours: set[str], began: datetime) -> list[tuple[str, str]]:
    """Back ends and their states. One of ours is up by a heartbeat of the worker that was started:
    the last one of the worker before can still count."""
    with read(engine) as conn:
        found = services.find(conn, {})
    return [
        (
            view["host"],
            "down" if view["host"] in ours and view["updated_at"] < began else view["state"],
        )
        for view in found
    ]


def stop_when_input_ends(stop: Callable[[], None]) -> None:
    """Call `stop` when standard input is closed: the process that started us has ended, in whatever
    way."""
    while os.read(0, 4096):
        continue
    stop()
