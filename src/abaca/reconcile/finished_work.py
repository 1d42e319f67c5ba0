"""Forget the records of work that ended some time ago, and give up on work that killed its worker again and again."""

from __future__ import annotations

from abaca.workflow import retention

KEPT_SECONDS = 24 * 3600


def forget_old() -> None:
    """Delete what ended more than a day ago, successfully or not."""
    retention.delete_finished(KEPT_SECONDS)
