"""Every option of the service, with defaults that need no file. `SECTIONS` says which sections they
are in.

Drivers and network plug-ins say what theirs are (`plugin_options`).
"""

from __future__ import annotations

import socket

from oslo_config import cfg, types

LARGEST_LIMIT = 2**31 - 1  # as for quotas over the API; databases count no further than 2**63


class Shaped(types.String):
    """Text that looks as `regex` says; `what` says it to people."""

    def __init__(self, what: str, regex: str) -> None:
        super().__init__(regex=regex)
        self.what = what


DEFAULT_OPTIONS: list[cfg.Opt] = [
    cfg.Opt(
        "state_dir",
        Shaped("an absolute path", r"^/"),
        default="/var/lib/abaca",
        help="Folder for everything that Abaca keeps on this machine, as an absolute path. Users "
        "who may not write to the default have "
        "~/.local/state/abaca.",
    ),
    cfg.StrOpt(
        "key_file",
        sample_default="$state_dir/key",
        help="File with the key that encrypts stored passwords of security services. It must be "
        "the same on every host, and belongs in a "
        "backup of its own.",
    ),
    cfg.Opt(
        "host",
        Shaped(
            "a name of letters, digits, '.', '-' and '_'", r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$"
        ),
        default=socket.gethostname(),
        sample_default="<this machine's name>",
        help="Name of this worker host: letters, digits, '.', '-' and '_'. Its work and its back "
        "ends carry it (host@backend), so do not "
        "change it once there are shares.",
    ),
    cfg.StrOpt(
        "log_level",
        default="INFO",
        choices=[
            ("DEBUG", "details, for looking for a fault"),
            ("INFO", "who did what, and what began and ended"),
            ("WARNING", "what went wrong, and was handled"),
            ("ERROR", "what an administrator has to act on"),
        ],
        help="What is logged: this level and those below it.",
    ),
    cfg.ListOpt(
        "enabled_share_backends",
        default=[],
        help="Names of the back ends that the worker of this host serves, separated by commas: "
        "fast, slow. Each has a section of its name  "
        "with the driver (share_driver) and the driver's options. If empty, there is one back "
        "end: linux where this machine has what it "
        "needs, else fake, which stores nothing.",
    ),
    cfg.StrOpt(
        "storage_availability_zone",
        default="nova",
        help="Availability zone of the back ends whose sections name none.",
    ),
    cfg.StrOpt(
        "default_share_type",
        help="Name of the share type of shares that are created without one: gold. By default "
        "there is none.",
    ),
    cfg.StrOpt(
        "default_share_group_type",
        help="Name of the share group type of share groups that are created without one. By "
        "default there is none.",
    ),
    cfg.ListOpt(
        "admin_only_metadata",
        default=["__affinity_same_host", "__affinity_different_host"],
        help="Keys of share metadata that only administrators may set, change or delete, "
        "separated by commas.",
    ),
    cfg.ListOpt(
        "admin_only_el_metadata",
        default=["preferred"],
        help="Keys of export location metadata that only administrators may set, change or "
        "delete, separated by commas.",
    ),
    cfg.ListOpt(
        "driver_updatable_subnet_metadata",
        default=[],
        help="Keys of share network subnet metadata, separated by commas, that are handed to the "
        "drivers of the share servers on the subnet "
        "when they are set (API version 2.89).",
    ),
    cfg.StrOpt(
        "network_plugin",
        default="local",
        help="Network plug-in that knows subnets and gives addresses: local (networks of Abaca's "
        "own), neutron, or one from a package. Its "
        "options are in the section of its name.",
    ),
    cfg.IntOpt(
        "service_down_time",
        default=20,
        min=2,
        help="Seconds without a heartbeat after which a back end counts as down. More than "
        "[worker] report_interval.",
    ),
    cfg.IntOpt(
        "unused_share_server_cleanup_interval",
        default=600,
        min=1,
        help="Seconds that a share server is kept after its last share was deleted.",
    ),
    cfg.IntOpt(
        "soft_deleted_share_retention_time",
        default=7 * 24 * 3600,
        min=0,
        max=2**31,
        help="Seconds that a soft-deleted share is kept in the recycle bin. The default is seven "
        "days.",
    ),
    cfg.BoolOpt(
        "is_deferred_deletion_enabled",
        default=False,
        help="A share or snapshot that is deleted is out of its project's sight and quotas at "
        "once. Its data go in the background; a deletion that fails is tried again by itself, and "
        "only administrators see it.",
    ),
    cfg.IntOpt(
        "periodic_deferred_delete_interval",
        default=300,
        min=1,
        max=2**31,
        help="Seconds after which deferred deletions that failed are tried again.",
    ),
    cfg.IntOpt(
        "transfer_retention_time",
        default=300,
        min=1,
        max=2**31,
        help="Seconds for which a share transfer can be accepted.",
    ),
]

