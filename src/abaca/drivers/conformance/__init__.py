"""The suite that every driver passes. For authors of drivers: subclass `DriverConformance` in a
test module of your package.

::

    from abaca.drivers.conformance import DriverConformance

    class TestMyDriver(DriverConformance):
        @pytest.fixture
        def driver(self, tmp_path):
            return MyDriver("mine", {"state_dir": str(tmp_path)})

What the driver's capabilities exclude is skipped. Hooks (`fill_share`, `lose_everything`,
`stop_serving`, `can_read`, `directory`, `neighbour`, `nfs_client`; without share servers `reads`,
`stop_own_server`) let a subclass show what only it
can do; without them their tests are skipped. Needs pytest. What is particular to one driver is not
tested here.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"abaca.drivers.conformance.{module}"
        for module in (
            "clients",
            "drains",
            "duplicates",
            "export_choices",
            "handles",
            "removals",
            "security_services",
            "snapshots",
            "stage",
            "suite",
            "without_servers",
        )
    )
)

from abaca.drivers.conformance.stage import Networks  # noqa: E402  after pytest knows that their asserts are to explain themselves
from abaca.drivers.conformance.suite import DriverConformance  # noqa: E402

__all__ = ["DriverConformance", "Networks"]
