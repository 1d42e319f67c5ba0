"""What the text of an option says. Raises Unavailable, naming the option, when that makes no
sense."""

from __future__ import annotations

import math
from collections.abc import Mapping

from abaca.errors import Unavailable


def number(options: Mapping[str, str], name: str, least: float) -> float:
    """A finite number that is at least `least`."""
    try:
        found = float(options[name])
    except ValueError as error:
        raise Unavailable(f"option {name} must be a number, not '{options[name]}'") from error
    if not least <= found < math.inf:
        raise Unavailable(f"option {name} must be at least {least}, not {options[name]}")
    return found


def flag(options: Mapping[str, str], name: str) -> bool:
    """True or false."""
    found = {"true": True, "false": False}.get(options[name].lower())
    if found is None:
        raise Unavailable(f"option {name} must be true or false, not '{options[name]}'")
    return found


def items(text: str) -> list[str]:
    """What is listed, separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]