DATABASE_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "connection",
        secret=True,
        sample_default="sqlite:////var/lib/abaca/db/abaca.sqlite",
        help="URL of the database: postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or "
        "sqlite:///PATH. Write $$ for a $ in it. Workers on "
        "several machines need PostgreSQL.",
    ),
    cfg.IntOpt(
        "pool_size",
        default=10,
        min=1,
        help="Connections to the database that each API process keeps open.",
    ),
]

API_OPTIONS: list[cfg.Opt] = [
    cfg.HostAddressOpt(
        "listen",
        default="127.0.0.1",
        help="IP address or host name to listen on: 0.0.0.0 or :: for all. Beyond loopback TLS is "
        "served, with a certificate of its own authority unless ssl_certificate names one (see "
        "allow_cleartext).",
    ),
    cfg.PortOpt("port", default=8786, min=1, help="TCP port to listen on."),
    cfg.IntOpt("workers", default=2, min=1, help="Number of API processes."),
    cfg.IntOpt("threads", default=4, min=2, help="Requests that each API process handles at once."),
    cfg.StrOpt(
        "user",
        default="abaca",
        help="User that the API runs as when root starts it. `make system` makes the default one; "
        "root keeps root.",
    ),
    cfg.StrOpt(
        "auth_strategy",
        default="http_basic",
        choices=[
            ("http_basic", "users and bcrypt hashes in a file"),
            ("keystone", "tokens of an OpenStack cloud; see [keystone_authtoken]"),
            ("noauth", "anybody is accepted; for tests, on loopback only"),
        ],
        help="How callers prove who they are.",
    ),
    cfg.StrOpt(
        "http_basic_auth_user_file",
        sample_default="$state_dir/users",
        help="File with the users of http_basic, one a line: "
        "user:bcrypt-hash:project:role[,role]. `abaca user` writes it.",
    ),
    cfg.IntOpt(
        "login_token_seconds",
        default=3600,
        min=60,
        max=86400,
        help="Seconds that a token from a login of an http_basic user is valid, made at "
        "/v3/auth/tokens.",
    ),
    cfg.ListOpt(
        "trusted_proxies",
        default=[],
        help="Addresses or prefixes of reverse proxies, separated by commas: 10.0.0.10/32, "
        "fd00::10/128. Their X-Forwarded-For, -Proto and "
        "-Host headers are believed; those of all others are ignored.",
    ),
    cfg.IntOpt(
        "connections_per_client",
        default=256,
        min=8,
        help="Most connections of one client, an IPv4 address or an IPv6 /64, to each API process.",
    ),
    cfg.BoolOpt(
        "allow_cleartext",
        default=False,
        help="Whether passwords and tokens may travel without TLS beyond loopback: behind a proxy "
        "that does TLS. Then no certificate is made.",
    ),
    cfg.ListOpt(
        "certificate_names",
        default=[],
        item_type=types.HostAddress(),
        help="More names and addresses by which clients call the API, separated by commas, for "
        "the certificate that Abaca makes: shares.example.org. The machine's own are in it anyway.",
    ),
    cfg.StrOpt(
        "ssl_certificate",
        help="PEM file with the server's certificate chain: /etc/abaca/chain.pem. Goes with "
        "ssl_key. Without both, Abaca makes a certificate where TLS is needed: `abaca tls show`.",
    ),
    cfg.StrOpt(
        "ssl_key",
        help="PEM file with the certificate's private key: /etc/abaca/key.pem. The API's user "
        "must be able to read it. RSA of 2048 to 4096 bits, EC P-256 or P-384, or Ed25519, without "
        "a passphrase.",
    ),
    cfg.IntOpt("max_body_bytes", default=114688, min=1024, help="Largest request body, in bytes."),
    cfg.IntOpt(
        "max_limit",
        default=1000,
        min=1,
        help="Most items of a list that is asked for with a limit, and of lists that are never "
        "whole.",
    ),
    cfg.IntOpt(
        "kept_rows_megabytes",
        default=32,
        min=0,
        help="Memory, in megabytes, for rows of lists that each API process keeps encoded until "
        "they change. 0: none are kept.",
    ),
    cfg.StrOpt(
        "audit_file",
        help="File to which a JSON line is appended for each request that changes something or "
        "tried to, and for failed logins: "
        "/var/log/abaca/audit.log. The API's user must be able to write it. The log has such "
        "lines anyway.",
    ),
    cfg.BoolOpt(
        "metrics_per_share",
        default=False,
        help="Whether /metrics tells what each share holds: a time series for each share.",
    ),
    cfg.BoolOpt(
        "page",
        default=True,
        help="Whether the API serves the web page at /ui/. Without it the API is as reachable as "
        "with it: the page is a client like any other.",
    ),
    cfg.Opt(
        "public_endpoint",
        Shaped("a URL of http or https", r"^https?://\S+$"),
        help="URL that links in answers begin with, as clients reach the API: "
        "https://shares.example.org:8786. By default that of the request.",
    ),
]

QUOTA_OPTIONS: list[cfg.Opt] = [
    cfg.IntOpt(
        name,
        default=default,
        min=-1,
        max=LARGEST_LIMIT,
        help=f"{text} of a project, unless its quotas say otherwise. -1: no limit.",
    )
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
        ("encryption_keys", 100, "Keys that shares are encrypted with"),
    )
]

LIMIT_OPTIONS: list[cfg.Opt] = [
    cfg.IntOpt(
        name,
        default=default,
        min=-1,
        max=LARGEST_LIMIT,
        help=f"{text}; one more is answered with 413. -1: no limit.",
    )
    for name, default, text in (
        ("local_networks", 100, "Most local networks of a project"),
        ("subnets_per_local_network", 100, "Most subnets of a local network"),
        (
            "rbac_policies_per_local_network",
            100,
            "With how many projects a local network is shared at most",
        ),
        (
            "subnets_per_share_network",
            100,
            "Most subnets of a share network, those included that wait for their share servers to "
            "be deleted",
        ),
        ("security_services", 100, "Most security services of a project"),
        ("resource_locks", 1000, "Most resource locks of a project"),
        ("access_rules_per_share", 500, "Most access rules of a share"),
        ("dns_names", 100, "Most names in DNS of a project that its shares ask for"),
        (
            "waiting_work",
            2000,
            "Most operations of a project that wait or run when another change of access rules, "
            "check or hand-over is asked for",
        ),
    )
]
LIMIT_OPTIONS.append(
    cfg.IntOpt(
        "messages",
        default=1000,
        min=-1,
        max=LARGEST_LIMIT,
        help="Most user messages of a project; the oldest are deleted. -1: no limit.",
    )
)

