"""Everything that is wrong with the settings, at once: errors and warnings.

An error is a setting that could have no effect, or cannot be carried out. A warning is a setting
that has no effect now, because something else is chosen, or because this release no longer needs
it: so that an upgrade starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

import sqlalchemy as sa
from oslo_config import cfg

from abaca import config
from abaca.admin.configuration import names, values
from abaca.admin.configuration.given import Given, in_environment, in_files, source_of
from abaca.admin.configuration.sections import Catalogue
from abaca.api.cleartext import refuse_cleartext
from abaca.api.door.environment import Proxies
from abaca.dns.settings import refuse_invalid
from abaca.drivers.linux.wires import wiring
from abaca.errors import BackendError
from abaca.networks import segment_ranges
from abaca.networks.fake import MemoryPorts
from abaca.networks.segment_ranges import VXLAN, SegmentRanges
from abaca.worker import backends

DATABASES = ("sqlite", "postgresql+psycopg")


class Found(NamedTuple):
    """Sentences: errors, and warnings."""

    errors: list[str]
    warnings: list[str]


def settings(
    conf: cfg.ConfigOpts, *, with_plugins: bool = True, needs_plugins: bool = True
) -> Found:
    """What is wrong with the files, the environment and the command line that `conf` was made of.

    `with_plugins`: drivers and network plug-ins are loaded and made, too. `needs_plugins`: one that
    cannot be loaded here is an error, not only a warning.
    """
    given = [*in_files(conf.config_file)[0], *in_environment()]
    catalogue = Catalogue(conf, given, with_plugins=with_plugins)
    catalogue.add_others()
    errors = [
        *values.wrong(conf, given, catalogue.sections),
        *names.unknown(given, catalogue.sections),
        *catalogue.errors,
    ]
    errors += _invalid_values(conf, given)
    warnings = [*names.gone(given), *catalogue.warnings, *_questionable_values(conf)]
    if needs_plugins:
        errors += catalogue.foreign
    else:
        warnings += catalogue.foreign
    if with_plugins:
        errors += _refused_by_plugins(conf, catalogue)
    if with_plugins and not errors:
        warnings += _tunnels_of_others(conf, catalogue)
    return Found(errors, warnings)


def settings_in_own_process(conf: cfg.ConfigOpts) -> Found:
    """The same, in a process of its own, whose end takes the plug-ins away: for one that serves
    without them, and may lack them."""
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(conf, theirs))
    process.start()
    theirs.close()
    try:
        found: Found = ours.recv()
    except EOFError:
        found = Found(
            ["The settings cannot be checked: the process that does so ended without an answer."],
            [],
        )
    process.join()
    return found


def _tell(conf: cfg.ConfigOpts, answer: Connection) -> None:
    answer.send(settings(conf, needs_plugins=False))


def _invalid_values(conf: cfg.ConfigOpts, given: Sequence[Given]) -> Iterator[str]:
    """Values that are no use, alone or together. One that does not even parse is reported
    elsewhere."""
    with suppress(cfg.Error):
        yield from (
            f"{source_of(given, 'database', 'connection')}{text}"
            for text in database_complaints(config.database_url(conf))
        )
    for judge in (
        lambda: refuse_cleartext(conf),
        lambda: Proxies(conf.api.trusted_proxies),
        lambda: refuse_invalid(conf),
    ):
        try:
            judge()
        except cfg.Error as error:
            if type(error) is cfg.Error:  # others are of oslo.config, about a value
                yield str(error)


def database_complaints(url: str) -> Iterator[str]:
    """What is wrong with the URL of the database, without its password."""
    where = "[database] connection"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        yield (
            f"{where} is not a URL: use postgresql+psycopg://USER:PASSWORD@HOST/DATABASE (with "
            "%40 for an @ in the password)."
        )
        return
    if parsed.drivername not in DATABASES:
        near = names.nearest(parsed.drivername, DATABASES)
        guess = f" Did you mean {near}://?" if near else ""
        yield (
            f"{where} begins with {values.shown(parsed.drivername)}://: sqlite:// and "
            f"postgresql+psycopg:// are served.{guess}"
        )
    elif parsed.drivername == "sqlite" and not parsed.database:
        yield f"{where} names no file: use sqlite:///PATH, with four slashes for an absolute path."


def _questionable_values(conf: cfg.ConfigOpts) -> Iterator[str]:
    with suppress(cfg.Error):
        yield from _short_down_time(conf)


def _short_down_time(conf: cfg.ConfigOpts) -> Iterator[str]:
    if conf.service_down_time <= conf.worker.report_interval:
        yield (
            f"[DEFAULT] service_down_time = {conf.service_down_time} is not more than [worker] "
            "report_interval = "
            f"{conf.worker.report_interval:g}: back ends count as down between two heartbeats."
        )


def _tunnels_of_others(conf: cfg.ConfigOpts, catalogue: Catalogue) -> Iterator[str]:
    """Members choose no VXLAN ids, but get any, also one that somebody else in the tunnels uses."""
    if conf.network_plugin != "local" or "local" not in catalogue.sections:
        return
    given = config.plugin_settings(conf, "local", segment_ranges.OPTIONS)
    if "vni_ranges" in given or VXLAN not in SegmentRanges.of(given).tenant_types:
        return
    for name, driver in catalogue.backends.items():
        options = wiring.OPTIONS if driver == "linux" else {}
        if config.plugin_settings(conf, name, options).get("vxlan_local_address"):
            yield (
                f"[{name}] vxlan_local_address is set and [local] vni_ranges is not: networks of "
                "projects get any VXLAN id, also one that somebody else in the tunnels uses. Set "
                "vni_ranges to ids that nobody else uses."
            )


def _refused_by_plugins(conf: cfg.ConfigOpts, catalogue: Catalogue) -> Iterator[str]:
    """What drivers and the network plug-in say of their options."""
    for name, driver in catalogue.backends.items():
        try:
            backends.make(conf, name, driver, "")
        except BackendError as error:
            yield f"[{name}]: {error.message}"
        except cfg.Error:  # reported already
            continue
    if catalogue.sections.get(conf.network_plugin) is not None:
        try:
            backends.network_plugin(conf, MemoryPorts())
        except BackendError as error:
            yield f"[{conf.network_plugin}]: {error.message}"
        except cfg.Error:
            return
