"""What clients say of how urgent a request is: the header Priority (RFC 9218)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_URGENCY = re.compile(r"u=([0-7])(?:;.*)?")


def is_background(environ: Mapping[str, Any]) -> bool:
    """Whether the client says that a request with this WSGI environment can wait for those of
    others: an urgency of 6 or 7."""
    priority = environ.get("HTTP_PRIORITY")
    if priority is None:
        return False
    found = [_URGENCY.fullmatch(member.strip()) for member in priority.split(",")]
    urgencies = [int(each[1]) for each in found if each is not None]
    return bool(urgencies) and urgencies[-1] >= 6  # the last one counts
