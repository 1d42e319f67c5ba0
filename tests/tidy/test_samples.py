"""docs/reference/samples is what the code says now, as oslo.config's and oslo.policy's own
generators make it; every option says what it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from oslo_config import types
from oslo_policy import policy

from abaca import options
from abaca.admin import cli
from abaca.admin.configuration.samples import list_opts
from abaca.api.policy import PERSONAS
from abaca.api.policy_rules import DESCRIPTIONS, list_rules
from abaca.api.routing import DEFAULTS, ROUTES, RULES

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "docs" / "reference" / "samples"
OPTIONS = [(group.name, option) for group, found in list_opts() for option in found]


@pytest.fixture(scope="module")
def generators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the entry points of pyproject.toml are installed, whenever the
    virtual environment was made."""
    site = tmp_path_factory.mktemp("site")
    distribution = site / "abaca-0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: abaca\nVersion: 0\n")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in points.items()))
    ]
    (distribution / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(site)}


def generated(generators: dict[str, str], program: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name(program)), "--namespace", "abaca", *arguments]
    return subprocess.run(
        command, env=generators, check=True, capture_output=True, text=True, timeout=100
    ).stdout


@pytest.mark.parametrize(
    ("program", "name"),
    [("oslo-config-generator", "abaca.conf"), ("oslopolicy-sample-generator", "policy.yaml")],
)
def test_a_sample_is_not_stale(generators: dict[str, str], program: str, name: str) -> None:
    if generated(generators, program) != (SAMPLES / name).read_text():
        pytest.fail(
            f"docs/reference/samples/{name}: not what the code says now. Run `make samples` and "
            "commit what it writes.",
            pytrace=False,
        )


def test_the_policy_in_force_is_shown_by_the_generator_and_judged_by_the_validator(
    generators: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(
        '"share:create": "rule:admin"\n"share:delete": "rule:member"\n'
    )
    (tmp_path / "abaca.conf").write_text(f"[oslo_policy]\npolicy_file = {tmp_path}/policy.yaml\n")
    arguments = ("--config-file", f"{tmp_path}/abaca.conf")
    shown = generated(generators, "oslopolicy-policy-generator", *arguments)
    assert '"share:create": "rule:admin"' in shown and '"share:get": "rule:reader"' in shown
    assert "share:delete" in generated(generators, "oslopolicy-list-redundant", *arguments)
    generated(generators, "oslopolicy-validator", *arguments)


def test_the_sample_of_the_configuration_is_a_configuration(tmp_path: Path) -> None:
    arguments = [
        "config",
        "check",
        "--config-file",
        str(SAMPLES / "abaca.conf"),
        "--state-dir",
        str(tmp_path / "state"),
    ]
    result = CliRunner().invoke(cli.main, arguments)
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "The configuration is valid.")


def test_every_option_says_what_it_is_and_what_is_the_least() -> None:
    silent = [
        f"[{section}] {option.dest}"
        for section, option in OPTIONS
        if not re.fullmatch(r"(?s).{20,}\.", option.help or "")
    ]
    boundless = [
        f"[{section}] {option.dest}"
        for section, option in OPTIONS
        if isinstance(option.type, types.Number) and option.type.min is None
    ]
    assert (silent, boundless) == ([], [])


def test_secrets_are_marked() -> None:
    texts = [
        (section, option) for section, option in OPTIONS if isinstance(option.type, types.String)
    ]
    looks_secret = {
        (section, option.dest)
        for section, option in texts
        if option.dest in ("connection", "password") or "secret" in option.dest
    }
    assert (
        {(section, option.dest) for section, option in OPTIONS if option.secret}
        == looks_secret
        != set()
    )


def test_the_page_of_options_names_every_option_of_the_service() -> None:
    guide = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert [
        f"[{section}] {option.dest}"
        for section, found in options.SECTIONS.items()
        for option in found
        if f"`{option.dest}`" not in guide
    ] == []


def test_every_rule_is_described_by_its_requests_or_by_a_sentence() -> None:
    of_routes = {route.policy for route in ROUTES}
    assert DESCRIPTIONS.keys() == PERSONAS.keys()
    assert [rule for rule in RULES.values() if (rule.name in of_routes) is bool(rule.says)] == []
    assert {rule.name: rule.check_str for rule in list_rules()} == PERSONAS | DEFAULTS
    assert all(
        isinstance(rule, policy.DocumentedRuleDefault) == (rule.name in of_routes)
        for rule in list_rules()
    )
