"""How long the Linux back end needs after a reboot until all its servers serve: a real worker, real
NFS servers, all lost but the disk.

Nothing else on the machine is touched: what is lost is what this installation made. Needs root.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.db import migrations
from abaca.db.encryption import new_key
from abaca.db.session import begin, create_engine, read
from abaca.db.tables import services, share_instances
from abaca.domain.local_networks import local_networks, local_subnets
from abaca.domain.network_changes import subnet_additions
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.domain.share_networks import share_networks
from abaca.domain.share_types import share_types
from abaca.domain.shares import share_creation
from abaca.domain.shares.share_requests import ShareRequest
from abaca.drivers.linux import inventory
from abaca.worker.backends import network_namespace
from abaca.worker.process import Worker
from abaca.workflow import dbos_database
from bench import conditions
from bench.conditions import ForeignLoad
from bench.programs import until
from bench.report import Report
from bench.rows import ADMIN
from bench.service import SHARE_TYPE

SHARES_A_SERVER = 4
SUBNETS = (("10.90.0.0/16", 4), ("fd00:90::/64", 6))
LONGEST_SECONDS = 1800.0
_BACKEND = (
    "[linux]\nshare_driver = linux\npool_size_gib = 500\npool_sparse = "
    "true\n[quota]\nshares = -1\nshare_networks = -1\ngigabytes = -1\n"
)


def run(servers: int) -> None:
    """Measure and report."""
    logging.disable(logging.WARNING)
    report = Report("reboot")
    report.say(
        f"Abaca after a reboot, {conditions.machine()}. Linux back end, SQLite, {SHARES_A_SERVER} "
        "shares a server, on IPv4 and IPv6."
    )
    with _installed() as (conf, engine):
        made = _make(conf, engine, servers)
        inventory.simulate_reboot(network_namespace(conf), Path(conf.state_dir, "worker"))
        load = ForeignLoad()
        rebuilt = _up(conf, engine)
        others = load.cores()
        again = _up(conf, engine)
        report.table(
            [
                "servers",
                "shares",
                "first made, s",
                "back after a reboot, s",
                "ms a server",
                "a mere restart, s",
            ],
            [
                [
                    str(servers),
                    str(servers * SHARES_A_SERVER),
                    f"{made:.1f}",
                    f"{rebuilt:.1f}",
                    f"{rebuilt / servers * 1000:.0f}",
                    f"{again:.1f}",
                ]
            ],
        )
        report.say(
            "Cores kept busy by others, and by the servers' own processes, meanwhile: "
            f"{others:.2f}."
        )
    print(f"Written to {report.path}")


@contextmanager
def _installed() -> Iterator[tuple[cfg.ConfigOpts, Engine]]:
    folder = Path(tempfile.mkdtemp(prefix="abaca-bench-"))
    (folder / "key").write_text(new_key())
    (folder / "key").chmod(0o600)
    file = folder / "abaca.conf"
    file.write_text(
        f"[DEFAULT]\nhost = bench\nstate_dir = {folder}\nenabled_share_backends = linux\n{_BACKEND}"
    )
    conf = config.load([str(file)])
    url = config.database_url(conf)
    (folder / "db").mkdir()
    migrations.upgrade(url)
    dbos_database.migrate(url)
    engine = create_engine(url)
    try:
        yield conf, engine
    finally:
        engine.dispose()
        inventory.remove_installation(network_namespace(conf), Path(conf.state_dir, "worker"))
        shutil.rmtree(folder)


def _make(conf: cfg.ConfigOpts, engine: Engine, servers: int) -> float:
    """Seconds that it took to make the servers with their shares."""
    worker = Worker(conf)
    worker.start()
    try:
        started = time.monotonic()
        for _ in range(servers):
            _ask_for_a_server(engine)
        until(lambda: _creating(engine) == 0, "the shares to be made", LONGEST_SECONDS, 0.2)
        with read(engine) as conn:
            available = (
                conn.scalar(
                    sa.select(sa.func.count()).where(share_instances.c.status == "available")
                )
                or 0
            )
        if available != servers * SHARES_A_SERVER:
            raise RuntimeError(f"{available} of {servers * SHARES_A_SERVER} shares were made")
        return time.monotonic() - started
    finally:
        worker.stop()


def _ask_for_a_server(engine: Engine) -> None:
    """A share network of its own, with its shares."""
    with begin(engine) as conn:
        if conn.scalar(sa.select(sa.func.count()).select_from(share_instances)) == 0:
            specs = {"driver_handles_share_servers": "True"}
            share_types.create(
                conn, ADMIN, name=SHARE_TYPE, description=None, is_public=True, extra_specs=specs
            )
        net = local_networks.create(conn, ADMIN, name="bench")["id"]
        pairs = [
            local_subnets.create(conn, ADMIN, network_id=net, cidr=cidr, ip_version=version)["id"]
            for cidr, version in SUBNETS
        ]
        network = share_networks.create(
            conn, ADMIN, name=None, description=None, neutron_net_id=net, neutron_subnet_id=pairs[0]
        )["id"]
        subnet_additions.add(
            conn,
            ADMIN,
            network,
            SubnetRequest(neutron_net_id=net, neutron_subnet_id=pairs[1]),
            multiple_allowed=True,
        )
    for _ in range(SHARES_A_SERVER):
        with begin(engine) as conn:
            share_creation.create(
                conn,
                ADMIN,
                ShareRequest(
                    share_proto="NFS", size=1, share_type=SHARE_TYPE, share_network_id=network
                ),
            )


def _creating(engine: Engine) -> int:
    with read(engine) as conn:
        return (
            conn.scalar(sa.select(sa.func.count()).where(share_instances.c.status == "creating"))
            or 0
        )


def _up(conf: cfg.ConfigOpts, engine: Engine) -> float:
    """Seconds from a worker's start until its back end counts as up."""
    with begin(engine) as conn:
        conn.execute(sa.update(services).values(is_ready=False))
    started = time.monotonic()
    worker = Worker(conf)
    worker.start()
    try:
        with read(engine) as conn:
            if not conn.scalar(sa.select(services.c.is_ready)):
                raise RuntimeError("the back end did not come up")
        return time.monotonic() - started
    finally:
        worker.stop()
