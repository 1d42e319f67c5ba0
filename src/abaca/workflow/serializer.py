"""How workflow arguments, step results and errors are stored: as JSON only.

The worker runs as root and reads rows that an unprivileged process wrote. DBOS falls back to pickle
for rows that say so, whichever serializer is configured; importing this module disables that for
the whole process, so that such a row ends in an error unread.
"""

from __future__ import annotations

from typing import Any

import msgspec
from dbos import Serializer
from dbos._serialization import DefaultSerializer

from abaca.errors import BACKEND_ERRORS, AbacaError, BackendError
from abaca.workflow.queue import SERIALIZATION


class Bug(AbacaError):
    """An unexpected exception, as it is read back from the database."""


class PickleRefused(AbacaError):
    """A stored row asks to be unpickled."""


class JsonSerializer(Serializer):
    """JSON text. Errors are `{"error": {"name", "message", "details", "is_public"}}`; backend
    errors are restored as their class."""

    def name(self) -> str:
        return SERIALIZATION

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):
            details, is_public = (
                (data.details, data.is_public) if isinstance(data, BackendError) else ({}, False)
            )
            name = type(data).__name__
            message = data.message if isinstance(data, AbacaError) else f"{name}: {data}"
            data = {
                "error": {
                    "name": name,
                    "message": message,
                    "details": details,
                    "is_public": is_public,
                }
            }
        return msgspec.json.encode(data).decode()

    def deserialize(cls, serialized_data: str) -> Any:
        data = msgspec.json.decode(serialized_data)
        if isinstance(data, dict) and data.keys() == {"error"}:
            return _restored_error(**data["error"])
        return data


def _restored_error(
    name: str, message: str, details: dict[str, str], is_public: bool = False
) -> Exception:
    """`is_public` is not recorded in work that an earlier release began."""
    kind = BACKEND_ERRORS.get(name)
    return kind(message, details, is_public=is_public) if kind else Bug(message)


def _refuse_pickle(_serializer: DefaultSerializer, serialized_data: str) -> Any:
    raise PickleRefused("a stored workflow row is labelled as pickle and was not read")


DefaultSerializer.deserialize = _refuse_pickle  # type: ignore[method-assign, assignment]
