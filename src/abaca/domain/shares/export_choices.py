"""On which subnets of its share server a share is exported: the choice of its metadata and its
type, and what it means for a given set of subnets.

The metadata `export_subnets` names subnets, by id or CIDR, or a family; a share type's extra spec
`abaca:export_subnets` names a family. Names are resolved when they are set, so a subnet that is
added later does not join a choice, unless it is of a chosen family. Changing the metadata of a
share in use: `share_metadata`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.addresses import plain_network
from abaca.db.tables import pools, share_instances, share_network_subnets, shares
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.rows.draining import DRAINS
from abaca.domain.share_types.share_types import EXPORT_FAMILY, FAMILIES
from abaca.errors import Conflict, Invalid
from abaca.values import ExportChoice

KEY = "export_subnets"
"""Of a share's metadata."""
CAPABILITY = "export_subnets_support"
_MOST_NAMED = 5  # shares that a refusal names


def of(share: Any) -> ExportChoice:
    """The export choice of a share's row."""
    return msgspec.convert(share.export_choice or {}, ExportChoice)


def stored(choice: ExportChoice) -> dict[str, Any] | None:
    """An export choice as the column `export_choice` stores it."""
    return None if choice.is_free else msgspec.to_builtins(choice)


def demanded(choice: ExportChoice) -> dict[str, str]:
    """The capability that the choice needs, as an extra spec."""
    return {} if choice.is_free else {CAPABILITY: "<is> True"}


def is_made(metadata: Mapping[str, str], extra_specs: Mapping[str, str]) -> bool:
    """Whether metadata or type choose anything."""
    return KEY in metadata or EXPORT_FAMILY in extra_specs


def choose(
    metadata: Mapping[str, str], extra_specs: Mapping[str, str], subnets: Sequence[sa.Row[Any]]
) -> ExportChoice:
    """The choice of metadata and type among `subnets` (rows with id, cidr, ip_version; the latter
    two None until they are looked up). Raises Invalid, with the reason, if a name is unknown or
    nothing is left."""
    family = extra_specs.get(EXPORT_FAMILY)
    names = _names(metadata.get(KEY))
    if len(names) == 1 and names[0] in FAMILIES:
        if family not in (None, names[0]):
            raise _invalid(f"the share type exports on {family} subnets only, not on {names[0]}")
        family, names = names[0], []
    version = FAMILIES[family] if family is not None else None
    ids = [id_ for name in names for id_ in _named(name, subnets)]
    choice = ExportChoice(
        share_network_subnet_ids=list(dict.fromkeys(ids)) if names else None, ip_version=version
    )
    chosen = _among(choice, subnets)
    if not chosen or (names and len(chosen) < len(set(ids))):
        raise _invalid(
            f"the share type exports on {family} subnets only, and not all that were named are such"
            if names
            else f"the share server has no {family} subnet"
        )
    return choice


def within_buckets(
    metadata: Mapping[str, str],
    extra_specs: Mapping[str, str],
    buckets: Mapping[str, Sequence[sa.Row[Any]]],
) -> dict[str, ExportChoice]:
    """For a share that is not placed yet: by availability zone, the choice among its subnets;
    without zones that lack one of the names. Raises Invalid if no zone has all."""
    found: dict[str, ExportChoice] = {}
    complaint: Invalid | None = None
    for zone, subnets in buckets.items():
        try:
            found[zone] = choose(metadata, extra_specs, subnets)
        except Invalid as invalid:
            complaint = invalid
    if not found and complaint is not None:
        raise complaint
    return found


