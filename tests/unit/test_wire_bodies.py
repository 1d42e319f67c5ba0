"""Reading bodies: what is taken and what is refused."""

from __future__ import annotations

import string
from datetime import datetime
from typing import Any

import msgspec
import pytest

from abaca.api.wire import bodies
from abaca.errors import Invalid
from tests.properties import given, st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


class Example(bodies.Body):
    name: bodies.Text | None = None
    count: int = 0
    labels: dict[str, str] | None = None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Example()),
        ({"unknown": 1}, Example()),
        (
            {"name": "a", "count": "7", "labels": {"k": "v"}},
            Example(name="a", count=7, labels={"k": "v"}),
        ),
        ({"name": None, "labels": None}, Example()),
        ({"name": "x" * 255}, Example(name="x" * 255)),
    ],
)
def test_shape(value: Any, expected: Example) -> None:
    assert bodies.shape(value, Example) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        5,
        {"name": 5},
        {"name": "x" * 256},
        {"count": "x"},
        {"count": None},
        {"labels": {"k": 1}},
    ],
)
def test_what_has_another_shape(value: Any) -> None:
    with pytest.raises(Invalid, match="Invalid input received"):
        bodies.shape(value, Example)


@given(st.binary(max_size=40))
def test_decode_takes_or_refuses_any_bytes(raw: bytes) -> None:
    try:
        bodies.decode(raw)
    except Invalid as error:
        assert error.message == bodies.MALFORMED


@given(JSON)
def test_any_value_has_the_shape_or_is_refused(value: Any) -> None:
    try:
        assert isinstance(bodies.shape(value, Example), Example)
    except Invalid as error:
        assert error.message.startswith("Invalid input received")


@given(JSON)
def test_sizes_are_whole_positive_and_fit_a_column(value: Any) -> None:
    try:
        assert 0 < bodies.size(value, "no") < 2**31
    except Invalid as error:
        assert error.message == "no"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        ("1", 1),
        (" 12 ", 12),
        (3.0, 3),
        (2**31 - 1, 2**31 - 1),
        ("-5", -5),
        (-5, -5),
        (0, 0),
    ],
)
def test_integers(value: Any, number: int) -> None:
    assert bodies.integer(value, "no") == number


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "x",
        "1.5",
        1.5,
        "1e3",
        "٣",
        [],
        {},
        2**31,
        -(2**31),
        "9" * 400,
        float("inf"),
        float("nan"),
    ],
)
def test_what_is_no_integer(value: Any) -> None:
    with pytest.raises(Invalid, match="no"):
        bodies.integer(value, "no")


@pytest.mark.parametrize(
    "text",
    ["x", "", "[]", "{", "{'a': open('x')}", "().__class__", "{" * 500, "9" * 5000, "1+1", "\x00"],
)
def test_what_is_no_mapping(text: str) -> None:
    with pytest.raises(Invalid, match="is not a mapping"):
        bodies.mapping(text)


@given(
    st.dictionaries(
        st.text(string.printable, max_size=5),
        st.text(string.printable, max_size=5) | st.integers() | st.booleans(),
        max_size=3,
    )
)
def test_mappings(value: dict[str, Any]) -> None:
    assert bodies.mapping(repr(value)) == {key: str(item) for key, item in value.items()}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-08-21", datetime(2026, 8, 21)),
        ("2026-08-21T11:05:00", datetime(2026, 8, 21, 11, 5)),
        ("2026-08-21T11:05:00+02:00", datetime(2026, 8, 21, 9, 5)),
        ("2026-08-21T11:05:00Z", datetime(2026, 8, 21, 11, 5)),
    ],
)
def test_days(text: str, moment: datetime) -> None:
    assert bodies.day("created_since", text) == moment


@given(JSON)
def test_what_was_encoded_is_decoded(value: Any) -> None:
    raw = msgspec.json.encode(value)
    if b"\\u0000" not in raw:
        assert bodies.decode(raw) == value
