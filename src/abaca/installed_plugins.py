"""Drivers and network plug-ins that are installed, as entry points."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import EntryPoints, entry_points


def in_group(group: str) -> EntryPoints:
    """The entry points of a group. What is installed is read once in a process, and again when
    `sys.path` has changed: it is a file for each distribution, which takes 25 ms of CPU."""
    return _all(tuple(sys.path)).select(group=group)


@cache
def _all(_path: tuple[str, ...]) -> EntryPoints:
    return entry_points()  # type: ignore[return-value]  # its type is that of Python before 3.12
