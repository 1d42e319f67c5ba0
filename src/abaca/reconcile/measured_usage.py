"""Ask a back end how much each of its shares uses, and store the answer for metrics."""

from __future__ import annotations

import logging

from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.capacity import share_usages
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)


def measure(engine: Engine, host: str, driver: ShareDriver, runtime: Runtime) -> None:
    """Measure once for the back end host@backend. If it cannot tell, the previous figures stay."""
    try:
        used = deadlines.call(driver.used_bytes, f"used_bytes of {host}", runtime)
    except BackendError as error:
        _LOG.warning("back end %s does not report the usage of its shares: %s", host, error.message)
        return
    if used is not None:
        with begin(engine) as conn:
            share_usages.store(conn, host, used)
