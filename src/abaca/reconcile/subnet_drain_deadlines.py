"""End drains that have reached their deadline."""

from __future__ import annotations

import logging
from functools import partial

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.network_changes import subnet_drain_deadlines
from abaca.errors import CallerError
from abaca.reconcile.passes import once

_LOG = logging.getLogger(__name__)


def meet_due(engine: Engine) -> None:
    """Cancel each drain or remove its subnet, one by one: one that cannot be ended does not stop
    the others. Several workers may run this at once. A removal that is refused is logged once for
    each reason, by one of them: projects decide how many there are."""
    with read(engine) as conn:
        subnet_ids = subnet_drain_deadlines.due(conn)
    for subnet_id in subnet_ids:
        once(f"the deadline of subnet {subnet_id}", partial(_meet, engine, subnet_id))


def _meet(engine: Engine, subnet_id: str) -> None:
    try:
        with begin(engine) as conn:
            subnet_drain_deadlines.meet(conn, subnet_id)
    except CallerError as error:
        with begin(engine) as conn:
            is_news = subnet_drain_deadlines.refused(conn, subnet_id, error.message)
        if is_news:
            _LOG.warning("subnet %s is not removed at its deadline: %s", subnet_id, error.message)
