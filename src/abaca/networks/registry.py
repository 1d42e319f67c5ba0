"""Network plug-ins by name: ours and every other that is installed, through the entry points of the
group `abaca.network_plugins`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from abaca.errors import Unavailable
from abaca.installed_plugins import in_group
from abaca.networks.interface import NetworkPlugin
from abaca.networks.local import PortStore

GROUP = "abaca.network_plugins"

_Factory = Callable[[Mapping[str, str], PortStore], NetworkPlugin]


def known() -> list[str]:
    """The names of the plug-ins that are installed."""
    return sorted({point.name for point in in_group(GROUP)})


def plugin_class(name: str) -> type[NetworkPlugin]:
    """The class of a plug-in. Raises Unavailable when there is none of that name, it cannot be
    imported, or it is no NetworkPlugin."""
    points = tuple(in_group(GROUP).select(name=name))
    if not points:
        raise Unavailable(
            f"There is no network plug-in '{name}'. Known plug-ins: {', '.join(known()) or 'none'}."
        )
    try:
        factory = points[0].load()
    except (ImportError, AttributeError) as error:
        raise Unavailable(f"The network plug-in '{name}' cannot be loaded: {error}.") from error
    if not (isinstance(factory, type) and issubclass(factory, NetworkPlugin)):
        raise Unavailable(
            f"The network plug-in '{name}' ({points[0].value}) is not a NetworkPlugin."
        )
    return factory


def load(name: str, options: Mapping[str, str], store: PortStore) -> NetworkPlugin:
    """Make a network plug-in: `Plugin(options, store)`. `store` is for those that keep their
    addresses with Abaca; others ignore it.

    Raises as `plugin_class` does, and when the plug-in rejects its options.
    """
    return cast(_Factory, plugin_class(name))(options, store)
