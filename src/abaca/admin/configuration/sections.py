"""The sections that a configuration may have, with their options: the service's, libraries', and
those of the plug-ins that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from oslo_config import cfg
from oslo_policy import opts as policy_opts

from abaca import config
from abaca.admin.configuration.given import Given, source_of
from abaca.admin.configuration.names import nearest
from abaca.drivers import registry as drivers
from abaca.errors import Unavailable
from abaca.networks import registry as networks
from abaca.options import BACKEND_OPTIONS, SECTIONS
from abaca.plugin_options import Option

KEYSTONE = "keystone_authtoken"
DEFAULT_BACKENDS = ("linux", "fake")
"""One of them is the back end of a configuration that names none."""

_BACKEND_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Catalogue:
    """`sections` as `names.Sections`, `backends` (name → driver) those whose driver is there; and
    what came up while they were looked for.

    `errors` and `warnings` are sentences; `foreign` are those about plug-ins that cannot be loaded
    on this machine. `with_plugins`: whether plug-ins are loaded; otherwise their sections may hold
    whatever they like.
    """

    def __init__(self, conf: cfg.ConfigOpts, given: Sequence[Given], *, with_plugins: bool) -> None:
        self._conf = conf
        self._all = given
        self._given = {each.section for each in given}
        self._drivers = {each.section for each in given if each.option == "share_driver"}
        self._with_plugins = with_plugins
        self.backends: dict[str, str] = {}
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.foreign: list[str] = []
        policy_opts.set_defaults(conf)
        own: dict[str, Sequence[cfg.Opt] | None] = dict(SECTIONS)
        self.sections = own | dict(policy_opts.list_opts())

    def add_others(self) -> None:
        """Those of Keystone, back ends and network plug-ins."""
        with suppress(cfg.Error):  # auth_strategy has no valid value, which is reported
            self._add_keystone()
        names = self._conf.enabled_share_backends
        for name in dict.fromkeys(names):
            self._add_backend(name)
        if not names:
            for name in self._given.intersection(DEFAULT_BACKENDS):
                self._put_backend(name, name)
        plugin = self._conf.network_plugin
        known = networks.known()
        self._put(
            plugin,
            self._of_plugin(
                "DEFAULT",
                "network_plugin",
                plugin,
                known,
                lambda: networks.plugin_class(plugin).OPTIONS,
            ),
        )
        for name in sorted(self._given - self.sections.keys()):
            self._add_unused(name)
        for name in (*known, *(() if names else DEFAULT_BACKENDS)):
            self.sections.setdefault(name, None)

    def _add_keystone(self) -> None:
        is_wanted = self._conf.api.auth_strategy == "keystone"
        if KEYSTONE in self._given and not is_wanted:
            self.warnings.append(
                f"[{KEYSTONE}] is not used: [api] auth_strategy is "
                f"{self._conf.api.auth_strategy}, not keystone."
            )
        self.sections[KEYSTONE] = None
        if is_wanted and self._with_plugins:
            try:
                from abaca.api.keystone import section_options

                self.sections |= section_options(self._conf)
            except ImportError as error:
                self.foreign.append(
                    "[api] auth_strategy = keystone needs keystonemiddleware (pip install "
                    f"'abaca[openstack]'): {error}."
                )
            except cfg.Error as error:
                self.errors.append(str(error))

    def _add_backend(self, name: str) -> None:
        named = (
            f"{source_of(self._all, 'DEFAULT', 'enabled_share_backends')}[DEFAULT] "
            f"enabled_share_backends names {name}"
        )
        if not _BACKEND_NAME.fullmatch(name) or name in (*self.sections, *networks.known()):
            self.errors.append(
                f"{named}, which cannot be the name of a back end: letters, digits, - and _ only, "
                "and no section of another purpose."
            )
            return
        self.sections[name] = None
        if name not in self._drivers:
            near = nearest(name, sorted(self._drivers))
            guess = f" Did you mean {near}?" if near else ""
            what = (
                f"[{name}] has no share_driver"
                if name in self._given
                else f"there is no section [{name}]"
            )
            needed = f" It needs share_driver: one of {_listed(drivers.known())}."
            self.errors.append(f"{named}, and {what}.{guess or needed}")
            return
        with suppress(cfg.Error):  # its value is invalid, which is reported
            self._put_backend(name, config.backend_driver(self._conf, name)[0])

    def _put_backend(self, name: str, driver: str) -> None:
        options = self._of_plugin(
            name,
            "share_driver",
            driver,
            drivers.known(),
            lambda: drivers.driver_class(driver).OPTIONS,
        )
        self._put(name, options, BACKEND_OPTIONS)
        if options is not None:
            self.backends[name] = driver

    def _of_plugin(
        self,
        section: str,
        option: str,
        name: str,
        known: list[str],
        options: Callable[[], Mapping[str, Option]],
    ) -> list[cfg.Opt] | None:
        """The options of a driver or network plug-in that is named there; None: they are not
        known."""
        where = f"{source_of(self._all, section, option)}[{section}] {option}"
        if name not in known:
            near = nearest(name, known)
            guess = f" Did you mean {near}?" if near else ""
            self.foreign.append(
                f"{where} = {name}: there is none of that name here.{guess} There are: "
                f"{_listed(known)}."
            )
            return None
        if not self._with_plugins:
            return None
        try:
            return config.plugin_opts(options())
        except Unavailable as error:
            self.foreign.append(f"{where} = {name}: {error.message}")
            return None

    def _put(
        self, section: str, options: list[cfg.Opt] | None, more: Sequence[cfg.Opt] = ()
    ) -> None:
        """Make it known, with its options registered."""
        self.sections[section] = None if options is None else [*more, *options]
        self._conf.register_opts([*more, *(options or ())], group=section)

    def _add_unused(self, name: str) -> None:
        """A known section that this configuration does not use."""
        enabled = self._conf.enabled_share_backends
        if name in networks.known():
            self.sections[name] = None
            self.warnings.append(
                f"[{name}] is not used: [DEFAULT] network_plugin is {self._conf.network_plugin}."
            )
        elif name in self._drivers and (enabled or name in DEFAULT_BACKENDS):
            self.sections[name] = None
            self.warnings.append(
                f"[{name}] is not served: [DEFAULT] enabled_share_backends names "
                f"{_listed(enabled)}."
            )
        elif name in self._drivers:
            self.sections[name] = None
            self.errors.append(
                f"[{name}] is not served: no back end is enabled. Set [DEFAULT] "
                f"enabled_share_backends = {name}, or remove it."
            )


def listed_plugins() -> Iterator[tuple[str, list[cfg.Opt]]]:
    """(section, options) of each driver and network plug-in that is installed, as if a back end had
    its driver's name.

    One that needs an extra which is not installed is left out.
    """
    for name in drivers.known():
        with suppress(Unavailable):
            yield name, [*BACKEND_OPTIONS, *config.plugin_opts(drivers.driver_class(name).OPTIONS)]
    for name in networks.known():
        with suppress(Unavailable):
            yield name, config.plugin_opts(networks.plugin_class(name).OPTIONS)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
