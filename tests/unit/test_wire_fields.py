"""Field tables: the mechanism, and what must hold for every table."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import datetime

import pytest

from abaca.api import wire
from abaca.api.microversions import MAX_VERSION
from abaca.api.routing import ROUTES
from abaca.api.wire.fields import (
    DETAIL,
    SHOW,
    SUMMARY,
    Constant,
    Field,
    View,
    time_field,
    timestamp,
)

MODULES = [
    importlib.import_module(f"{wire.__name__}.{found.name}")
    for found in pkgutil.iter_modules(wire.__path__)
]
TABLES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, View)
}

VIEW = View(
    "Thing",
    Field("always", level=SUMMARY),
    Field("young", since=10),
    Field("old", until=9),
    Field("changed", "first", until=19, level=SUMMARY),
    Field("changed", "second", since=20, level=SUMMARY),
    Field("doubled", "always", convert=lambda value: value * 2),
    Field("computed", lambda row: row["always"] + row["first"], level=SHOW),
    Field("fixed", Constant(None), level=SHOW),
    Field("secret", "second", admin=True),
    Field("secret", Constant("hidden"), admin=False),
)
ROW = {"always": 1, "young": 2, "old": 3, "first": 4, "second": 5}


@pytest.mark.parametrize(
    ("version", "level", "is_admin", "expected"),
    [
        (0, SUMMARY, False, {"always": 1, "changed": 4}),
        (19, SUMMARY, True, {"always": 1, "changed": 4}),
        (20, SUMMARY, False, {"always": 1, "changed": 5}),
        (9, DETAIL, False, {"always": 1, "old": 3, "changed": 4, "doubled": 2, "secret": "hidden"}),
        (
            10,
            DETAIL,
            False,
            {"always": 1, "young": 2, "changed": 4, "doubled": 2, "secret": "hidden"},
        ),
        (10, DETAIL, True, {"always": 1, "young": 2, "changed": 4, "doubled": 2, "secret": 5}),
        (
            70,
            SHOW,
            True,
            {
                "always": 1,
                "young": 2,
                "changed": 5,
                "doubled": 2,
                "computed": 5,
                "fixed": None,
                "secret": 5,
            },
        ),
    ],
)
def test_rendering(version: int, level: int, is_admin: bool, expected: dict[str, object]) -> None:
    for _ in range(2):  # the plan is made, then remembered
        assert VIEW.render(ROW, version, level=level, is_admin=is_admin) == expected
    assert VIEW.render_all([ROW, ROW], version, level=level, is_admin=is_admin) == [
        expected,
        expected,
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (datetime(2026, 8, 21, 11, 5), "2026-08-21T11:05:00.000000"),
        (datetime(2026, 8, 21, 11, 5, 0, 1), "2026-08-21T11:05:00.000001"),
    ],
)
def test_timestamps(value: datetime | None, text: str | None) -> None:
    assert timestamp(value) == text
    assert View("Thing", time_field("at")).render({"at": value}, 0) == {"at": text}


def test_every_table_is_shown_and_named() -> None:
    """So the tests below, which go through all of them, miss none that an answer shows."""
    assert set(TABLES.values()) == {
        route.gives.view for route in ROUTES if route.gives and route.gives.view
    }


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("is_admin", [True, False])
@pytest.mark.parametrize("level", [SUMMARY, DETAIL, SHOW])
def test_a_member_has_one_meaning_at_a_time(name: str, is_admin: bool, level: int) -> None:
    """At no version do two fields of a table write the same member."""
    for version in range(MAX_VERSION + 1):
        names = [
            field.name for field in TABLES[name].fields if field.lives_in(version, level, is_admin)
        ]
        assert len(names) == len(set(names)), f"{name} at 2.{version}"


@pytest.mark.parametrize("name", TABLES)
def test_what_others_see_administrators_see(name: str) -> None:
    for version in range(MAX_VERSION + 1):
        for level in (SUMMARY, DETAIL, SHOW):
            theirs, others = (
                {f.name for f in TABLES[name].fields if f.lives_in(version, level, who)}
                for who in (True, False)
            )
            assert others <= theirs


@pytest.mark.parametrize("name", TABLES)
def test_fields_live_at_some_version(name: str) -> None:
    for field in TABLES[name].fields:
        last = MAX_VERSION if field.until is None else field.until
        assert 0 <= field.since <= last <= MAX_VERSION
