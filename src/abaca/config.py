"""Every option of the service, with defaults that need no file. Drivers' options stand in the section of their back end.

`load()` makes a configuration object that is handed down; there is no global one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from oslo_config import cfg

from abaca.plugin_options import Option

DEFAULT_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("state_dir", default="/var/lib/abaca", help="Where everything that Abaca keeps on this machine stands."),
    cfg.StrOpt("key_file", help="Key that stored passwords are encrypted with, the same on every host. Default: key in the state directory."),
    cfg.StrOpt("host", default=socket.gethostname(), help="Name of this worker host; its work queue and its back ends carry it."),
    cfg.StrOpt("log_level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="How much is logged."),
    cfg.ListOpt("enabled_share_backends", default=[], help="Sections of the back ends served here. Empty: one, linux or fake."),
    cfg.StrOpt("storage_availability_zone", default="nova", help="Availability zone of the back ends that name none."),
    cfg.StrOpt("default_share_type", help="Share type of shares that are created without one."),
    cfg.ListOpt(
        "admin_only_metadata",
        default=["__affinity_same_host", "__affinity_different_host"],
        help="Keys of share metadata that only administrators may set, change or delete.",
    ),
    cfg.ListOpt("admin_only_el_metadata", default=["preferred"], help="The same for metadata of export locations."),
    cfg.ListOpt(
        "driver_updatable_subnet_metadata",
        default=[],
        help="Keys of share network subnet metadata that are handed to the drivers of the share servers on the subnet when they are set.",
    ),
    cfg.StrOpt("network_plugin", default="local", help="Where subnets and addresses come from."),
    cfg.IntOpt("service_down_time", default=20, min=2, help="Seconds without a sign of life after which a worker counts as down."),
    cfg.IntOpt("unused_share_server_cleanup_interval", default=600, min=1, help="Seconds that a share server without shares is kept."),
    cfg.IntOpt("soft_deleted_share_retention_time", default=7 * 24 * 3600, min=0, max=2**31, help="Seconds that a soft-deleted share is kept."),
]

DATABASE_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("connection", secret=True, help="SQLAlchemy URL. Default: SQLite in the state directory."),
    cfg.IntOpt("pool_size", default=10, min=1, help="Connections kept by each process."),
]

API_OPTIONS: list[cfg.Opt] = [
    cfg.HostAddressOpt("listen", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=8786, help="Port to listen on."),
    cfg.IntOpt("workers", default=2, min=1, help="API processes."),
    cfg.IntOpt("threads", default=4, min=2, help="Requests handled at once by each API process."),
    cfg.StrOpt("user", default="abaca", help="User that the API runs as when it is started by root."),
    cfg.StrOpt("auth_strategy", default="http_basic", choices=["http_basic", "keystone", "noauth"], help="How callers prove who they are."),
    cfg.StrOpt("http_basic_auth_user_file", help="Users with bcrypt hashes, projects and roles. Default: users in the state directory."),
    cfg.ListOpt("trusted_proxies", default=[], help="Networks of reverse proxies that are believed about whom they pass on, and how."),
    cfg.IntOpt("connections_per_client", default=256, min=8, help="Most connections of one address (of an IPv6 /64) to each API process."),
    cfg.BoolOpt("allow_cleartext", default=False, help="Allow passwords and tokens without TLS beyond loopback."),
    cfg.StrOpt("ssl_certificate", help="PEM file of the server's certificate chain."),
    cfg.StrOpt("ssl_key", help="PEM file of the certificate's private key."),
    cfg.IntOpt("max_body_bytes", default=114688, min=1024, help="Largest request body."),
    cfg.IntOpt("max_limit", default=1000, min=1, help="Most items of a list that is asked for with a limit, and of lists that are never whole."),
    cfg.IntOpt(
        "kept_rows_megabytes",
        default=32,
        min=0,
        help="Memory for rows of lists that each API process keeps encoded until they change. 0: none are kept.",
    ),
    cfg.StrOpt(
        "audit_file",
        help="File to which a JSON line is appended for each request that changes something or was to, and for failed logins. "
        "The API's user must be able to write it. Default: none; the log has such lines anyway.",
    ),
    cfg.BoolOpt("metrics_per_share", default=False, help="Tell in /metrics what each share holds: a time series for each share."),
    cfg.StrOpt("public_endpoint", help="URL that links in answers begin with. Default: the request's own."),
]

QUOTA_OPTIONS: list[cfg.Opt] = [
    cfg.IntOpt(name, default=default, min=-1, help=f"{text} of a project, unless its quotas say otherwise. -1: no limit.")
    for name, default, text in (
        ("shares", 50, "Shares"),
        ("gigabytes", 1000, "GiB of all shares"),
        ("per_share_gigabytes", -1, "GiB of each share"),
        ("share_networks", 10, "Share networks"),
        ("snapshots", 50, "Snapshots"),
        ("snapshot_gigabytes", 1000, "GiB of all snapshots"),
        ("share_groups", 50, "Share groups"),
        ("share_group_snapshots", 50, "Share group snapshots"),
        ("share_replicas", 100, "Share replicas"),
        ("replica_gigabytes", 1000, "GiB of all share replicas"),
        ("backups", 10, "Share backups"),
        ("backup_gigabytes", 1000, "GiB of all share backups"),
    )
]

LIMIT_OPTIONS: list[cfg.Opt] = [
    cfg.IntOpt(name, default=default, min=-1, help=f"{text}; one more is answered with 413. -1: no limit.")
    for name, default, text in (
        ("local_networks", 100, "Local networks of a project"),
        ("subnets_per_local_network", 100, "Subnets of a local network"),
        ("subnets_per_share_network", 100, "Subnets of a share network, those included that wait for their share servers to be deleted"),
        ("security_services", 100, "Security services of a project"),
        ("resource_locks", 1000, "Resource locks of a project"),
        ("access_rules_per_share", 500, "Access rules of a share"),
        ("waiting_work", 2000, "Operations of a project that wait or run when another change of access rules, check or hand-over is asked for"),
    )
]
LIMIT_OPTIONS.append(cfg.IntOpt("messages", default=1000, min=-1, help="User messages of a project; the oldest go. -1: no limit."))

WORKER_OPTIONS: list[cfg.Opt] = [
    cfg.FloatOpt(
        "poll_interval", default=0.05, min=0.005, help="Seconds between two looks for work while some is being done; new work wakes a worker, too."
    ),
    cfg.IntOpt(
        "concurrency",
        default=24,
        min=1,
        help="Operations carried out at once. Projects share these places fairly: a project takes another one only while half as many as it "
        "then holds stay free, so that one alone gets two thirds of them.",
    ),
    cfg.IntOpt(
        "check_concurrency",
        default=4,
        min=1,
        help="Checks carried out at once, in places of their own, shared in the same way: whether share servers may get another subnet or "
        "security service.",
    ),
    cfg.FloatOpt("report_interval", default=5.0, min=0.05, help="Seconds between two signs of life, with pool capacities."),
    cfg.FloatOpt("watch_interval", default=10.0, min=0.05, help="Seconds between two looks whether every share server serves its clients."),
    cfg.FloatOpt("usage_interval", default=60.0, min=0.05, help="Seconds between two looks at what the shares of a back end hold, for /metrics."),
    cfg.IntOpt("lease_seconds", default=30, min=3, help="How long the right to serve a host lasts without renewal."),
    cfg.FloatOpt("retry_seconds", default=60.0, min=0.0, help="How long a back end that is unavailable is asked again before the operation fails."),
    cfg.FloatOpt(
        "call_seconds",
        default=900.0,
        min=0.1,
        help="How long one call of a driver or a network plug-in may take. Then the operation fails, and nothing is begun on that share server "
        "until the call comes back.",
    ),
]

BACKEND_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("share_driver", required=True, help="Name of the driver (entry point in the group abaca.share_drivers)."),
    cfg.StrOpt("availability_zone", help="Availability zone of this back end."),
]


def load(config_files: Sequence[str] = (), overrides: Mapping[str, object] | None = None) -> cfg.ConfigOpts:
    """The configuration of the files, later ones winning, and of `overrides` (`{"state_dir": …, "api.port": …}`) on top.

    Without files, `/etc/abaca/abaca.conf` is read when it is there. Raises oslo_config.cfg.Error for what is wrong in a file.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(DEFAULT_OPTIONS)
    conf.register_opts(DATABASE_OPTIONS, group="database")
    conf.register_opts(API_OPTIONS, group="api")
    conf.register_opts(QUOTA_OPTIONS, group="quota")
    conf.register_opts(LIMIT_OPTIONS, group="limits")
    conf.register_opts(WORKER_OPTIONS, group="worker")
    files = list(config_files) or [f for f in ("/etc/abaca/abaca.conf",) if os.path.exists(f)]
    conf(args=[], project="abaca", default_config_files=files, default_config_dirs=[])
    for name, value in (overrides or {}).items():
        group, _, option = name.rpartition(".")
        conf.set_override(option, value, group=group or None)
    return conf


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


def key_file(conf: cfg.ConfigOpts) -> Path:
    """The key that stored passwords are encrypted with."""
    return Path(conf.key_file or state_path(conf, "key"))


def plugin_opts(options: Mapping[str, Option]) -> list[cfg.Opt]:
    """The options of a driver or a network plug-in as oslo.config's. None of them has a default: what is not set, the plug-in is not given."""
    return [
        cfg.StrOpt(name, secret=option.is_secret, help=option.help, sample_default=option.default or None)
        for name, option in options.items()
    ]


def plugin_settings(conf: cfg.ConfigOpts, section: str, options: Mapping[str, Option]) -> dict[str, str]:
    """Those of the options of a driver or a network plug-in that are set in its section, as text."""
    conf.register_opts(plugin_opts(options), group=section)
    return {name: conf[section][name] for name in options if conf[section][name] is not None}


def backend_driver(conf: cfg.ConfigOpts, backend: str) -> tuple[str, str]:
    """The driver's name and the availability zone of back end `backend`."""
    conf.register_opts(BACKEND_OPTIONS, group=backend)
    return conf[backend].share_driver, conf[backend].availability_zone or conf.storage_availability_zone
