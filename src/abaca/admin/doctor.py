"""`abaca doctor`: what this machine has and lacks. Looks only; makes and changes nothing but a
throw-away network namespace."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import sqlalchemy as sa
from oslo_config import cfg

from abaca import config
from abaca.admin import logs, own_tls, state_dir
from abaca.admin.configuration import files
from abaca.admin.health_check import answers
from abaca.admin.settings import Depth, Refused, Settings
from abaca.api import certificates, privileges
from abaca.db import migrations
from abaca.db.session import create_engine, read, utcnow
from abaca.db.tables import services
from abaca.drivers.linux.requirements import PROGRAMS, missing
from abaca.errors import BackendError
from abaca.worker import backends

KERNEL = "kernel: "
LEAST_FREE_GIB = 2
CLOCK_SECONDS = 60
CERTIFICATE_DAYS = 30


class Finding(NamedTuple):
    """One thing that was looked at. `lack`: None when it is in order, else what is wrong and what
    to do."""

    group: str
    what: str
    lack: str | None = None
    note: str = ""


def run(settings: Settings) -> int:
    """Print what was found; 0 when nothing is missing, else 1."""
    findings = [*linux_findings(missing())]
    try:
        conf = settings.load(Depth.SERVICE)
    except Refused as refused:
        findings += [
            Finding("Configuration: fix this first; the rest is checked then", "setting", text)
            for text in refused.errors
        ]
    else:
        findings += [
            *file_findings(conf),
            *state_findings(conf),
            *database_findings(conf),
            *api_findings(conf),
            *port_findings(conf),
            *certificate_findings(conf),
            *backend_findings(conf),
        ]
    return told(findings, "missing", "Nothing is missing.")


def backend_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """What back ends say of themselves on this machine."""
    if os.geteuid() != 0:
        return
    for backend in backends.load(conf):
        group = f"Back end {backend.host}"
        try:
            found = backend.driver.machine_findings()
        except BackendError as error:
            yield Finding(group, "machine", f"cannot be looked at: {error.message}")
            continue
        for seen in found:
            yield Finding(group, seen.what, seen.lack, seen.seen)


def told(findings: Sequence[Finding], lacking: str, nothing: str) -> int:
    """Print findings by group; 0 when nothing lacks, else 1. `lacking`: what one that does is
    called."""
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            click.echo(f"\n{logs.escaped(group)}")
        state = lacking if finding.lack else "ok"
        more = finding.lack or finding.note
        click.echo(logs.escaped(f"  {state:8} {finding.what}{f': {more}' if more else ''}"))
    number = sum(finding.lack is not None for finding in findings)
    click.echo(f"\n{f'{number} of {len(findings)} are {lacking}.' if number else nothing}")
    return 1 if number else 0


def file_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """The configuration, whose settings are right: what is in the files that it names."""
    group = "Configuration"
    yield Finding(group, "settings", note=", ".join(conf.config_file) or "no file, all defaults")
    wrong = files.errors(conf)
    for text in wrong:
        yield Finding(group, "files", text)
    if not wrong:
        yield Finding(
            group,
            "files",
            note="policy, users, keys and certificates are valid, where there are any",
        )


def linux_findings(lacking: list[str]) -> Iterator[Finding]:
    """The Linux back end's requirements; `lacking` as `requirements.missing()` tells."""
    group = "Linux back end: without it, `abaca serve` uses the fake one"
    others = list(lacking)
    for program, package in PROGRAMS.items():
        lack = next((text for text in lacking if text.startswith(f"program {program} ")), None)
        yield Finding(
            group,
            program,
            f"install Debian package {package}" if lack else None,
            f"Debian package {package}",
        )
        others = [text for text in others if text != lack]
    library = next((text for text in others if "nfs-ganesha-vfs" in text), None)
    yield Finding(
        group,
        "NFS-Ganesha's VFS library",
        "install Debian package nfs-ganesha-vfs" if library else None,
        "Debian package nfs-ganesha-vfs",
    )
    others = [text for text in others if text != library]
    if os.geteuid() != 0:
        yield Finding(
            group, "root", "the worker makes network namespaces and mounts; start as root"
        )
        yield Finding(group, "kernel", "can only be checked as root")
        return
    yield Finding(group, "root")
    if not others:
        yield Finding(
            group,
            "kernel",
            note="btrfs, loop devices, IPv6, network namespaces, veth, bridges, routing by source "
            "address",
        )
    for text in others:
        what, _, lack = text.removeprefix(KERNEL).partition(": ")
        yield Finding(group, what, lack or "this kernel does not have it")


