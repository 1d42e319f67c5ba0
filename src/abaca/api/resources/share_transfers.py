"""/share-transfers: shares that are handed over to other projects, since 2.77."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import (
    Resource,
    Route,
    Takes,
    admin,
    creator,
    many,
    member,
    one,
    reader,
)
from abaca.api.lists import ListQuery, answer, texts
from abaca.api.wire import bodies
from abaca.api.wire.fields import SUMMARY
from abaca.api.wire.share_transfers import (
    OFFERED_SHARE_TRANSFER,
    SHARE_TRANSFER,
    TransferAccept,
    TransferCreate,
)
from abaca.db.session import begin, read
from abaca.domain.transfers import share_transfers
from abaca.errors import Invalid, Missing

_QUERY = ListQuery(
    texts("id", "name", "name~", "resource_type", "resource_id", "source_project_id"),
    all_projects="share_transfer:get_all_tenant",
)


def index(call: Call) -> dict[str, Any]:
    """GET /share-transfers"""
    find = share_transfers.LISTING.find
    return answer(call, _QUERY, find, "transfers", SHARE_TRANSFER, level=SUMMARY, told=_linked)


def detail(call: Call) -> dict[str, Any]:
    """GET /share-transfers/detail"""
    find = share_transfers.LISTING.find
    return answer(call, _QUERY, find, "transfers", SHARE_TRANSFER, told=_linked)


def show(call: Call, transfer_id: str) -> dict[str, Any]:
    """GET /share-transfers/{id}"""
    with read(call.engine) as conn:
        row = share_transfers.get(conn, call.caller, transfer_id)
    return call.one("transfer", SHARE_TRANSFER, _linked(call, row))


def create(call: Call) -> dict[str, Any]:
    """POST /share-transfers: the only answer that has the key."""
    new = call.body("transfer", TransferCreate, missing=Invalid(bodies.MALFORMED))
    if not new.share_id:
        raise Invalid("Must supply 'share_id' attribute.")
    try:
        with begin(call.engine) as conn:
            offer = share_transfers.create(
                conn,
                call.caller,
                new.share_id,
                new.name,
                call.conf.transfer_retention_time,
            )
            row = share_transfers.get(conn, call.caller, offer.id)
    except Missing as error:  # the share is an argument, not what the URL names
        raise Invalid("Invalid share: Share specified was not found.") from error
    told = _linked(call, row) | {"auth_key": offer.auth_key}
    return call.one("transfer", OFFERED_SHARE_TRANSFER, told)


def accept(call: Call, transfer_id: str) -> None:
    """POST /share-transfers/{id}/accept"""
    given = call.body("accept", TransferAccept, missing=Invalid(bodies.MALFORMED))
    clear_access_rules = bodies.boolean(given.clear_access_rules)
    with begin(call.engine) as conn:
        is_accepted = share_transfers.accept(
            conn,
            call.caller,
            transfer_id,
            given.auth_key,
            clear_access_rules=clear_access_rules,
            quota_defaults=call.quota_defaults,
        )
    if not is_accepted:
        raise Invalid(
            f"Transfer {transfer_id} cannot be accepted: there is no transfer with this id and "
            "this authorization key."
        )


def delete(call: Call, transfer_id: str) -> None:
    """DELETE /share-transfers/{id}: the share is available again."""
    with begin(call.engine) as conn:
        share_transfers.delete(conn, call.caller, transfer_id)


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"links": call.links("share-transfers", row["id"])}


_ALL = "/v2/share-transfers"
_ONE = f"{_ALL}/{{transfer_id}}"

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_transfer:get_all"),
            gives=many("transfers", SHARE_TRANSFER, SUMMARY),
            query=_QUERY.names,
            since=77,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            detail,
            reader("share_transfer:get_all"),
            gives=many("transfers", SHARE_TRANSFER),
            query=_QUERY.names,
            since=77,
        ),
        Route(
            "POST",
            _ALL,
            create,
            member("share_transfer:create"),
            takes=Takes("transfer", TransferCreate),
            gives=one("transfer", OFFERED_SHARE_TRANSFER),
            status=202,
            since=77,
        ),
        Route(
            "GET",
            _ONE,
            show,
            reader("share_transfer:get"),
            gives=one("transfer", SHARE_TRANSFER),
            since=77,
        ),
        Route("DELETE", _ONE, delete, member("share_transfer:delete"), since=77),
        Route(
            "POST",
            f"{_ONE}/accept",
            accept,
            creator("share_transfer:accept"),
            takes=Takes("accept", TransferAccept),
            status=202,
            since=77,
        ),
    ],
    rules=[admin("share_transfer:get_all_tenant", "List the share transfers of all projects.")],
)
