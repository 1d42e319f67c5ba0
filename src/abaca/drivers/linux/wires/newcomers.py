"""How fast new neighbours come to a share server: the kernel's table of neighbours is the
machine's, and one server's must not fill it.

Whoever was heard of within a minute is let through, which clients of NFS are with their leases; of
others so many a second for each share server. Who speaks in the name of thousands keeps newcomers
from that server, and from no other. Text for nft only; the table is not replaced with that of port
security, or everybody would be a newcomer at each change.
"""

from __future__ import annotations

from collections.abc import Iterable

A_SECOND = 50
# of all servers; one that is flooded takes about 3,000
_KNOWN = "size 262144; flags dynamic, timeout; timeout 1m;"
_TABLE = "bridge abaca-newcomers"


def table(server_ports: Iterable[str]) -> str:
    """What makes the table, or brings it to these ports and leaves what it knows of neighbours."""
    ports = ", ".join(f'"{port}"' for port in sorted(server_ports))
    return f"""\
table {_TABLE} {{
    set servers {{ type ifname; }}
    set pace {{ type ifname; size 65536; flags dynamic; }}
    set ipv4 {{ type ifname . ipv4_addr; {_KNOWN} }}
    set ipv6 {{ type ifname . ipv6_addr; {_KNOWN} }}
    chain new {{ }}
    chain arriving {{ type filter hook forward priority 10; policy accept; }}
}}
flush chain {_TABLE} arriving
flush chain {_TABLE} new
flush set {_TABLE} servers
table {_TABLE} {{
    chain new {{
        update @pace {{ oifname limit rate over {A_SECOND}/second burst {A_SECOND} packets }} drop
        ether type arp add @ipv4 {{ oifname . arp saddr ip }} accept
        ether type ip add @ipv4 {{ oifname . ip saddr }} accept
        ether type ip6 add @ipv6 {{ oifname . ip6 saddr }} accept
        drop
    }}
    chain arriving {{
        oifname != @servers accept
        ether type arp oifname . arp saddr ip @ipv4 accept
        ether type ip oifname . ip saddr @ipv4 update @ipv4 {{ oifname . ip saddr }} accept
        ether type ip6 oifname . ip6 saddr @ipv6 update @ipv6 {{ oifname . ip6 saddr }} accept
        goto new
    }}
}}
{f"add element {_TABLE} servers {{ {ports} }}" if ports else ""}
"""
