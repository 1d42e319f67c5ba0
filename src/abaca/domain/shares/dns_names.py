"""Names in DNS: of share servers, and of shares whose project asks for one.

A share server is `server-<id>.<domain>`. A share with the metadata `dns_name` is
`<dns_name>.<project>.<domain>`: projects have parts of the name space of their own, so none takes
the name of another, of a share server, or of whatever else is in the domain. Within a project a
name is one share's: that of the first that asked.

Projects choose the ranges of their subnets too, so names have only addresses in the networks that
the operator allows: no name below its domain leads to a machine that a project has elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.addresses import Address, Network, plain_address
from abaca.db.tables import network_allocations, share_instances, share_network_subnets, shares
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.rows.draining import DRAINS
from abaca.domain.rows.row_limits import RowLimits, hold_in_project, require_room
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import export_choices
from abaca.domain.shares.share_instances import IS_ACTIVE
from abaca.errors import Conflict, Invalid

KEY = "dns_name"
"""Of a share's metadata."""
SHOWN_KEY = "abaca:dns_name"
"""Of the metadata of an export location: the name to mount by. It is shown, never stored."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ENCODED = re.compile(r"..--")  # xn--… is shown as other letters, which may look like anything
_HASHED = "project-"

_ASKED = shares.c.metadata[KEY].as_string()
_IS_KEPT = shares.c.deletion_deferred_at.is_(None)  # else its project may give the name away


class AllNames(NamedTuple):
    """Each name and its addresses; and each name that is not published, or not with all of its
    addresses, and why: one reason of perhaps several."""

    names: dict[str, frozenset[Address]]
    left_out: dict[str, str]


def of_server(domain: str, share_server_id: str) -> str:
    """The name of a share server."""
    return f"server-{share_server_id}.{domain}"


def of_share(domain: str, project_id: str, label: str) -> str:
    """The name of a share of that project that asks for `label`."""
    return f"{label}.{project_label(project_id)}.{domain}"


def project_label(project_id: str) -> str:
    """A label that no other project has: the id where it is a label, else what it hashes to."""
    if is_label(project_id) and not project_id.startswith(_HASHED):
        return project_id
    return _HASHED + hashlib.sha256(project_id.encode()).hexdigest()[:32]


def is_label(text: str) -> bool:
    """Whether it is one label of a host name (RFC 1123), in lower case, and not an encoded one."""
    return _LABEL.fullmatch(text) is not None and not _ENCODED.match(text)


def require_allowed(conn: Connection, share_id: str, limits: RowLimits) -> None:
    """Judge the name that the metadata of a share asks for, once it is stored in this transaction.
    No other name of the project is judged until that ends.

    Invalid when it is no label; Conflict when another share of the project has it; OverQuota.
    """
    share = conn.execute(
        sa.select(shares.c.project_id, _ASKED.label("label")).where(shares.c.id == share_id)
    ).one()
    if not is_label(share.label):
        raise Invalid(
            f"Invalid {KEY} '{share.label[:80]}': it must be one label of a host name: 1 to 63 "
            "letters a to z, digits and hyphens, beginning and ending with a letter or digit, and "
            "no two hyphens as third and fourth character."
        )
    hold_in_project(conn, KEY, share.project_id)
    others = (shares.c.project_id == share.project_id) & (shares.c.id != share_id) & _IS_KEPT
    taken = conn.scalar(sa.select(shares.c.id).where(others, share.label == _ASKED).limit(1))
    if taken is not None:
        raise Conflict(f"The {KEY} '{share.label}' is that of share {taken} already.")
    named = others & _ASKED.is_not(None)
    require_room(conn, "dns_names", limits.dns_names, named, f"project {share.project_id}")


def shown(conn: Connection, domain: str, share: Mapping[str, Any]) -> str | None:
    """The name by which clients mount a share (`id`, `project_id`, `metadata`, `created_at`,
    `share_server_id`): its own, else its share server's. None without a share server."""
    if share["share_server_id"] is None:
        return None
    label = share["metadata"].get(KEY)
    if label is not None and is_label(label) and not _is_others(conn, share, label):
        return of_share(domain, share["project_id"], label)
    return of_server(domain, share["share_server_id"])


