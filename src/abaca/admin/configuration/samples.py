"""What oslo.config's generator, and oslo.policy's tools, need to know of Abaca, through entry
points of their groups."""

from __future__ import annotations

import argparse

from oslo_config import cfg
from oslo_policy import opts, policy

from abaca import config
from abaca.admin.configuration.sections import listed_plugins
from abaca.api.policy import make_enforcer
from abaca.api.routing import DEFAULTS
from abaca.options import SECTIONS

_HELP = {
    "database": "The database of shares, networks and work in progress.",
    "api": "The process that answers requests.",
    "quota": "Default quotas: limits of projects that have none of their own.",
    "limits": "How many rows of a kind there may be, beside the quotas. A lowered limit takes "
    "nothing away.",
    "worker": "The process that serves the back ends of a host.",
    "linux": "A back end of the driver linux: real file servers. Its section has the name that "
    "enabled_share_backends gives it.",
    "fake": "A back end of the driver fake, for tests and for trying out: it stores nothing. "
    "Named as the one above.",
    "local": "The network plug-in local: networks of Abaca's own.",
    "neutron": "The network plug-in neutron, with [DEFAULT] network_plugin = neutron.",
}


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """Sections with their options: the service's own, then one for each driver and network plug-in
    that is installed and has any."""
    found = [*SECTIONS.items(), *((name, options) for name, options in listed_plugins() if options)]
    return [(cfg.OptGroup(section, help=_HELP.get(section)), options) for section, options in found]


def enforcer() -> policy.Enforcer:
    """The policy in force, by the files that `--config-file` names on the command line of
    oslo.policy's tool, or by the usual ones."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-file", action="append", default=[])
    made = make_enforcer(config.load(parser.parse_known_args()[0].config_file), DEFAULTS)
    opts.set_defaults(cfg.CONF, made.policy_file)  # oslopolicy-validator asks the global one for it
    return made
