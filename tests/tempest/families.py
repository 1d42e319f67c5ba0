"""Which tests of manila-tempest-plugin are run, in which cloud. Those that are not are in NOT_RUN,
each with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.tempest.settings import NETWORKS, PLAIN, Cloud

PACKAGE = "manila_tempest_tests.tests"
OURS = "abaca_tempest_tests"

# A name stands for a module of `api`, or below the folder it names; `*` at its end for its negative
# tests too.
NETWORK_FAMILIES: dict[str, tuple[str, ...]] = {
    "several subnets": ("test_share_servers_multiple_subnet*",),
    "share networks": ("test_share_networks*", "admin.test_share_networks*"),
    "share network subnets": ("test_share_network_subnets*", "test_share_network_subnet_metadata*"),
    "security services": (
        "test_security_services*",
        "test_security_services_mapping*",
        "admin.test_security_services",
    ),
    "share servers": (
        "admin.test_share_servers",
        "admin.test_share_servers_negative",
        "admin.test_share_servers_manage",
    ),
}

OURS_ALWAYS = tuple(
    f"{OURS}.tests.{name}"
    for name in ("test_additions", "test_capabilities", "test_export_choices", "test_removals")
)
WITHOUT_SHARE_SERVERS = ("test_share_transfers*", "admin.test_share_manage.ManageNFSShareTest")
OF_ROLES = (
    f"{PACKAGE}.rbac.test_user_messages",
    f"{PACKAGE}.rbac.test_share_instance_export_locations",
)

# Modules and classes that are not run, with the reason; written as above, or in full. Those about
# features that are switched off in tempest.conf are not here: tempest skips them, and says why.
NOT_RUN: dict[str, str] = {
    **dict.fromkeys(
        ("test_qos_types*", "admin.test_qos_types", "admin.test_qos_types_specs*"),
        "QoS types, which Abaca does not have; tempest has no switch for them",
    ),
    f"{PACKAGE}.scenario": "mounts shares in virtual machines",
}


class Run(NamedTuple):
    """One call of tempest: the packages it takes tests from, the cloud it is let loose on, and the
    role that each user has beside those that a test asks for."""

    name: str
    packages: tuple[str, ...]
    cloud: Cloud
    role: str

    def takes(self, name: str) -> bool:
        return f"{name}.".startswith(tuple(f"{package}." for package in self.packages))


class Selection(NamedTuple):
    """What of a run is wanted: regular expressions for tests."""

    run: Run
    patterns: tuple[str, ...]


# Tests of roles can only be begun without multitenancy.
RUNS = (
    Run("networks", (f"{PACKAGE}.api", OURS), NETWORKS, "member"),
    Run("plain", (f"{PACKAGE}.api",), PLAIN, "member"),
    Run("roles", (f"{PACKAGE}.rbac",), PLAIN, ""),
)


def default() -> list[Selection]:
    """The tests that are always run."""
    networks = [name for names in (OURS_ALWAYS, *NETWORK_FAMILIES.values()) for name in names]
    return [
        Selection(run, tuple(pattern(name) for name in names))
        for run, names in zip(RUNS, (networks, WITHOUT_SHARE_SERVERS, OF_ROLES), strict=True)
    ]


def everything() -> list[Selection]:
    """All tests, each in every cloud in which it can begin."""
    return [Selection(run, tuple(pattern(package) for package in run.packages)) for run in RUNS]


def chosen(names: Iterable[str]) -> list[Selection]:
    """Those of modules, packages and classes: entries as above, or full names."""
    full = [_full(name) for name in names]
    return [
        Selection(run, patterns)
        for run in RUNS
        if (patterns := tuple(pattern(name) for name in full if run.takes(name)))
    ]


def excluded() -> list[str]:
    """Regular expressions for what is never run."""
    return [pattern(name) for name in NOT_RUN]


def pattern(name: str) -> str:
    """One entry, as above or a full name, as a regular expression."""
    dotted = _full(name).rstrip("*").replace(".", r"\.")
    return rf"^{dotted}(_negative)?\." if name.endswith("*") else rf"^{dotted}\."


def _full(name: str) -> str:
    return name if name.startswith((PACKAGE, OURS)) else f"{PACKAGE}.api.{name}"