def all_names(conn: Connection, domain: str, networks: Sequence[Network]) -> AllNames:
    """Every name and its addresses in `networks`, in two statements: those of share servers that
    serve, on the subnets that they serve and that stay. A name without an address is left out."""
    on_subnets = _addresses(conn)
    found = AllNames({}, {})
    for server_id, subnets in on_subnets.items():
        name = of_server(domain, server_id)
        if is_label(name.removesuffix(f".{domain}")):
            _put(found, name, [row.ip_address for row in subnets], networks)
        else:
            found.left_out[name] = "the id of the share server is no part of a host name"
    taken = set()
    for share in _named_shares(conn):
        name = of_share(domain, share.project_id, share.label)
        if name not in taken and is_label(share.label):
            taken.add(name)
            choice = export_choices.of(share)
            rows = on_subnets.get(share.share_server_id, ())
            texts = [
                row.ip_address
                for row in rows
                if choice.admits(row.share_network_subnet_id, row.ip_version)
            ]
            _put(found, name, texts, networks)
    return found


# -------------------------------------------------------------------------------------------------


def _is_others(conn: Connection, share: Mapping[str, Any], label: str) -> bool:
    """Whether an older share of the project asked for it too, before names were judged."""
    older = sa.tuple_(shares.c.created_at, shares.c.id) < (share["created_at"], share["id"])
    query = sa.select(shares.c.id).where(
        shares.c.project_id == share["project_id"], label == _ASKED, older, _IS_KEPT
    )
    return conn.scalar(query.limit(1)) is not None


def _named_shares(conn: Connection) -> sa.CursorResult[Any]:
    """Shares that ask for a name and stand on a share server, the oldest first."""
    return conn.execute(
        sa.select(
            shares.c.project_id,
            shares.c.export_choice,
            share_instances.c.share_server_id,
            _ASKED.label("label"),
        )
        .join(share_instances, share_instances.c.share_id == shares.c.id)
        .where(
            _ASKED.is_not(None),
            _IS_KEPT,
            IS_ACTIVE,
            share_instances.c.share_server_id.is_not(None),
        )
        .order_by(shares.c.created_at, shares.c.id)
    )


def _addresses(conn: Connection) -> dict[str, list[Any]]:
    """Share server id → rows of ip_address, share_network_subnet_id, ip_version."""
    subnet = share_network_subnets
    rows = conn.execute(
        sa.select(
            network_allocations.c.share_server_id,
            network_allocations.c.share_network_subnet_id,
            network_allocations.c.ip_address,
            subnet.c.ip_version,
        )
        .join(
            mappings,
            (mappings.c.share_server_id == network_allocations.c.share_server_id)
            & (mappings.c.share_network_subnet_id == network_allocations.c.share_network_subnet_id),
        )
        .join(subnet, subnet.c.id == network_allocations.c.share_network_subnet_id)
        .where(
            ~servers.is_changing(),
            ~DRAINS,
            network_allocations.c.share_server_id.in_(servers.serving()),
        )
    )
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.share_server_id].append(row)
    return found


def _put(found: AllNames, name: str, texts: Iterable[str], networks: Sequence[Network]) -> None:
    """Add a name with those of its addresses that are in the networks. What a network plug-in gave
    may be no address."""
    allowed = set()
    for text in sorted(texts):
        try:
            address = plain_address(text)
        except ValueError:
            found.left_out[name] = f"{text[:40]!r} is no address"
            continue
        if any(address in network for network in networks):
            allowed.add(address)
        else:
            found.left_out[name] = f"{address} is in none of [dns] networks"
    if allowed:
        found.names[name] = frozenset(allowed)
