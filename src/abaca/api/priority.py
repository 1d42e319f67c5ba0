"""What clients say of how urgent a request is: the header Priority (RFC 9218)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LAST = re.compile(r"(?:.*,)?\s*u=[67]\s*(?:[,;].*)?")  # of its eight urgencies


def is_background(environ: Mapping[str, Any]) -> bool:
    """Whether the client says that a request with this WSGI environment can wait for those of
    others: an urgency of 6 or 7."""
    priority = environ.get("HTTP_PRIORITY")
    return priority is not None and _LAST.fullmatch(priority) is not None
