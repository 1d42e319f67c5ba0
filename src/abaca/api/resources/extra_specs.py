"""/types/{id}/extra_specs: the extra specs of a share type."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, plain
from abaca.api.resources.share_types import MALFORMED
from abaca.api.wire.schemas import MAP
from abaca.api.wire.share_types import one_spec, spec_texts
from abaca.db.session import begin, read
from abaca.domain.share_types import share_types
from abaca.errors import Invalid


def index(call: Call, type_id: str) -> dict[str, Any]:
    """GET /types/{id}/extra_specs"""
    with read(call.engine) as conn:
        return {"extra_specs": share_types.get(conn, call.caller, type_id)["extra_specs"]}


def create(call: Call, type_id: str) -> dict[str, Any]:
    """POST /types/{id}/extra_specs: adds some, changes those that are there."""
    specs = call.body("extra_specs", dict[str, Any], missing=Invalid(MALFORMED))
    if not specs:
        raise Invalid("Invalid extra_spec: none is given.")
    texts = spec_texts(specs)
    with begin(call.engine) as conn:
        share_types.set_extra_specs(conn, call.caller, type_id, texts)
    return {"extra_specs": texts}


def show(call: Call, type_id: str, key: str) -> dict[str, str]:
    """GET /types/{id}/extra_specs/{key}"""
    with read(call.engine) as conn:
        return {key: share_types.get_extra_spec(conn, call.caller, type_id, key)}


def update(call: Call, type_id: str, key: str) -> dict[str, str]:
    """PUT /types/{id}/extra_specs/{key} with the body {key: value}: adds it or changes it."""
    texts = spec_texts(one_spec(call.json, key))
    with begin(call.engine) as conn:
        share_types.set_extra_specs(conn, call.caller, type_id, texts)
    return texts


def delete(call: Call, type_id: str, key: str) -> None:
    """DELETE /types/{id}/extra_specs/{key}. Below 2.24 snapshot_support cannot go either."""
    kept = {share_types.HANDLES_SERVERS} | (
        {share_types.SNAPSHOT_SUPPORT} if call.version < 24 else set()
    )
    with begin(call.engine) as conn:
        share_types.delete_extra_spec(conn, call.caller, type_id, key, kept=kept)


_ALL = "/v2/types/{type_id}/extra_specs"
_ONE = f"{_ALL}/{{key}}"

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            admin("share_types_extra_spec:index"),
            gives=plain("extra_specs", MAP),
        ),
        Route(
            "POST",
            _ALL,
            create,
            admin("share_types_extra_spec:create"),
            takes=Takes("extra_specs", dict[str, str]),
            gives=plain("extra_specs", MAP),
        ),
        Route("GET", _ONE, show, admin("share_types_extra_spec:show"), gives=plain("", MAP)),
        Route(
            "PUT",
            _ONE,
            update,
            admin("share_types_extra_spec:update"),
            takes=Takes("", dict[str, str]),
            gives=plain("", MAP),
        ),
        Route("DELETE", _ONE, delete, admin("share_types_extra_spec:delete"), status=202),
    ],
)
