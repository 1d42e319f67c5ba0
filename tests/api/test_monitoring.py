"""The alert rules and the dashboard that ship: promtool takes every expression, each alert goes off
and stays quiet as it should, and there is no metric in them that /metrics does not tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from oslo_config import cfg
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.engine import Engine

from abaca.api import metrics
from abaca.api.app import create_app
from abaca.db.session import begin
from abaca.domain.capacity import share_usages
from tests.api import alerts
from tests.api.conftest import ALICE, BACKEND, Api, BackEnd

PACKAGING = Path(__file__).parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "abaca.rules.yaml"
DASHBOARD = PACKAGING / "grafana" / "abaca.json"
OURS = re.compile(r"\babaca_\w+")
VARIABLES = {"$__rate_interval": "5m", "$pool": ".*"}

Promtool = Callable[..., str]


@pytest.fixture(scope="module")
def promtool() -> Promtool:
    """Run it; what it printed. Fails with that when it complains."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing (Debian: prometheus)")

    def run(*arguments: str, text: str | None = None) -> str:
        done = subprocess.run(
            [program, *arguments], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def drawn() -> list[str]:
    """The expressions of all panels, and of the lists to choose from, with Grafana's variables as a
    value each."""
    panels = [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])
    ]
    chosen = [
        variable["query"]["query"]
        for variable in dashboard()["templating"]["list"]
        if variable["type"] == "query"
    ]
    chosen = [re.sub(r"label_values\((.*), \w+\)", r"\1", query) for query in chosen]
    found = panels + chosen
    for variable, value in VARIABLES.items():
        found = [expression.replace(variable, value) for expression in found]
    return found


@pytest.fixture
def told(tmp_path: Path, conf: cfg.ConfigOpts, engine: Engine, back_end: BackEnd) -> str:
    """/metrics of an installation that has some of everything, with what each share holds."""
    conf.set_override("metrics_per_share", True, "api")
    for option in ("ssl_certificate", "ssl_key"):
        conf.set_override(option, str(certificate(tmp_path)), "api")
    api = Api(create_app(conf, engine))
    api.share_type()
    network = api.send(
        "POST", "/network/v2.0/networks", {"network": {"name": "n"}}, who=ALICE
    ).json["network"]["id"]
    subnet = {"network_id": network, "cidr": "10.7.0.0/24", "ip_version": 4}
    api.send("POST", "/network/v2.0/subnets", {"subnet": subnet}, who=ALICE)
    share = api.share(api.share_network()["id"])["id"]
    instance = api("GET", f"/shares/{share}/instances")["share_instances"][0]["id"]
    with begin(engine) as conn:
        share_usages.store(conn, BACKEND, {instance: 5 * 2**20})
    metrics.count_failed_login("password")
    metrics.count_lost_audit_line(OSError(28, "full"))
    return api.expect(200, "GET", "/metrics", version=None).text


def certificate(folder: Path) -> Path:
    """One that expires in thirty days."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]),
    )
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
    )
    made = (
        builder.not_valid_before(now)
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def test_promtool_takes_what_metrics_tells(promtool: Promtool, told: str) -> None:
    """Names, types, help texts and units as Prometheus wants them."""
    promtool("check", "metrics", text=told)


def test_promtool_takes_the_rules(promtool: Promtool) -> None:
    promtool("check", "rules", str(RULES))


def test_each_alert_goes_off_and_stays_quiet_as_it_should(
    promtool: Promtool, tmp_path: Path
) -> None:
    assert [case.alert for case in alerts.CASES] == [rule["alert"] for rule in rules()]
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(alerts.as_promtool_reads_it(str(RULES))))
    promtool("test", "rules", str(file))


def test_an_alert_that_never_goes_off_would_be_noticed(promtool: Promtool, tmp_path: Path) -> None:
    """That the test above can fail, for each of them."""
    broken = yaml.safe_load(RULES.read_text())
    for rule in broken["groups"][0]["rules"]:
        rule["expr"] = f"({rule['expr']}) and vector(0) == 1"
    copy, file = tmp_path / "rules.yaml", tmp_path / "test.yaml"
    copy.write_text(yaml.safe_dump(broken))
    file.write_text(yaml.safe_dump(alerts.as_promtool_reads_it(str(copy))))
    with pytest.raises(AssertionError) as complaint:
        promtool("test", "rules", str(file))
    assert set(re.findall(r"alertname:\s*(\w+)", str(complaint.value))) == {
        case.alert for case in alerts.CASES
    }


def test_promtool_takes_every_expression_of_the_dashboard(
    promtool: Promtool, tmp_path: Path
) -> None:
    recorded = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(drawn())
    ]
    assert len(recorded) > 20 and not any("$" in rule["expr"] for rule in recorded)
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", str(file))


def test_every_metric_that_is_named_is_told(told: str) -> None:
    known = {
        sample.name for family in text_string_to_metric_families(told) for sample in family.samples
    }
    named = {
        name
        for expression in [*drawn(), *(rule["expr"] for rule in rules())]
        for name in OURS.findall(expression)
    }
    assert named - known == set()
    assert len(named) > 15


def test_every_panel_has_a_place_and_an_id_of_its_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
