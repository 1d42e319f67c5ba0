"""The worker process: takes the lease of its host, brings up its back ends, does their work and
reports heartbeats, until it is stopped."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread, Timer

from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config, struct_types
from abaca.db import migrations
from abaca.db.encryption import Cipher
from abaca.db.session import create_engine, read
from abaca.dns import settings as dns_settings
from abaca.domain.local_networks.local_ports import SqlPortStore
from abaca.domain.services import services
from abaca.domain.services.driver_data import SqlDriverData
from abaca.drivers.interface import ShareDriver
from abaca.errors import Unavailable
from abaca.operations import all as operations
from abaca.operations import serving
from abaca.reconcile import (
    deferred_deletions,
    expired_client_answers,
    expired_messages,
    expired_transfers,
    failed_share_servers,
    finished_work,
    late_addresses,
    measured_usage,
    moved_share_servers,
    passes,
    schedules,
    soft_deleted_shares,
    subnet_drain_deadlines,
    unused_share_servers,
)
from abaca.reconcile.dead_hosts import DeadHosts
from abaca.reconcile.dns_records import DnsRecords
from abaca.reconcile.spanned_networks import SpannedNetworks
from abaca.reconcile.unserved_share_servers import Watch
from abaca.worker import backends, tunnel_end, upkeep
from abaca.worker.lease import Lease
from abaca.workflow import retention, wakening
from abaca.workflow.runtime import Limits, Runtime
from abaca.workflow.slots import Slots
from abaca.workflow.wakening import Pace

_LOG = logging.getLogger(__name__)

EXIT_LEASE_LOST = 3
_HOUSEKEEPING_SECONDS = 30.0
_BETWEEN_LOOKS_SECONDS = 0.05
"""Between two looks at where ports are, however many change at once."""

_DEATHS_SECONDS = 0.25
"""How long a driver is asked at once to wait for deaths, and the pause after an error of it."""

_CALLS_SECONDS = 2.0
"""How long a worker that stops waits, at last, for calls that nobody waits for any more."""

STOP_SECONDS = 20.0
"""After SIGTERM the process is gone within so many seconds, whatever hangs: a start that waits for
a database, a thread that waits for a lock in one. Less than what waits for the worker waits: `abaca
serve` 30 s, systemd 90 s."""


class Worker:
    """Everything that runs in a worker process; tests run it in their own."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._url = config.database_url(conf)
        slots = Slots(changes=conf.worker.concurrency, checks=conf.worker.check_concurrency)
        self.engine: Engine = create_engine(self._url, pool_size=sum(slots) + 4)
        self.backends = backends.load(conf)
        self._lease = Lease(self.engine, conf.host, conf.worker.lease_seconds, self._lock_path())
        self._tunnel_end = tunnel_end.of(conf)
        options = conf.worker
        limits = Limits(options.poll_interval, slots, options.retry_seconds, options.call_seconds)
        self._runtime = Runtime(self._url, self.engine, conf.host, limits)
        self._stopping = Event()
        self._is_renewed_no_more = Event()
        self._look_at_ports = Pace(lambda: options.tunnel_interval, lambda: _BETWEEN_LOOKS_SECONDS)
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Start serving. Raises Conflict if another process serves this host."""
        networks = backends.network_plugin(self._conf, SqlPortStore(self.engine))
        struct_types.make_ready()
        self._lease.acquire()
        self._runtime.guard = self._require_lease
        self._keeping_lease = self._in_background(
            "lease",
            self._keep_lease,
            self._conf.worker.lease_seconds / 3,
            until=self._is_renewed_no_more,
            is_awaited=False,
        )
        tunnel_end.register(self.engine, self._conf.host, self._tunnel_end)
        drivers = {b.host: b.driver for b in self.backends}
        for host, driver in drivers.items():
            driver.data = SqlDriverData(self.engine, host)
            driver.guard = self._refuse_without_lease
        serving.start(
            serving.Serving(
                worker_host=self._conf.host,
                drivers=drivers,
                networks=networks,
                engine=self.engine,
                cipher=Cipher(config.key_file(self._conf)),
                backup_seconds=self._conf.worker.backup_hours * 3600,
            )
        )
        self._span_networks()
        for backend in self.backends:
            self._report(backend)
        _LOG.info("%d kinds of work can be done", len(operations.WORKFLOWS))
        self._runtime.launch()
        for backend in self.backends:
            # A thread each: one that hangs takes the heartbeats of no other away.
            self._in_background(
                f"report {backend.host}",
                partial(self._report, backend),
                self._conf.worker.report_interval,
            )
            watch = Watch(self.engine, backend.host, self._runtime)
            self._in_background(
                f"watch {backend.host}",
                partial(self._watch, backend, watch),
                self._conf.worker.watch_interval,
            )
            usage = partial(self._measure_usage, backend)
            self._in_background(f"usage {backend.host}", usage, self._conf.worker.usage_interval)
            self._in_background(
                f"deaths {backend.host}",
                partial(self._await_deaths, backend, watch),
                _DEATHS_SECONDS,
            )
        self._in_background(
            "housekeeping",
            self._housekeeping,
            min(_HOUSEKEEPING_SECONDS, self._conf.unused_share_server_cleanup_interval),
        )
        self._in_background(
            "deferred deletions",
            self._retry_deletions,
            self._conf.periodic_deferred_delete_interval,
        )
        self._look_at_others()
        self._publish_names()

    def stop(self) -> None:
        """Take no more work, wait for running work for a limited time, release the lease.

        It is renewed until then: who is evacuated makes nothing in Ceph any more. Where a call
        still runs it is not released but runs out: others wait, and this machine need not.
        """
        self._stopping.set()
        self._look_at_ports.set()
        self._runtime.stop()
        for thread in self._threads:
            thread.join(timeout=10)
        self._runtime.calls_have_ended(_CALLS_SECONDS)
        self._is_renewed_no_more.set()
        self._keeping_lease.join(timeout=10)
        self._lease.release(self._nothing_runs)
        self.engine.dispose()

    def _nothing_runs(self) -> bool:
        return self._runtime.calls_have_ended(0) and not any(t.is_alive() for t in self._threads)

    def _report(self, backend: backends.Backend) -> None:
        if backend.reason is not None:
            # One whose driver has a bug does not affect the others; it is tried again with its next
            # heartbeat.
            passes.once(
                f"bring up {backend.host}",
                partial(upkeep.bring_up, self.engine, backend, self._runtime),
            )
        upkeep.report(self.engine, self._conf, backend, self._lease.token)

    def _watch(self, backend: backends.Backend, watch: Watch) -> None:
        if backend.reason is None:  # else all its servers are ensured when it comes up
            if backend.is_shared:
                moved_share_servers.leave(self.engine, backend.host, self._runtime)
            backend.unserved = watch.look()
            backend.restarts = watch.restarts

    def _measure_usage(self, backend: backends.Backend) -> None:
        if backend.reason is None and backend.host in self._led():
            measured_usage.measure(self.engine, backend.host, backend.driver, self._runtime)

    def _led(self) -> set[str]:
        """The back ends that this worker speaks for: of shared ones one of their workers does what
        is about all of it."""
        with read(self.engine) as conn:
            shared = services.led(conn, self._conf.host)
        return {b.host for b in self.backends if not b.is_shared or b.host in shared}

    def _await_deaths(self, backend: backends.Backend, watch: Watch) -> None:
        while not self._stopping.is_set():
            died = backend.driver.wait_for_deaths(_DEATHS_SECONDS)
            if backend.reason is None:
                watch.attend(died)

    def _look_at_others(self) -> None:
        failover = self._conf.failover
        shared = [backend for backend in self.backends if backend.is_shared]
        if not failover.enabled or not shared:
            return

        def ready() -> dict[str, ShareDriver]:
            return {b.host: b.driver for b in shared if b.reason is None}

        dead_hosts = DeadHosts(
            self.engine,
            self._runtime,
            ready,
            delay_seconds=failover.delay_seconds,
            pause_seconds=failover.pause_seconds,
        )
        self._in_background("dead hosts", dead_hosts.look, dead_hosts.interval, is_paced=True)

    def _housekeeping(self) -> None:
        """Each pass by itself: one that fails keeps no other from its work."""
        engine, conf = self.engine, self._conf
        hosts = self._led()
        unused = conf.unused_share_server_cleanup_interval
        is_deferred = conf.is_deferred_deletion_enabled
        for name, work in {
            "lost work": partial(retention.take_up_lost, conf.host),
            "finished work": partial(finished_work.tidy_up, engine, conf.host),
            "unused share servers": partial(
                unused_share_servers.delete_unused, engine, hosts, unused
            ),
            "failed share servers": partial(failed_share_servers.delete_leftovers, engine, hosts),
            "late addresses": partial(late_addresses.give_back, engine, hosts, self._runtime),
            "soft-deleted shares": partial(
                soft_deleted_shares.delete_due, engine, hosts, is_deferred=is_deferred
            ),
            "snapshots and backups by a schedule": partial(
                schedules.take_due, engine, hosts, config.quota_defaults(conf)
            ),
            "expired transfers": partial(expired_transfers.end_due, engine),
            "expired answers about clients": partial(expired_client_answers.forget_expired, engine),
            "drain deadlines": partial(subnet_drain_deadlines.meet_due, engine),
            "expired messages": partial(
                expired_messages.forget_expired, engine, conf.limits.messages
            ),
        }.items():
            if not self._stopping.is_set():
                passes.once(name, work)

    def _span_networks(self) -> None:
        drivers = [backend.driver for backend in self.backends]
        networks = SpannedNetworks(self.engine, self._conf.host, self._tunnel_end, drivers)
        name = "networks over hosts"
        passes.once(name, networks.bring_in_line)
        if self._tunnel_end is None:
            return

        def look() -> None:
            while not self._look_at_ports.wait():
                passes.once(name, networks.bring_in_line)

        looking = Thread(target=look, name=name, daemon=True)
        looking.start()
        hearing = wakening.listen_forwarding(self.engine, self._look_at_ports)
        self._threads += [looking, *([hearing] if hearing else [])]

    def _retry_deletions(self) -> None:
        deferred_deletions.retry(self.engine, self._led())

    def _publish_names(self) -> None:
        dns = self._conf.dns
        if dns.domain:
            records = DnsRecords(
                self.engine,
                dns.domain,
                dns_settings.networks(self._conf),
                dns.interval,
                dns_settings.zone_file(self._conf),
                dns_settings.primary(self._conf),
            )
            # nobody waits for it at the end: each thing that it does is whole by itself
            self._in_background(
                "names in DNS", records.bring_in_line, dns.interval, is_awaited=False
            )

    def _keep_lease(self) -> None:
        try:
            self._lease.renew()
        finally:
            if not (self._lease.is_held() or self._is_renewed_no_more.is_set()):
                _LOG.critical(
                    "the lease of worker host %s is lost; the process ends", self._conf.host
                )
                os._exit(EXIT_LEASE_LOST)

    def _require_lease(self) -> None:
        if not self._lease.is_held():
            _LOG.critical(
                "no step is started without the lease of worker host %s; the process ends",
                self._conf.host,
            )
            os._exit(EXIT_LEASE_LOST)

    def _refuse_without_lease(self) -> None:
        """For calls of drivers that go on: the process ends in a moment."""
        if not self._lease.is_held():
            raise Unavailable(f"the lease of worker host {self._conf.host} is lost")

    def _in_background(
        self,
        name: str,
        work: Callable[[], None],
        every_seconds: float,
        *,
        until: Event | None = None,
        is_awaited: bool = True,
        is_paced: bool = False,
    ) -> Thread:
        """`until`: by default the worker stops. `is_awaited`: it then waits for this."""
        thread = Thread(
            target=passes.repeat,
            args=(name, work, every_seconds, until or self._stopping),
            kwargs={"is_paced": is_paced},
            name=name,
            daemon=True,
        )
        thread.start()
        if is_awaited:
            self._threads.append(thread)
        return thread

    def _lock_path(self) -> Path:
        folder = config.state_path(self._conf, "worker")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f"{self._conf.host}.lock"


def run(conf: cfg.ConfigOpts) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP changes nothing. Raises Conflict if another process
    serves the same host, or the schema is older than this release."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # drivers hold one a share server
    migrations.refuse_older(config.database_url(conf), migrations.revisions())
    stop = Event()

    def begin_to_stop(*_: object) -> None:
        stop.set()
        last_resort = Timer(STOP_SECONDS, _leave)
        last_resort.daemon = True
        last_resort.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, begin_to_stop)
    # a handler, not SIG_IGN: that would hold for the file servers, too
    signal.signal(signal.SIGHUP, lambda *_: None)
    worker = Worker(conf)
    worker.start()
    _LOG.info(
        "worker host %s serves %s",
        conf.host,
        ", ".join(backend.host for backend in worker.backends),
    )
    stop.wait()
    _LOG.info("stopping")
    worker.stop()


def _leave() -> None:
    _LOG.critical(
        "not everything has stopped within %g seconds; the process ends, and resumes its work at "
        "the next start",
        STOP_SECONDS,
    )
    logging.shutdown()
    os._exit(0)