WORKER_OPTIONS: list[cfg.Opt] = [
    cfg.FloatOpt(
        "poll_interval",
        default=0.05,
        min=0.005,
        help="Seconds between two polls for work while some is being done; new work wakes a "
        "worker too.",
    ),
    cfg.IntOpt(
        "concurrency",
        default=24,
        min=1,
        help="Operations carried out at once. Projects share these slots fairly: a project takes "
        "another one only while half as many as it would then hold stay free, so that a single "
        "project gets two thirds of them.",
    ),
    cfg.IntOpt(
        "check_concurrency",
        default=4,
        min=1,
        help="Checks carried out at once, in slots of their own, shared in the same way: whether "
        "share servers can get another subnet or security service.",
    ),
    cfg.FloatOpt(
        "report_interval",
        default=5.0,
        min=0.05,
        help="Seconds between two heartbeats of a back end, with the room of its pools.",
    ),
    cfg.FloatOpt(
        "watch_interval",
        default=10.0,
        min=0.05,
        help="Seconds between two checks that every share server serves its clients.",
    ),
    cfg.FloatOpt(
        "usage_interval",
        default=60.0,
        min=0.05,
        help="Seconds between two measurements of what a back end's shares hold, for /metrics.",
    ),
    cfg.IntOpt(
        "lease_seconds",
        default=30,
        min=3,
        help="Seconds that the right to serve a host lasts without renewal.",
    ),
    cfg.FloatOpt(
        "retry_seconds",
        default=60.0,
        min=0.0,
        help="Seconds that a back end that is unavailable is asked again before the operation "
        "fails: once at least, unless 0.",
    ),
    cfg.FloatOpt(
        "call_seconds",
        default=900.0,
        min=0.1,
        help="Seconds that one call of a driver or a network plug-in may take. Then the operation "
        "fails, and nothing is begun on that share "
        "server until the call comes back.",
    ),
    cfg.Opt(
        "tunnel_address",
        Shaped("an address with its prefix length as 10.99.0.1/24", r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$"),
        help="Address by which other worker hosts reach this one, with the prefix length of the "
        "network that all of them are in: 10.99.0.1/24. VXLAN networks of Abaca's own then "
        "reach every host, through tunnels to addresses of that network only. Keep it apart "
        "from others: VXLAN neither proves who sends nor encrypts. By default networks are on "
        "one host each.",
    ),
    cfg.PortOpt(
        "tunnel_port",
        default=4789,
        min=1,
        help="UDP port of the tunnels, the same on every host.",
    ),
    cfg.FloatOpt(
        "tunnel_interval",
        default=5.0,
        min=0.05,
        help="Seconds between two looks at where the ports of networks are; changes are noticed "
        "at once.",
    ),
    cfg.FloatOpt(
        "backup_hours",
        default=24.0,
        min=0.0001,
        help="Hours that a backup of a share, or restoring one, may take; then it fails.",
    ),
]

FAILOVER_OPTIONS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "enabled",
        default=False,
        help="Whether this worker has the share servers of a host that is dead taken over by "
        "others, as `abaca-manage host evacuate` does: one whose worker's lease has ended, and "
        "that answers no more on the networks of the storage and of the tunnels, where it "
        "answered before. For back ends with backend_host.",
    ),
    cfg.FloatOpt(
        "delay_seconds",
        default=10.0,
        min=1.0,
        help="Seconds that it must be found so without a break, counted from the end of the "
        "lease ([worker] lease_seconds); it is looked at twice meanwhile.",
    ),
    cfg.FloatOpt(
        "pause_seconds",
        default=600.0,
        min=0.0,
        help="Seconds after a host was taken for dead in which no other one is.",
    ),
]

_DOMAIN = r"(?:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_A_DOMAIN = Shaped(
    "a domain name in lower case of at most 120 characters", f"^(?=.{{1,120}}$){_DOMAIN}$"
)

