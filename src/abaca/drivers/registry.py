"""Drivers by name: the in-tree ones and every other that is installed, through the entry points of
the group `abaca.share_drivers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from abaca.drivers.interface import ShareDriver
from abaca.errors import Unavailable
from abaca.installed_plugins import in_group

GROUP = "abaca.share_drivers"

_Factory = Callable[[str, Mapping[str, str]], ShareDriver]


def known() -> list[str]:
    """The names of the drivers that are installed."""
    return sorted({point.name for point in in_group(GROUP)})


def driver_class(driver_name: str) -> type[ShareDriver]:
    """The class of a driver. Raises Unavailable when there is none of that name, when it cannot be
    imported, or when it is no ShareDriver."""
    points = tuple(in_group(GROUP).select(name=driver_name))
    if not points:
        raise Unavailable(
            f"There is no driver '{driver_name}'. Known drivers: {', '.join(known()) or 'none'}."
        )
    try:
        factory = points[0].load()
    except (ImportError, AttributeError) as error:
        raise Unavailable(f"The driver '{driver_name}' cannot be loaded: {error}.") from error
    if not (isinstance(factory, type) and issubclass(factory, ShareDriver)):
        raise Unavailable(f"The driver '{driver_name}' ({points[0].value}) is not a ShareDriver.")
    return factory


def load(driver_name: str, backend_name: str, options: Mapping[str, str]) -> ShareDriver:
    """Make the driver of a back end with its own options. Raises as `driver_class` does, and when
    the driver rejects its options."""
    return cast(_Factory, driver_class(driver_name))(backend_name, options)
