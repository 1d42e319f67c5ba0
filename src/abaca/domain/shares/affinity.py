"""Shares that are to be on the host of others, or not on it: hints that a new share is placed by.

A host is a pool; on a back end that several worker hosts serve, shares whose servers stand on
different ones of these are on different hosts, too, which later moves try to keep.

Both sides keep the ids of each other in their metadata, whose keys are for administrators, so a
share that is placed again goes by them too. They leave with the share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_instances, share_servers, shares
from abaca.domain.share_servers import server_hosts
from abaca.domain.shares.share_requests import ShareRequest
from abaca.errors import Invalid, Missing
from abaca.values import Caller, Host

SAME, DIFFERENT = "__affinity_same_host", "__affinity_different_host"
MOST = 27
"""Ids under one key: as many as a value of metadata has room for (1023 characters)."""
_HOSTS = (
    sa.select(
        share_instances.c.share_id,
        share_instances.c.share_server_id,
        share_instances.c.host,
        share_servers.c.worker_host,
    )
    .outerjoin(share_servers, share_servers.c.id == share_instances.c.share_server_id)
    .where(share_instances.c.share_id.in_(sa.bindparam("ids", expanding=True)))
)
_LOCKED = (
    sa.select(shares.c.id, shares.c.metadata, shares.c.deletion_deferred_at)
    .order_by(shares.c.id)
    .with_for_update(of=shares)
)
_own = shares.alias("own")


class Pools(NamedTuple):
    """What hints leave of all pools (host@backend#pool). `only` None: any. `apart_from`: worker
    hosts of shared back ends that a new server is not to stand on."""

    only: list[str] | None = None
    without: list[str] = []
    apart_from: frozenset[str] = frozenset()


def hold(
    conn: Connection, caller: Caller, request: ShareRequest, share_network_id: str | None
) -> Pools:
    """The pools that the request's hints leave on that network. Locks the rows of the shares that
    it names, which must be of the caller's project. Raises Missing; Invalid if one is named by too
    many."""
    named = {*request.same_host, *request.different_host}
    if named:
        found = {row.id: row for row in _locked(conn, named, caller.project_id)}
        for share_id in sorted(named):
            row = found.get(share_id)
            if row is None or row.deletion_deferred_at is not None:
                raise Missing(f"Share {share_id} could not be found.")
            for key, hinted in ((SAME, request.same_host), (DIFFERENT, request.different_host)):
                if share_id in hinted and len(_ids(row.metadata, key)) >= MOST:
                    raise Invalid(
                        f"Share {share_id} is named by the hints of {MOST} shares already; more "
                        "are not possible."
                    )
    pools = _pools(conn, request.same_host, request.different_host, share_network_id)
    if request.only_host is None:
        return pools
    kept = pools.only is None or request.only_host in pools.only
    return pools._replace(only=[request.only_host] if kept else [])


def pools_for(conn: Connection, share: sa.Row[Any], share_network_id: str | None) -> Pools:
    """The pools that a share's own metadata leaves, for one that is placed again."""
    same, different = _ids(share.metadata, SAME), _ids(share.metadata, DIFFERENT)
    if not same and not different:
        return Pools()
    query = sa.select(shares.c.id).where(
        shares.c.id.in_([*same, *different]), shares.c.project_id == share.project_id
    )
    there = set(conn.scalars(query))
    return _pools(conn, there.intersection(same), there.intersection(different), share_network_id)


def partners(conn: Connection, server: sa.Row[Any]) -> dict[str, str]:
    """The share servers of the same back end with shares that those on this one are to be apart
    from, and the worker hosts on which they stand; one that leaves its host stands on that until
    it has left."""
    here = sa.select(shares.c.metadata, shares.c.project_id).where(
        shares.c.id == share_instances.c.share_id,
        share_instances.c.share_server_id == server.id,
        sa.cast(shares.c.metadata, sa.String).contains(DIFFERENT, autoescape=True),
    )
    standing: dict[str, str] = {}
    for row in conn.execute(here).all():
        of_project = sa.select(shares.c.id).where(shares.c.project_id == row.project_id)
        others = _HOSTS.where(share_instances.c.share_id.in_(of_project))
        found = conn.execute(others, {"ids": _ids(row.metadata, DIFFERENT)})
        standing |= {
            each.share_server_id: each.worker_host
            for each in found
            if each.worker_host and Host.parse(each.host).service == server.host
        }
    return standing


def metadata(request: ShareRequest) -> dict[str, str]:
    """The request's metadata, with its hints."""
    hints = {SAME: request.same_host, DIFFERENT: request.different_host}
    return request.metadata | {key: ",".join(ids) for key, ids in hints.items() if ids}


def tell(conn: Connection, share_id: str, request: ShareRequest) -> None:
    """Add the new share to the metadata of those that it names, which `hold` has locked."""
    named = {*request.same_host, *request.different_host}
    for row in _locked(conn, named, _project_of(share_id)) if named else ():
        changed = dict(row.metadata)
        for key, hinted in ((SAME, request.same_host), (DIFFERENT, request.different_host)):
            if row.id in hinted:
                changed[key] = ",".join([*_ids(changed, key), share_id])
        _store(conn, row.id, changed)


def lock_with_others(conn: Connection, share_id: str, metadata: Mapping[str, str]) -> None:
    """Lock a share's row and those of the shares that it has hints in common with, in the order of
    their ids: whoever locks one of them alone first could wait for another who does the same."""
    if others := _others(metadata):
        _locked(conn, {share_id, *others}, _project_of(share_id))


def forget(conn: Connection, share_id: str) -> None:
    """The share is in nobody's hints any more, and has none of its own."""
    own = conn.scalar(sa.select(shares.c.metadata).where(shares.c.id == share_id)) or {}
    others = _others(own)
    if not others:
        return
    for row in _locked(conn, {share_id, *others}, _project_of(share_id)):
        gone = others if row.id == share_id else {share_id}
        _store(conn, row.id, _without(row.metadata, gone))


def _pools(
    conn: Connection,
    same: Iterable[str],
    different: Iterable[str],
    share_network_id: str | None,
) -> Pools:
    same, different = set(same), set(different)
    if not same and not different:
        return Pools()
    named = conn.execute(_HOSTS, {"ids": [*same, *different]}).all()
    wanted = [{row.host for row in named if row.share_id == each and row.host} for each in same]
    unwanted = [row for row in named if row.share_id in different and row.host]
    apart = frozenset(row.worker_host for row in unwanted if row.worker_host)
    without = {row.host for row in unwanted if not row.worker_host}
    of_several = {row.host for row in unwanted if row.worker_host}
    for service_host in sorted({Host.parse(pool).service for pool in of_several}):
        if not server_hosts.can_stand_apart(conn, service_host, share_network_id, apart):
            without |= {pool for pool in of_several if Host.parse(pool).service == service_host}
    return Pools(sorted(set.intersection(*wanted)) if wanted else None, sorted(without), apart)


def _locked(
    conn: Connection, ids: Iterable[str], project: str | sa.ScalarSelect[str]
) -> list[sa.Row[Any]]:
    """Those of the shares that are the project's: what is written by hand may name any."""
    return list(conn.execute(_LOCKED.where(shares.c.id.in_(ids), shares.c.project_id == project)))


def _project_of(share_id: str) -> sa.ScalarSelect[str]:
    return sa.select(_own.c.project_id).where(_own.c.id == share_id).scalar_subquery()


def _ids(metadata: Mapping[str, str], key: str) -> list[str]:
    return [each for each in metadata.get(key, "").split(",") if each]


def _others(metadata: Mapping[str, str]) -> set[str]:
    return {*_ids(metadata, SAME), *_ids(metadata, DIFFERENT)}


def _without(metadata: Mapping[str, str], gone: set[str]) -> dict[str, str]:
    left = dict(metadata)
    for key in (SAME, DIFFERENT):
        ids = [each for each in _ids(metadata, key) if each not in gone]
        if ids:
            left[key] = ",".join(ids)
        else:
            left.pop(key, None)
    return left


def _store(conn: Connection, share_id: str, pairs: Mapping[str, str]) -> None:
    conn.execute(
        sa.update(shares)
        .where(shares.c.id == share_id)
        .values(metadata=dict(pairs), updated_at=utcnow())
    )
