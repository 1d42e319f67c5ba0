"""/security-services: security services. Attaching them to share networks:
`share_network_security_services`."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, creator, many, member, one, reader
from abaca.api.lists import ListQuery, answer, as_it_is, texts
from abaca.api.wire.fields import DETAIL, SUMMARY
from abaca.api.wire.security_services import (
    IN_DETAIL,
    SECURITY_SERVICE,
    SecurityServiceCreate,
    SecurityServiceUpdate,
)
from abaca.db.session import begin, read
from abaca.domain.share_networks import security_services
from abaca.errors import Unprocessable

UNPROCESSABLE = "Unable to process the contained instructions"
MASK = "******"

_OU_SINCE = 44
_SITE_SINCE = 76
_QUERY = ListQuery(
    [
        *texts("project_id", "id", "name", "type", "user", "server", "dns_ip", "domain"),
        *texts("share_network_id"),
    ],
    all_projects="security_service:get_all_security_services",
)
_KNOWN = {*_QUERY.names, "status"}


def index(call: Call) -> dict[str, Any]:
    """GET /security-services"""
    return _list(call, SUMMARY)


def detail(call: Call) -> dict[str, Any]:
    """GET /security-services/detail"""
    return _list(call, DETAIL)


def show(call: Call, security_service_id: str) -> dict[str, Any]:
    """GET /security-services/{id}"""
    with read(call.engine) as conn:
        return _one(call, security_services.get(conn, call.caller, security_service_id))


def create(call: Call) -> dict[str, Any]:
    """POST /security-services"""
    body = call.body(
        "security_service", SecurityServiceCreate, missing=Unprocessable(UNPROCESSABLE)
    )
    fields = _known(call, msgspec.structs.asdict(body))
    with begin(call.engine) as conn:
        return _one(
            call, security_services.create(conn, call.caller, **fields, limits=call.row_limits)
        )


def update(call: Call, security_service_id: str) -> dict[str, Any]:
    """PUT /security-services/{id}"""
    body = call.body(
        "security_service", SecurityServiceUpdate, missing=Unprocessable(UNPROCESSABLE)
    )
    changes = {
        name: value
        for name, value in msgspec.structs.asdict(body).items()
        if value is not msgspec.UNSET
    }
    with begin(call.engine) as conn:
        return _one(
            call,
            security_services.update(conn, call.caller, security_service_id, _known(call, changes)),
        )


def delete(call: Call, security_service_id: str) -> None:
    """DELETE /security-services/{id}"""
    with begin(call.engine) as conn:
        security_services.delete(conn, call.caller, security_service_id)


def _list(call: Call, level: int) -> dict[str, Any]:
    is_odd = call.caller.is_admin and call.query.keys() - _KNOWN
    find = _find_nothing if is_odd else security_services.find
    told = _readable if level == DETAIL else as_it_is
    return answer(call, _QUERY, find, "security_services", IN_DETAIL, level=level, told=told)


def _find_nothing(*_wanted: object) -> list[dict[str, Any]]:
    """Nothing has what nobody knows, as clients expect of this list."""
    return []


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("security_service", SECURITY_SERVICE, _readable(call, row))


def _readable(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    """With the password for those who may also set it, as clients of the field's API expect; others
    see that there is one."""
    token = row["encrypted_password"]
    if token is None:
        return {**row, "password": None}
    return {
        **row,
        "password": call.cipher.decrypt(token)
        if call.permits("security_service:show_password")
        else MASK,
    }


def _known(call: Call, fields: dict[str, Any]) -> dict[str, Any]:
    """The columns to store: without what the version does not know, the password encrypted."""
    if call.version < _OU_SINCE:
        fields.pop("ou", None)
    if call.version < _SITE_SINCE:
        fields.pop("default_ad_site", None)
    if "password" in fields:
        password = fields.pop("password")
        fields["encrypted_password"] = None if password is None else call.cipher.encrypt(password)
    return fields


_ALL = "/v2/security-services"
_ONE = f"{_ALL}/{{security_service_id}}"
_SHOWN = one("security_service", SECURITY_SERVICE)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("security_service:index"),
            gives=many("security_services", SECURITY_SERVICE, SUMMARY),
            query=_QUERY.names,
        ),
        Route(
            "POST",
            _ALL,
            create,
            creator("security_service:create"),
            takes=Takes("security_service", SecurityServiceCreate),
            gives=_SHOWN,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            detail,
            reader("security_service:detail"),
            gives=many("security_services", IN_DETAIL),
            query=_QUERY.names,
        ),
        Route("GET", _ONE, show, reader("security_service:show"), gives=_SHOWN),
        Route(
            "PUT",
            _ONE,
            update,
            member("security_service:update"),
            takes=Takes("security_service", SecurityServiceUpdate),
            gives=_SHOWN,
        ),
        Route("DELETE", _ONE, delete, member("security_service:delete"), status=202),
    ],
    rules=[
        admin(
            "security_service:get_all_security_services",
            "List the security services of all projects.",
        ),
        member("security_service:show_password", "See the password of a security service."),
    ],
)
