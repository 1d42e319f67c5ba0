"""How tempest finds the tests, and the one option that they need."""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg
from tempest.test_discover import plugins

GROUP = "abaca"
OPTIONS = [cfg.StrOpt("fault_plan", help="The fault plan of the fake back end.")]


class AbacaTempestPlugin(plugins.TempestPlugin):
    """Registered as the entry point `abaca_tests` of the group `tempest.test_plugins`."""

    def load_tests(self):
        package = Path(__file__).resolve().parent
        return str(package / "tests"), str(package.parent)

    def register_opts(self, conf):
        conf.register_group(cfg.OptGroup(GROUP))
        conf.register_opts(OPTIONS, group=GROUP)

    def get_opt_lists(self):
        return [(GROUP, OPTIONS)]
