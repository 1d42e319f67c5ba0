"""What drivers and network plug-ins say of the options that may be in their sections of the
configuration."""

from __future__ import annotations

import msgspec


class Option(msgspec.Struct, frozen=True):
    """One option. Its value is text, which the constructor of the driver or plug-in judges.

    `help`: sentences that say what it is, its unit, and an example where that helps. `default`:
    what leaving it out means; empty where that is nothing, or follows from the machine (then
    the help says how). A secret one is never shown.
    """

    help: str
    default: str = ""
    is_secret: bool = False