def subnets_of(conn: Connection, share_server_ids: Collection[str]) -> list[sa.Row[Any]]:
    """The subnets that these servers are on, or will be, without those that are being removed: rows
    of share_server_id, id, cidr, ip_version, drains; the oldest first."""
    table = share_network_subnets
    return list(
        conn.execute(
            sa.select(
                mappings.c.share_server_id,
                *[table.c[name] for name in ("id", "cidr", "ip_version")],
                DRAINS.label("drains"),
            )
            .join(table, table.c.id == mappings.c.share_network_subnet_id)
            .where(mappings.c.share_server_id.in_(share_server_ids), ~mappings.c.is_leaving)
            .order_by(table.c.created_at, table.c.id)
        )
    )


def require_capable(conn: Connection, choice: ExportChoice, hosts: Collection[str]) -> None:
    """Raises Conflict if one of these pools (host@backend#pool) cannot export on chosen subnets
    only."""
    if choice.is_free:
        return
    capable = {
        row.host
        for row in conn.execute(sa.select(pools).where(pools.c.host.in_(hosts)))
        if row.stats.get("capabilities", {}).get(CAPABILITY)
    }
    if lacking := sorted(set(hosts) - capable):
        raise Conflict(
            f"The back end of the share does not support {KEY}: it lacks {CAPABILITY} on "
            f"{', '.join(lacking)}."
        )


def require_exported_without(
    conn: Connection, share_server_ids: Collection[str], subnet_id: str
) -> None:
    """Raises Conflict, naming them, if shares on these servers would be exported nowhere without a
    subnet."""
    left: dict[str, list[sa.Row[Any]]] = {id_: [] for id_ in share_server_ids}
    for subnet in subnets_of(conn, share_server_ids):
        if subnet.id != subnet_id:
            left[subnet.share_server_id].append(subnet)
    bound = conn.execute(
        sa.select(
            share_instances.c.share_id, share_instances.c.share_server_id, shares.c.export_choice
        )
        .join(shares, shares.c.id == share_instances.c.share_id)
        .where(
            share_instances.c.share_server_id.in_(share_server_ids),
            shares.c.export_choice.is_not(None),
        )
    )
    stranded = sorted(
        {row.share_id for row in bound if not _among(of(row), left[row.share_server_id])}
    )
    if stranded:
        more = f" and {len(stranded) - _MOST_NAMED} more" if len(stranded) > _MOST_NAMED else ""
        raise Conflict(
            f"Subnet {subnet_id} is the last on which some shares are exported: "
            f"{', '.join(stranded[:_MOST_NAMED])}{more}. Change their metadata {KEY} first."
        )


# -------------------------------------------------------------------------------------------------


def _among(choice: ExportChoice, subnets: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
    return [each for each in subnets if choice.admits(each.id, each.ip_version)]


def _names(text: str | None) -> list[str]:
    if text is None:
        return []
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise _invalid("it is empty, or there is nothing between two commas")
    if len(names) > 1 and set(names) & FAMILIES.keys():
        raise _invalid("ipv4 or ipv6 must be given alone, without subnets or the other family")
    return names


def _named(name: str, subnets: Sequence[sa.Row[Any]]) -> list[str]:
    """The ids of the subnets with that id or CIDR."""
    if any(each.id == name for each in subnets):
        return [name]
    try:
        wanted = plain_network(name)
    except ValueError:
        wanted = None
    found = [
        each.id
        for each in subnets
        if wanted and each.cidr and plain_network(each.cidr, strict=False) == wanted
    ]
    if found:
        return found
    if wanted and any(each.cidr is None for each in subnets):
        raise _invalid(
            f"no subnet is known to have the CIDR '{name}', but some have yet to be looked up: "
            "name the subnet by its id, or try again later"
        )
    raise _invalid(
        f"'{name}' is neither the id nor the CIDR of a share network subnet that the share's "
        f"server is on, nor a family ({', '.join(FAMILIES)})"
    )


def no_server() -> Invalid:
    """Why a share on a back end without share servers cannot have a choice."""
    return _invalid("the share is on no share server, so it is exported as its back end does it")


def _invalid(reason: str) -> Invalid:
    return Invalid(f"Invalid {KEY}: {reason}.")
