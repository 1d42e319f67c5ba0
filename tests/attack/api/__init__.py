"""Attacks by strangers, and by tenants, on the API's port."""

from __future__ import annotations

from collections.abc import Callable

from tests.attack.registry import Act, attack

DATABASES = ("sqlite", "postgresql")


def on_each_database(name: str, *, waits: bool = False) -> Callable[[Act], Act]:
    """Mark a function as an attack on the API over SQLite, and on that over PostgreSQL; `waits`:
    run both at once."""

    def mark(act: Act) -> Act:
        for kind in DATABASES:
            attack(f"API, {kind}: {name}", stage=f"api_{kind}", at_once=name if waits else "")(act)
        return act

    return mark
