"""A second set of answers that the field's own service gave, about what came with its later
versions: groups, rules of snapshots, hints, transfers, backups and the like.

`wire_facts_2.jsonl` holds them as `test_wire_corpus` has its own; `makes` names ids of an answer by
where they are in it. Requests about what Abaca does not have are in `LATER`: whoever brings that
takes its line away. Every other difference is listed in docs/reference/compatibility.md.
"""

from __future__ import annotations

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from abaca.db.session import begin
from abaca.db.tables import pools, share_backups, share_instances
from tests.api.conftest import ADMIN, Api, BackEnd
from tests.api.test_wire_corpus import DOCUMENT, EXTENSIONS, differs, shape, without

FACTS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "wire_facts_2.jsonl").read_text().splitlines()
]
SECTION = "\n### Recorded requests about later versions\n"
LATER = {
    "f ": "back ends without share servers",
    "hint": "back ends without share servers",
    "left behind": "back ends without share servers",
    "mpn": "back ends without share servers",
    "too ": "back ends without share servers",
    "qos": "QoS types",
    "type with qos": "QoS types",
    "share with qos": "QoS types",
    "repl": "replicas",
    "promote": "replicas",
    "after promote": "replicas",
    "resync": "replicas",
    "reset active": "replicas",
    "delete active": "replicas",
    "delete replica": "replicas",
    "share els": "replicas",
    "share migrate with replicas": "replicas",
    "share delete with replicas": "replicas",
    "share unmanage with replicas": "replicas",
    "snapshot of replicated": "replicas",
    "snap instances of replicated": "replicas",
    "extend replicated": "replicas",
    "mig ": "share migration",
    "instances while migrating": "share migration",
    "smig": "share server migration",
}


class World:
    """The resources that the facts speak of, by name."""

    def __init__(self, api: Api, back_end: BackEnd) -> None:
        self.api, self.back_end = api, back_end
        self.ids: dict[str, str] = {}
        self._without_server: dict[str, str] = {}
        back_end.arrive(
            "host2@beta",
            "pool2",
            snapshot_support=True,
            create_share_from_snapshot_support=True,
            mount_snapshot_support=True,
            revert_to_snapshot_support=True,
        )
        api("PUT", "/quota-sets/control", {"quota_set": {"share_networks": -1}})

    def ask(self, fact: dict[str, Any]) -> list[str]:
        """The differences of one answer."""
        if fact["label"].startswith(("backup", "restore")):
            self._settle_backups()
        ids = self.ids
        if "/share-transfers" in fact["path"]:
            ids = ids | self._free()
        asked = json.loads(
            re.sub(r"\{(\w+)\}", lambda match: ids.get(match[1], match[1]), json.dumps(fact))
        )
        answer = self.api.send(
            asked["method"],
            asked["path"],
            asked.get("body"),
            version=asked["version"],
            who=ADMIN,
            experimental=asked.get("experimental", True),
        )
        content: Any = answer.json if answer.content else None
        if answer.status_code != fact["status"]:
            return [f"status {fact['status']} there, {answer.status_code} here"]
        if "fault" in fact:
            return [] if list(content) == [fact["fault"]] else [f"fault {fact['fault']} there"]
        if fact["label"] == "share delete ok":
            self.back_end.remove(self.ids["share_in_group"])
        if fact["label"] == "gsnap delete":
            self.back_end.remove_group_snapshot(self.ids["gsnap"])
        if "answer" not in fact:
            return [] if content is None else ["a body here only"]
        for name, where in fact.get("makes", {}).items():
            self.ids[name] = reduce(_member, where.split("."), content)
        if fact["label"] == "group":
            self.back_end.settle_group(self.ids["group"])
        if fact["label"] == "group from snap":
            self.back_end.settle_group(content["share_group"]["id"])
        if fact["label"] == "gsnap":
            self.back_end.settle_group_snapshot(self.ids["gsnap"])
        if "share" in content:
            self.back_end.settle(content["share"]["id"], "10.0.1.204:/shares/x")
            shown = self.api("GET", f"/shares/{content['share']['id']}")["share"]
            self.ids["server_m"] = shown["share_server_id"]
        if fact["label"] == "snap":  # it has been taken when it gets rules
            action = f"/snapshots/{content['snapshot']['id']}/action"
            self.api("POST", action, {"reset_status": {"status": "available"}}, status=202)
        return differs(fact["answer"], without(EXTENSIONS, shape(content)))

    def _free(self) -> dict[str, str]:
        """The ids of two shares that are on no share server."""
        if not self._without_server:
            for name in ("f_a", "hint_same2"):
                made = self.api.share(
                    self.ids["net"], ADMIN, version="2.99", share_type=self.ids["type_dhss"]
                )
                self.back_end.settle(made["id"], "10.0.1.204:/shares/z")
                self._without_server[name] = made["id"]
            with begin(self.back_end.engine) as conn:
                conn.execute(
                    sa.update(share_instances)
                    .where(share_instances.c.share_id.in_(self._without_server.values()))
                    .values(share_network_id=None, share_server_id=None)
                )
        return self._without_server

    def _settle_backups(self) -> None:
        """There are two shares to back up, and what was asked of backups is done."""
        for name in ("hint_diff2", "hint_same2"):
            if name not in self.ids:
                self.ids[name] = self.api.share(
                    self.ids["net"], ADMIN, version="2.99", share_type=self.ids["type_dhss"]
                )["id"]
            self.back_end.settle(self.ids[name], "10.0.1.204:/shares/y")
        with begin(self.back_end.engine) as conn:
            for pool in conn.execute(sa.select(pools)).all():
                capabilities = pool.stats["capabilities"] | {"backup_support": True}
                stats = pool.stats | {"capabilities": capabilities}
                conn.execute(sa.update(pools).where(pools.c.host == pool.host).values(stats=stats))
            conn.execute(sa.update(share_backups).values(status="available"))


def _member(content: Any, key: str) -> Any:
    return content[int(key)] if isinstance(content, list) else content[key]


def listed() -> dict[str, str]:
    """Recorded request → reason, from the section's table in the document."""
    section = DOCUMENT.read_text().partition(SECTION)[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \|(?:.*)\| (.+) \|$", section, re.MULTILINE))


def _is_later(label: str) -> bool:
    return label.startswith(tuple(LATER))


def test_answers_are_those_of_the_field_or_listed(
    api: Api, back_end: BackEnd, conf: cfg.ConfigOpts
) -> None:
    conf.set_override("default_share_group_type", "default_group")
    world = World(api, back_end)
    asked = [fact for fact in FACTS if not _is_later(fact["label"])]
    assert len(asked) > 10
    found = {fact["label"]: lines for fact in asked if (lines := world.ask(fact))}
    assert {label: lines for label, lines in found.items() if label not in listed()} == {}
    assert sorted(listed()) == sorted(found), "a listed difference is none any more"


@pytest.mark.parametrize("beginning", LATER)
def test_what_comes_later_has_requests(beginning: str) -> None:
    assert any(fact["label"].startswith(beginning) for fact in FACTS)
