"""What the checks before a change of a share network answer."""

from __future__ import annotations

from typing import cast

from abaca.api.wire.clients import CLIENT
from abaca.api.wire.schemas import (
    FLAG,
    FLAG_OR_NULL,
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    TEXTS,
    Schema,
    object_of,
)


def check(**more: Schema) -> Schema:
    """An answer with these members beside those of each check; `hosts_check_result`, by back end,
    is for administrators."""
    always = object_of(compatible=FLAG_OR_NULL, **more)
    by_host: Schema = {"type": "object", "additionalProperties": FLAG_OR_NULL}
    return {**always, "properties": {**always["properties"], "hosts_check_result": by_host}}


def _listed(**members: Schema) -> Schema:
    return {"type": "array", "items": object_of(**members)}


ADDITION = check(addresses_needed=NUMBER, addresses_free=NUMBER_OR_NULL, reasons=TEXTS)
"""All but what Manila has is an extension."""
_OF_CLIENT = {field.name: cast(Schema, field.type) for field in CLIENT.fields}
REMOVAL = check(
    export_locations=_listed(id=TEXT, share_id=TEXT, path=TEXT),
    access_rules=_listed(id=TEXT, share_id=TEXT, access_to=TEXT, access_level=TEXT),
    clients={"anyOf": [_listed(share_server_id=TEXT, **_OF_CLIENT), {"type": "null"}]},
    all_clients=FLAG,
)
SECURITY_SERVICE = check(
    requested_operation=object_of(
        operation=TEXT, current_security_service=TEXT_OR_NULL, new_security_service=TEXT_OR_NULL
    )
)
