"""Reading request bodies: JSON to structs, tolerant where the field's API is (unknown members,
numbers and booleans as text), strict about the rest.

Every struct lists all that may be set; nothing else leaves the body. Text has no NUL characters
(PostgreSQL cannot store them).
"""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from oslo_utils import strutils

from abaca.errors import Invalid

MALFORMED = "Malformed request body"
LARGEST_INTEGER = 2**31 - 1
MOST_METADATA = 256  # of one resource
# of all its keys and values: pages of a thousand resources are made in memory
MOST_METADATA_BYTES = 65_536

Text = Annotated[str, msgspec.Meta(max_length=255)]
RequiredText = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Identifier = Annotated[str, msgspec.Meta(max_length=255)]

_T = TypeVar("_T")
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Body(msgspec.Struct, kw_only=True):
    """Base of all request structs: members that are not declared are ignored."""


def decode(raw: bytes) -> Any:
    """The JSON value. Raises Invalid unless it is JSON in UTF-8, not nested too deep, without
    escaped NUL characters."""
    if b"\\u0000" in raw:
        raise Invalid(MALFORMED)
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(MALFORMED) from None


def shape(value: Any, struct: type[_T]) -> _T:
    """`value` as `struct`. Raises Invalid naming the member that does not fit."""
    try:
        return msgspec.convert(value, struct, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"Invalid input received: {str(error).replace('`$.', '`')}.") from None


def boolean(value: object) -> bool:
    """True, "true", "on", 1 …; raises Invalid for what is not a boolean in any of the field's
    spellings."""
    try:
        return strutils.bool_from_string(str(value), strict=True)
    except ValueError as error:
        raise Invalid(str(error)) from None


def integer(value: object, complaint: str) -> int:
    """A whole number from a number or its text. Raises Invalid(complaint) for anything else and for
    what no column holds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Invalid(complaint)
    if isinstance(value, str) and not _WHOLE.fullmatch(value.strip()):
        raise Invalid(complaint)
    if isinstance(value, float) and not value.is_integer():
        raise Invalid(complaint)
    number = int(value)
    if abs(number) > LARGEST_INTEGER:
        raise Invalid(complaint)
    return number


def size(value: object, complaint: str) -> int:
    """A size in GiB: an integer greater than 0. Raises Invalid(complaint)."""
    number = integer(value, complaint)
    if number <= 0:
        raise Invalid(complaint)
    return number


def metadata(pairs: dict[str, str] | None, before: dict[str, str] | None = None) -> dict[str, str]:
    """Metadata as it is stored. Raises Invalid for blank or too long keys and values, and beyond
    the limits of a resource.

    `before`: the present metadata. What an older release allowed, or the service itself has added,
    may stay as large, or get smaller.
    """
    for key, value in (pairs or {}).items():
        if not key:
            raise Invalid("Metadata property key is blank.")
        if len(key) > 255:
            raise Invalid("Metadata property key is greater than 255 characters.")
        if not value:
            raise Invalid("Metadata property value is blank.")
        if len(value) > 1023:
            raise Invalid("Metadata property value is greater than 1023 characters.")
    if len(pairs or {}) > max(MOST_METADATA, len(before or {})):
        raise Invalid(f"There are more than {MOST_METADATA} metadata properties.")
    size = _bytes(pairs)
    if size > max(MOST_METADATA_BYTES, _bytes(before)):
        raise Invalid(
            f"The metadata has {size} bytes together, more than the {MOST_METADATA_BYTES} that "
            "one resource may have."
        )
    return pairs or {}


def _bytes(pairs: dict[str, str] | None) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in (pairs or {}).items())


def mapping(text: str) -> dict[str, str]:
    """A query parameter that holds a mapping as Python writes it, `{'key': 'value'}`. Raises
    Invalid, also for more pairs than anything has."""
    try:
        value = ast.literal_eval(text)
        # Python writes no number of thousands of digits: that is a ValueError, too.
        pairs = (
            {str(key): str(item) for key, item in value.items()}
            if isinstance(value, dict)
            else None
        )
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        pairs = None
    if (
        pairs is None
        or len(pairs) > MOST_METADATA
        or not all(map(is_storable, [*pairs, *pairs.values()]))
    ):
        raise Invalid(f"'{text}' is not a mapping of the form {{'key': 'value'}}.")
    return pairs


def is_storable(text: str) -> bool:
    """Whether a database can store it or search for it: Unicode without NUL and lone surrogates."""
    return "\x00" not in text and not _SURROGATE.search(text)


def day(name: str, text: str) -> datetime:
    """A query parameter that is a day or a point in time, `YYYY-MM-DD[THH:MM:SS]`. Raises Invalid
    naming the parameter."""
    try:
        value = datetime.fromisoformat(text)
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # the last: in UTC it is before year 1 or after year 9999
        raise Invalid(f"Bad {name} '{text}': must be of the form YYYY-MM-DD.") from None
