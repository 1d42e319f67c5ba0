"""Attacks of one project on a service's worker and database, while another project works."""

from __future__ import annotations

from collections.abc import Callable

from tests.attack.registry import Act, attack

DATABASES = ("sqlite", "postgresql")
A_SHARE = 2.0  # seconds: what the making of a share of another project may take under attack


def on_each_database(name: str, *, waits: bool = False) -> Callable[[Act], Act]:
    """Mark a function as an attack on a worker over SQLite, and on one over PostgreSQL; `waits`:
    run both at once."""

    def mark(act: Act) -> Act:
        for kind in DATABASES:
            attack(
                f"worker, {kind}: {name}",
                stage=f"work_{kind}",
                limit_seconds=A_SHARE,
                at_once=name if waits else "",
            )(act)
        return act

    return mark
