"""JSON schemas of what answers hold, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
NUMBER_OR_NULL: Schema = {"type": ["integer", "null"]}
FLAG: Schema = {"type": "boolean"}
FLAG_OR_NULL: Schema = {"type": ["boolean", "null"]}
TIME: Schema = {"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$"}
TEXTS: Schema = {"type": "array", "items": TEXT}
NO_ITEMS: Schema = {"type": "array", "items": {"type": "object"}, "maxItems": 0}
MAP: Schema = {"type": "object", "additionalProperties": TEXT}
TEXTS_OR_NULLS: Schema = {"type": "object", "additionalProperties": TEXT_OR_NULL}
ANYTHING: Schema = {"type": "object"}
ANYTHINGS: Schema = {"type": "array", "items": ANYTHING}
LINKS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["rel", "href"],
        "properties": {"rel": TEXT, "href": TEXT},
    },
}
# The one member is the fault's name; Neutron's format has `type` and `detail` in place of the code.
FAULT: Schema = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": {
        "type": "object",
        "required": ["message"],
        "properties": {"code": NUMBER, "message": TEXT},
    },
}


def object_of(**members: Schema) -> Schema:
    """An object with exactly these members."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }
