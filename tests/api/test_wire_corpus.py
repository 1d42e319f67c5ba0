"""What the field's own service answered, recorded once, against what ours answers: status, fault
name, members and the types of values.

`wire_facts.jsonl` holds the facts, in the order in which they were recorded: later requests stand
on earlier ones. Every difference is listed in docs/reference/compatibility.md with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from abaca.config import key_file
from abaca.db.session import begin
from abaca.db.tables import (
    services,
    share_instance_access_map,
    share_instances,
    share_servers,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from abaca.domain.network_changes import subnet_additions
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.domain.rows import states
from abaca.values import Caller, Subnet
from tests.api.conftest import ADMIN, BACKEND, UNKNOWN, Api, BackEnd, new_id
from tests.stack import write_key

FACTS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "wire_facts.jsonl").read_text().splitlines()
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"
SECTION = "\n## Recorded requests with another answer\n"
# Abaca's own, which Manila's answers do not have.
EXTENSIONS = {
    "share_server_subnet_removal_support",
    "dns_name",
    "status_reason",
    "addresses_needed",
    "addresses_free",
    "reasons",
}
MAPS = {
    "metadata",
    "extra_specs",
    "required_extra_specs",
    "group_specs",
    "backend_details",
    "details",
    "capabilities",
    "hosts_check_result",
}
ROOT = Caller(user_id="root", project_id="control", roles=("admin",), is_admin=True)


def shape(value: Any, name: str = "") -> Any:
    """Members and types of values, as the facts have them."""
    if isinstance(value, dict):
        return "map" if name in MAPS else {key: shape(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    if isinstance(value, bool):
        return "bool"
    return "null" if value is None else "number" if isinstance(value, int | float) else "text"


def without(members: set[str], facts: Any) -> Any:
    """A shape without the members of these names."""
    if isinstance(facts, dict):
        return {key: without(members, item) for key, item in facts.items() if key not in members}
    return [without(members, item) for item in facts] if isinstance(facts, list) else facts


def differs(theirs: Any, ours: Any, where: str = "") -> list[str]:
    """Where two shapes differ. Null and an empty list say nothing of the type."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [
            f"{where}.{key}: {'theirs' if key in theirs else 'ours'} only"
            for key in theirs.keys() ^ ours.keys()
        ]
        return found + [
            line
            for key in theirs.keys() & ours.keys()
            for line in differs(theirs[key], ours[key], f"{where}.{key}")
        ]
    if isinstance(theirs, list) and isinstance(ours, list):
        return differs(theirs[0], ours[0], f"{where}[]") if theirs and ours else []
    return (
        []
        if theirs == ours or "null" in (theirs, ours)
        else [f"{where}: {theirs} there, {ours} here"]
    )


