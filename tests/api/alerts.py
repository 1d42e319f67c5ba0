"""For each alert: series that set it off, and others, close to them, that do not. `promtool` judges
(see `test_monitoring`).

Series are in Prometheus' notation, one value a minute; an alert is looked for after `minutes`.
"""

from __future__ import annotations

from typing import NamedTuple

GIB = 2**30


class Case(NamedTuple):
    """`fires`, `quiet`: series → values. `labels`, `says`: those of the alert, and its summary."""

    alert: str
    minutes: int
    fires: dict[str, str]
    quiet: dict[str, str]
    labels: dict[str, str]
    says: str


_BUILD = {"abaca_build_info": "1x2000"}  # without it, AbacaUnwatched fires in every case
_POOL = '{pool="h@b#p"}'


def _requests(**counted: dict[str, int]) -> dict[str, str]:
    """Samples of the histogram of requests: count or bucket → labels → how many more each
    minute."""
    return {
        f"abaca_http_request_seconds_{kind}{{{labels}}}": f"0+{more}x20"
        for kind, samples in counted.items()
        for labels, more in samples.items()
    }


CASES = [
    Case(
        "AbacaApiDown", 3,
        fires={'up{job="abaca", instance="a"}': "0x9"},
        quiet={'up{job="abaca", instance="a"}': "1 0 1x9"},
        labels={"severity": "critical", "job": "abaca", "instance": "a"},
        says="The API of Abaca at a does not answer Prometheus.",
    ),
    Case(
        "AbacaUnwatched", 6,
        fires={"abaca_build_info": "_x9"},
        quiet={"abaca_build_info": "1x9"},
        labels={"severity": "critical"},
        says="No API of Abaca tells anything, or Prometheus does not ask one.",
    ),
    Case(
        "AbacaDatabaseAway", 3,
        fires={"abaca_database_up": "0x9"},
        quiet={"abaca_database_up": "1 0 1x9"},
        labels={"severity": "critical"},
        says="The database of Abaca does not answer, and so requests are answered with 503.",
    ),
    Case(
        "AbacaBackEndDown", 3,
        fires={'abaca_back_end_up{host="h@b"}': "0x9"},
        quiet={'abaca_back_end_up{host="h@b"}': "1 1 0 1x9"},
        labels={"severity": "critical", "host": "h@b"},
        says="The back end h@b is down, or its worker gives no heartbeat.",
    ),
    Case(
        "AbacaShareServerUnserved", 4,
        fires={'abaca_share_servers_unserved{host="h@b"}': "2x9"},
        quiet={'abaca_share_servers_unserved{host="h@b"}': "0 2 0x9"},
        labels={"severity": "critical", "host": "h@b"},
        says="2 share servers of h@b serve nobody and do not come back.",
    ),
    Case(
        "AbacaShareServersRestart", 60,
        fires={'abaca_share_server_restarts_total{host="h@b"}': "0+1x60"},
        quiet={'abaca_share_server_restarts_total{host="h@b"}': "5x30 6x30"},
        labels={"severity": "warning", "host": "h@b"},
        says="File servers of h@b had to be brought back 60 times within an hour.",
    ),
    Case(
        "AbacaShareServerError", 7,
        fires={'abaca_resources{kind="share_server", status="error"}': "1x9"},
        quiet={'abaca_resources{kind="share", status="error"}': "1x9"},
        labels={"severity": "warning"},
        says="1 share servers are in error.",
    ),
    Case(
        "AbacaOperationsParked", 3,
        fires={'abaca_operations{name="share_create", state="given up"}': "1x9"},
        quiet={'abaca_operations{name="share_create", state="running"}': "1x9"},
        labels={"severity": "warning"},
        says="1 operations need a person: `abaca-manage operations list`.",
    ),
    Case(
        "AbacaWorkStuck", 20,
        fires={'abaca_operation_oldest_seconds{state="waiting"}': "0+60x20"},
        quiet={'abaca_operation_oldest_seconds{state="running"}': "0+40x20"},
        labels={"severity": "critical", "state": "waiting"},
        says="An operation is waiting for 20m 0s.",
    ),
    Case(
        "AbacaPoolNearlyFull", 12,
        fires={'abaca_pool_room_bytes{pool="h@b#p"}': "9663676416x20",
         'abaca_pool_size_bytes{pool="h@b#p"}': "107374182400x20"},
        quiet={'abaca_pool_room_bytes{pool="h@b#p"}': "11811160064x20",
         'abaca_pool_size_bytes{pool="h@b#p"}': "107374182400x20"},
        labels={"severity": "warning", "pool": "h@b#p"},
        says="The pool h@b#p takes only 9GiB of further shares.",
    ),
    Case(
        "AbacaPoolFull", 7,
        fires={'abaca_pool_free_bytes{pool="h@b#p"}': "4294967296x20",
         'abaca_pool_size_bytes{pool="h@b#p"}': "107374182400x20"},
        quiet={'abaca_pool_free_bytes{pool="h@b#p"}': "6442450944x20",
         'abaca_pool_size_bytes{pool="h@b#p"}': "107374182400x20"},
        labels={"severity": "critical", "pool": "h@b#p"},
        says="Of the pool h@b#p only 4GiB are not written.",
    ),
    Case(
        "AbacaAddressesRunOut", 12,
        fires={'abaca_subnet_free_addresses{subnet="s"}': "9x20"},
        quiet={'abaca_subnet_free_addresses{subnet="s"}': "10x20"},
        labels={"severity": "warning", "subnet": "s"},
        says="The subnet s has 9 free addresses.",
    ),
    Case(
        "AbacaApiErrors", 15,
        fires=_requests(count={'status="503"': 2, 'status="200"': 98}),
        quiet=_requests(count={'status="503"': 1, 'status="200"': 200, 'status="404"': 9}),
        labels={"severity": "critical"},
        says="More than one request in a hundred is answered with a 5xx.",
    ),
    Case(
        "AbacaApiSlow", 20,
        fires=_requests(bucket={'le="2.5"': 9, 'le="10.0"': 10, 'le="+Inf"': 10}),
        quiet=_requests(bucket={'le="2.5"': 97, 'le="10.0"': 98, 'le="+Inf"': 100}),
        labels={"severity": "warning"},
        says="One request in twenty takes more than 2.5 seconds.",
    ),
    Case(
        "AbacaFailedLogins", 15,
        fires={'abaca_failed_logins_total{kind="password"}': "0+60x20"},
        quiet={'abaca_failed_logins_total{kind="password"}': "0+10x20"},
        labels={"severity": "warning", "kind": "password"},
        says="Logins fail 1 times a second (wrong password).",
    ),
    Case(
        "AbacaAuditLinesLost", 5,
        fires={'abaca_audit_lines_lost_total{errno="ENOSPC", instance="a"}': "_ _ _ 1x9"},
        quiet={'abaca_audit_lines_lost_total{errno="ENOSPC", instance="a"}': "7x40"},
        labels={"severity": "critical", "errno": "ENOSPC", "instance": "a"},
        says="The audit file of a cannot be written (ENOSPC).",
    ),
    Case(
        "AbacaCertificateExpires", 90,
        fires={"abaca_certificate_expiry_timestamp_seconds": "1123200x90"},
        quiet={"abaca_certificate_expiry_timestamp_seconds": "1296000x90"},
        labels={"severity": "warning"},
        says="The certificate that the API serves expires in 12d 22h 30m 0s. Renew it, then "
             "restart the API.",
    ),
    Case(
        "AbacaUsageStale", 30,
        fires={'abaca_usage_measured_timestamp_seconds{host="h@b"}': "0x40"},
        quiet={'abaca_usage_measured_timestamp_seconds{host="h@b"}': "0+60x40"},
        labels={"severity": "warning", "host": "h@b"},
        says="What the shares of h@b hold was not measured for 30m 0s.",
    ),
]  # fmt: skip


def as_promtool_reads_it(rules: str) -> dict[str, object]:
    """A file for `promtool test rules`, about the file `rules`."""
    tests = []
    for case in CASES:
        for series, is_wanted in ((case.fires, True), (case.quiet, False)):
            others = {} if "abaca_build_info" in series else _BUILD
            tests.append({
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name,
                 values in {**others, **series}.items()],
                "alert_rule_test": [{"eval_time": f"{_moment(case, is_wanted)}m",
                 "alertname": case.alert, "exp_alerts": _expected(case, is_wanted)}],
            })  # fmt: skip
    return {"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}


def _moment(case: Case, is_wanted: bool) -> int:
    """A counter that was there when watching began is no news ten minutes later."""
    return case.minutes if is_wanted or case.alert != "AbacaAuditLinesLost" else 20


def _expected(case: Case, is_wanted: bool) -> list[dict[str, object]]:
    return (
        [{"exp_labels": case.labels, "exp_annotations": {"summary": case.says}}]
        if is_wanted
        else []
    )