def state_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """The state directory, the room in it, and the clock."""
    group = f"State directory {conf.state_dir}"
    path = Path(conf.state_dir)
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if not path.exists():
        lack = None if os.access(nearest, os.W_OK) else f"{nearest} is not writable"
        yield Finding(group, "folder", lack, "is created at the first start")
    elif path.is_symlink() or path.stat().st_uid != os.geteuid():
        yield Finding(
            group,
            "folder",
            "must be a folder of the user who starts the service, not a symbolic link",
        )
    else:
        yield Finding(group, "folder")
    free = shutil.disk_usage(nearest).free / 1024**3
    yield Finding(
        group,
        "room",
        None if free >= LEAST_FREE_GIB else f"only {free:.1f} GiB are free",
        f"{free:.0f} GiB are free",
    )


def database_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """Whether the database can be reached and has this release's tables, and whether its time and
    ours agree."""
    url = config.database_url(conf)
    group = f"Database {logs.shown_url(url)}"
    if not state_dir.database_exists(conf):
        yield Finding(group, "file", note="is created at the first start")
        return
    try:
        revision = migrations.current(url)
        yield Finding(group, "connection")
        newest = migrations.head()
        yield Finding(
            group,
            "tables",
            None
            if revision == newest
            else f"at {revision}, not at {newest}: run `abaca-manage db sync`",
            f"at {newest}",
        )
        if revision == newest:
            yield Finding(group, "clock", _clock_lack(url))
    except (sa.exc.DBAPIError, sa.exc.ArgumentError) as error:
        yield Finding(group, "connection", str(getattr(error, "orig", error)).strip())


def api_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """Whether the user whom the API runs as can read what it needs: tried as that user."""
    user = conf.api.user if os.geteuid() == 0 else "this user"
    group = f"API, run as {user}"
    try:
        complaints = (
            privileges.try_as(conf) if os.geteuid() == 0 else list(privileges.unreadable(conf))
        )
    except cfg.Error as error:
        complaints = [str(error)]
    for complaint in complaints:
        yield Finding(group, "files", complaint)
    if not complaints:
        yield Finding(
            group,
            "files",
            note="code, keys, users and policy can be read by it and by nobody else who should not",
        )


def port_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """The API's port: free, or ours already."""
    group = f"Address {conf.api.listen}, port {conf.api.port}"
    family = socket.AF_INET6 if ":" in conf.api.listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((conf.api.listen, conf.api.port))
        except OSError as error:
            running = answers(conf)
            yield Finding(
                group,
                "port",
                None if running else f"{error.strerror}; choose another one with --port",
                "Abaca answers there",
            )
            return
    yield Finding(group, "port", note="free")


def certificate_findings(conf: cfg.ConfigOpts) -> Iterator[Finding]:
    """The certificate that the API serves with, where it serves TLS."""
    found = certificates.served(conf)
    if found is None:
        return
    group = f"TLS, {found.certificate}"
    served = certificates.read(found.certificate)
    if served is None:
        lack = None if found.is_own and not found.certificate.exists() else "cannot be read by you"
        yield Finding(group, "certificate", lack, "is made at the first start")
        return
    until = f"until {served.not_valid_after_utc:%Y-%m-%d}"
    if found.is_own:
        why = own_tls.due(conf, certificates.read(found.trusted))
        lack = f"{why.replace('the former one', 'it')}: run `abaca tls renew`" if why else None
    else:
        left = served.not_valid_after_utc.timestamp() - time.time()
        lack = f"ends soon, {until}: exchange it" if left < CERTIFICATE_DAYS * 86400 else None
    yield Finding(group, "certificate", lack, f"{until}, for {', '.join(own_tls.names_in(served))}")


def _clock_lack(url: str) -> str | None:
    """Signs of life from the future: this machine's clock is behind that of a worker."""
    engine = create_engine(url, pool_size=1)
    try:
        with read(engine) as conn:
            last = conn.scalar(sa.select(sa.func.max(services.c.updated_at)))
    finally:
        engine.dispose()
    if time.time() < Path(__file__).stat().st_mtime - 86400:
        return "this machine's clock is behind the date of the program itself"
    ahead = (last - utcnow()).total_seconds() if last else 0
    return (
        f"a worker's last heartbeat is {ahead:.0f} s in the future: set the clocks"
        if ahead > CLOCK_SECONDS
        else None
    )