DNS_OPTIONS: list[cfg.Opt] = [
    cfg.Opt(
        "domain",
        _A_DOMAIN,
        help="Domain below which share servers, and shares that ask for it, have names: "
        "nfs.example.org. The API and the workers need the same one. By default there are no "
        "names.",
    ),
    cfg.ListOpt(
        "networks",
        item_type=Shaped("an IP network as 10.0.0.0/8", r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$"),
        default=["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"],
        help="Networks whose addresses are published, separated by commas; others are left out. "
        "Where projects choose the ranges of their subnets, name only addresses that lead to "
        "nobody else: a name below the domain with another's address is good for certificates, "
        "cookies and phishing. By default the private ranges of RFC 1918, RFC 6598 and RFC 4193.",
    ),
    cfg.IntOpt(
        "ttl",
        default=60,
        min=1,
        max=86_400,
        help="Seconds that resolvers may keep an address. Let a subnet drain for longer than "
        "this and interval together.",
    ),
    cfg.FloatOpt(
        "interval",
        default=10.0,
        min=0.05,
        max=3600.0,
        help="Seconds between two checks that what is published is still right.",
    ),
    cfg.Opt(
        "zone_file",
        Shaped("an absolute path", r"^/.*[^/]$"),
        help="File that the worker writes as the zone of the domain: "
        "/var/lib/abaca-dns/nfs.example.org.zone. Its folder exists, and only root may write to "
        "it.",
    ),
    cfg.ListOpt(
        "nameservers",
        item_type=_A_DOMAIN,
        default=[],
        help="Names of the zone's servers, the primary first, separated by commas: "
        "ns1.example.org. For zone_file.",
    ),
    cfg.Opt(
        "hostmaster",
        _A_DOMAIN,
        sample_default="hostmaster.$domain",
        help="Mail address of who is responsible for the zone, with a '.' for the '@'. For "
        "zone_file.",
    ),
    cfg.Opt(
        "server",
        types.IPAddress(),
        help="IP address of the primary server that takes updates (RFC 2136) and zone transfers "
        "signed with the key in key_file.",
    ),
    cfg.PortOpt("port", default=53, min=1, help="TCP port of the server."),
    cfg.Opt(
        "zone",
        _A_DOMAIN,
        sample_default="$domain",
        help="Zone on the server that the domain is in, where it is not a zone itself.",
    ),
    cfg.Opt(
        "key_file",
        Shaped("an absolute path", r"^/.*[^/]$"),
        help="File with the key of updates, as `tsig-keygen` writes it: "
        "/etc/abaca/dns.key. Others may not read it.",
    ),
    cfg.Opt(
        "owner",
        Shaped("letters, digits, '.', '-' and '_'", r"^[A-Za-z0-9._-]{1,100}$"),
        default="abaca",
        help="Text of the TXT record that marks each name on the server as this installation's. "
        "Give each installation that shares a zone another one.",
    ),
]

BACKEND_OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "share_driver",
        required=True,
        help="Name of the back end's driver: linux, fake, or one from a package (entry points "
        "abaca.share_drivers).",
    ),
    cfg.Opt(
        "backend_host",
        Shaped("letters, digits, '.', '-' and '_'", r"^[A-Za-z0-9._-]{1,100}$"),
        sample_default="$host",
        help="What stands before @ in the name of this back end, instead of the worker's host: the "
        "same on several hosts, whose workers then serve it together. Only for storage that each "
        "of them reaches (linux: ceph_config). Its share servers can go from one host to another. "
        "Experimental. Example: cluster.",
    ),
    cfg.StrOpt(
        "availability_zone",
        sample_default="$storage_availability_zone",
        help="Availability zone of this back end.",
    ),
]

SECTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": DEFAULT_OPTIONS,
    "database": DATABASE_OPTIONS,
    "api": API_OPTIONS,
    "quota": QUOTA_OPTIONS,
    "limits": LIMIT_OPTIONS,
    "worker": WORKER_OPTIONS,
    "failover": FAILOVER_OPTIONS,
    "dns": DNS_OPTIONS,
}
"""What the service itself reads. Back ends and network plug-ins have sections of their own names,
libraries theirs."""