class World:
    """The resources that the facts speak of, by name, and what happened to them in the background
    between two requests."""

    def __init__(self, api: Api, back_end: BackEnd) -> None:
        self.api = api
        self.back_end = back_end
        with begin(back_end.engine) as conn:
            conn.execute(
                sa.update(services).values(
                    network_allocation_update_support=True, security_service_update_support=True
                )
            )
        api("PUT", "/quota-sets/control", {"quota_set": {"share_networks": -1}})
        self.ids = {"unknown": UNKNOWN, "neutron_net": new_id(), "neutron_subnet": new_id()}
        self.ids["default_type"] = api.share_type()
        for version in ("2.0", "2.49", "2.51", "2.63", "2.69", "2.70", "2.78", "2.89", "2.99"):
            self.ids[f"net_{version}"] = api.share_network(
                ADMIN, name=f"n{version}", description="d"
            )["id"]
        self.ids["share"] = self.share("net_2.70")
        self.ids["server"] = self.server_of("share")
        self.before: dict[str, Callable[[], None]] = {
            "subnet delete again": lambda: api(
                "DELETE",
                f"/share-networks/{self.ids['net_2.99']}/subnets/{self.ids['subnet']}",
                status=202,
            ),
            "access dup": self.allow,
            "snap show 2.0": self.snapshot,
            "access deny": lambda: back_end.settle(self.ids["share"]),
            "subnet in use, blocked by share with bad rule": self.spoil_rules,
            "subnet in use, without check": self.second_server,
            "create_check in use, settled": self.answer_check,
            "server after multi 2.69": self.grown,
            "share delete 2": lambda: back_end.settle(self.ids["share_2.49"]),
            "net delete (auto-delete servers)": self.shares_gone,
        }

    def share(self, network: str) -> str:
        made = self.api.share(self.ids[network], ADMIN)["id"]
        self.back_end.settle(made, "10.0.1.204:/shares/x", "10.0.1.205:/shares/x")
        return str(made)

    def server_of(self, share: str) -> str:
        return str(self.api("GET", f"/shares/{self.ids[share]}")["share"]["share_server_id"])

    def allow(self) -> None:
        rule = {"allow_access": {"access_type": "ip", "access_to": "10.9.0.0/24"}}
        self.ids["rule"] = self.api("POST", f"/shares/{self.ids['share']}/action", rule)["access"][
            "id"
        ]

    def snapshot(self) -> None:
        with begin(self.back_end.engine) as conn:
            conn.execute(sa.update(shares).values(snapshot_support=True))
        self.ids["snapshot"] = self.api(
            "POST", "/snapshots", {"snapshot": {"share_id": self.ids["share"]}}, status=202
        )["snapshot"]["id"]
        with begin(self.back_end.engine) as conn:
            conn.execute(sa.update(share_snapshot_instances).values(status="available"))

    def shares_gone(self) -> None:
        with begin(self.back_end.engine) as conn:
            conn.execute(sa.delete(share_snapshots))
        for name in ("share", "share_2.49"):
            self.back_end.remove(self.ids[name])

    def spoil_rules(self) -> None:
        with begin(self.back_end.engine) as conn:
            conn.execute(sa.update(share_instance_access_map).values(state="error"))
            conn.execute(sa.update(share_instances).values(access_rules_status="error"))

    def second_server(self) -> None:
        self.ids["share_multi"] = self.share("net_2.63")
        self.ids["server_multi"] = self.server_of("share_multi")

    def answer_check(self) -> None:
        network = self.ids["net_2.63"]
        with begin(self.back_end.engine) as conn:
            pending = subnet_additions.add(
                conn, ROOT, network, SubnetRequest(), multiple_allowed=True
            )
            assert isinstance(pending, PendingCheck)
            found = Subnet(
                neutron_net_id="n", neutron_subnet_id="s", cidr="10.0.1.0/24", ip_version=4
            )
            subnet_additions.answer(conn, pending.id, BACKEND, None, found)

    def grown(self) -> None:
        with begin(self.back_end.engine) as conn:
            states.force(conn, states.SHARE_NETWORK, self.ids["net_2.63"], "active")
            conn.execute(sa.update(share_servers).values(status="active"))

    def ask(self, fact: dict[str, Any]) -> list[str]:
        """The differences of one answer."""
        if fact["label"] in self.before:
            self.before[fact["label"]]()

        def named(wire: str) -> str:
            return re.sub(
                r"\{([a-z_0-9.]+)\}", lambda match: self.ids.get(match[1], match[1]), wire
            )

        version = fact["version"]
        body = fact.get("body")
        raw = body.encode() if isinstance(body, str) else None
        value = None if raw is not None or body is None else json.loads(named(json.dumps(body)))
        answer = self.api.send(
            fact["method"],
            named(fact["path"]).replace("/demo", "/control"),
            value,
            raw=raw,
            version=version,
        )
        content: Any = answer.json if answer.content else None
        if answer.status_code != fact["status"]:
            return [f"status {fact['status']} there, {answer.status_code} here"]
        if "fault" in fact:
            return (
                []
                if list(content) == [fact["fault"]]
                else [f"fault {fact['fault']} there, {list(content)} here"]
            )
        if "answer" not in fact:
            return [] if content is None else ["a body here only"]
        if "makes" in fact:
            self.ids[fact["makes"]] = next(iter(content.values()))["id"]
        return differs(fact["answer"], without(EXTENSIONS, shape(content)))


def listed() -> dict[str, str]:
    """Recorded request → reason, from the section's table in the document."""
    section = re.split(r"\n##+ ", DOCUMENT.read_text().partition(SECTION)[2])[0]
    rows = re.findall(r"^\| `([^`]+)` \|(?:.*)\| (.+) \|$", section, re.MULTILINE)
    return dict(rows)


def test_answers_are_those_of_the_field_or_listed(
    api: Api, back_end: BackEnd, conf: cfg.ConfigOpts
) -> None:
    write_key(key_file(conf))
    world = World(api, back_end)
    found = {fact["label"]: lines for fact in FACTS if (lines := world.ask(fact))}
    assert {label: lines for label, lines in found.items() if label not in listed()} == {}
    assert sorted(listed()) == sorted(found), "a listed difference is none any more"


def test_a_difference_is_found() -> None:
    theirs = {"share": {"id": "text", "size": "number", "links": [{"rel": "text"}], "host": "null"}}
    assert (
        differs(theirs, {"share": {"id": "text", "size": "number", "links": [], "host": "text"}})
        == []
    )
    assert (
        differs(theirs, {"share": {"id": "number", "links": [{"x": "text"}], "host": "text"}}) != []
    )
    assert (
        len(
            differs(
                theirs,
                {"share": {"id": "bool", "size": "text", "links": [{"x": "text"}], "host": "text"}},
            )
        )
        == 4
    )
