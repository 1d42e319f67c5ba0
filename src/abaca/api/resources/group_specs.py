"""/share-group-types/{id}/group-specs: the group specs of a share group type."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, plain
from abaca.api.resources.share_types import MALFORMED
from abaca.api.wire.schemas import MAP
from abaca.api.wire.share_types import one_spec, spec_texts
from abaca.db.session import begin, read
from abaca.domain.share_group_types import share_group_types
from abaca.errors import Invalid

_KIND = "group_spec"


def index(call: Call, share_group_type_id: str) -> dict[str, Any]:
    """GET /share-group-types/{id}/group-specs"""
    with read(call.engine) as conn:
        row = share_group_types.get(conn, call.caller, share_group_type_id)
    return {"group_specs": row["group_specs"]}


def create(call: Call, share_group_type_id: str) -> dict[str, Any]:
    """POST /share-group-types/{id}/group-specs: adds some, changes those that are there."""
    specs = call.body("group_specs", dict[str, Any], missing=Invalid(MALFORMED))
    if not specs:
        raise Invalid("Invalid group_spec: none is given.")
    texts = spec_texts(specs, _KIND)
    with begin(call.engine) as conn:
        share_group_types.set_specs(conn, call.caller, share_group_type_id, texts)
    return {"group_specs": texts}


def show(call: Call, share_group_type_id: str, key: str) -> dict[str, str]:
    """GET /share-group-types/{id}/group-specs/{key}"""
    with read(call.engine) as conn:
        return {key: share_group_types.get_spec(conn, call.caller, share_group_type_id, key)}


def update(call: Call, share_group_type_id: str, key: str) -> dict[str, str]:
    """PUT /share-group-types/{id}/group-specs/{key} with the body {key: value}: adds it or changes
    it."""
    texts = spec_texts(one_spec(call.json, key), _KIND)
    with begin(call.engine) as conn:
        share_group_types.set_specs(conn, call.caller, share_group_type_id, texts)
    return texts


def delete(call: Call, share_group_type_id: str, key: str) -> None:
    """DELETE /share-group-types/{id}/group-specs/{key}"""
    with begin(call.engine) as conn:
        share_group_types.delete_spec(conn, call.caller, share_group_type_id, key)


_ALL = "/v2/share-group-types/{share_group_type_id}/group-specs"
_ONE = f"{_ALL}/{{key}}"
_SPECS = plain("group_specs", MAP)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            admin("share_group_types_spec:index"),
            gives=_SPECS,
            since=31,
            experimental_until=54,
        ),
        Route(
            "POST",
            _ALL,
            create,
            admin("share_group_types_spec:create"),
            takes=Takes("group_specs", dict[str, str]),
            gives=_SPECS,
            since=31,
            experimental_until=54,
        ),
        Route(
            "GET",
            _ONE,
            show,
            admin("share_group_types_spec:show"),
            gives=plain("", MAP),
            since=31,
            experimental_until=54,
        ),
        Route(
            "PUT",
            _ONE,
            update,
            admin("share_group_types_spec:update"),
            takes=Takes("", dict[str, str]),
            gives=plain("", MAP),
            since=31,
            experimental_until=54,
        ),
        Route(
            "DELETE",
            _ONE,
            delete,
            admin("share_group_types_spec:delete"),
            status=204,
            since=31,
            experimental_until=54,
        ),
    ],
)
