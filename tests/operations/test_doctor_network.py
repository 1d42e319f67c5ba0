"""`abaca doctor --network` over a database with share servers and shares: what is said of each
state. What a real machine tells is tried in `test_linux_findings`, the command as a whole by the
tutorials."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
import sqlalchemy as sa

from abaca.admin import doctor, doctor_network
from abaca.admin.doctor_network import Question
from abaca.db.tables import (
    local_subnets,
    share_access_rules,
    share_instances,
    share_servers,
    shares,
)
from abaca.domain.driver_views import network_servers
from abaca.drivers.fake import FakeDriver
from abaca.errors import Unavailable
from abaca.values import Finding, NetworkInfo, Share
from tests.operations.scene import allow, available_share, settled_rules
from tests.stack import Stack

HOST = "host1@alpha"
CIDR, CLIENT = "192.0.2.0/24", "192.0.2.30"
WRONG = "wires are cut"


class Machine(FakeDriver):
    """A back end whose machine tells of the way to addresses, and was asked from whom."""

    asked: tuple[NetworkInfo, str | None] | None = None
    lack: str | None = None
    error: str = ""

    def network_findings(self, info: NetworkInfo, client: str | None = None) -> list[Finding]:
        if self.error:
            raise Unavailable(self.error)
        self.asked = (info, client)
        return [Finding(what="link eth1", seen="up", lack=self.lack)]

    def export_findings(
        self, share: Share, info: NetworkInfo, client: str | None = None
    ) -> list[Finding]:
        return [Finding(what=f"export {share.name}", seen=f"for {client}")]


@pytest.fixture
def machine() -> Machine:
    return Machine("alpha", {})


class Scene:
    """A network with a subnet, a share network on it, a share that one subnet may use."""

    def __init__(self, stack: Stack, machine: Machine) -> None:
        self.stack, self.machine = stack, machine
        (pair,) = stack.network(CIDR)
        self.network, self.subnet = pair
        self.share_network = stack.share_network(pair)
        self.share = available_share(stack, self.share_network, name="papers")
        allow(stack, self.share, CIDR)
        assert settled_rules(stack, self.share) == "active"

    def found(self, client: str | None = CLIENT, share: str | None = None) -> dict[str, str]:
        """By what was looked at: what lacks, else `ok` and what was seen."""
        question = Question(self.network, client, share)
        answer = doctor_network.answered(self.stack.conf, self.stack.engine, question)
        found = doctor_network.findings(answer, {HOST: self.machine}, question)
        return {each.what: each.lack or f"ok {each.note}" for each in found}

    def lacking(self, *question: str | None) -> dict[str, str]:
        return {
            what: lack for what, lack in self.found(*question).items() if not lack.startswith("ok")
        }

    def change(self, table: sa.Table, **values: object) -> None:
        self.stack.do(lambda conn: conn.execute(sa.update(table).values(**values)))


@pytest.fixture
def scene(stack: Stack, machine: Machine) -> Scene:
    return Scene(stack, machine)


def test_a_client_that_is_served(scene: Scene) -> None:
    found = scene.found()
    assert scene.lacking() == {}
    assert found[f"client {CLIENT}"] == f"ok is on {CIDR}"
    assert found[f"rule for {CLIENT}"] == f"ok {CIDR}, rw"
    assert found["export papers"] == f"ok for {CLIENT}"
    assert scene.machine.asked is not None
    info, client = scene.machine.asked
    assert (info.subnet.cidr, client, len(info.network_allocations)) == (CIDR, CLIENT, 1)


def test_what_is_wrong_is_said_with_what_to_do(scene: Scene) -> None:
    assert "access create" in scene.lacking("198.51.100.9")["rule for 198.51.100.9"]
    assert scene.lacking(CLIENT, "nothing") == {
        "share nothing": "no share server here has such a share"
    }
    assert "export papers" not in scene.found(CLIENT, "nothing")
    assert scene.lacking(CLIENT, "papers") == scene.lacking(CLIENT, scene.share) == {}
    scene.machine.lack = WRONG
    assert scene.lacking() == {"link eth1": WRONG}
    scene.machine.lack, scene.machine.error = None, "no such namespace"
    assert scene.lacking() == {"this machine": "cannot be looked at: no such namespace"}


def test_servers_without_the_share_in_question_are_left_alone(scene: Scene, stack: Stack) -> None:
    """Of two servers on one network."""
    pair = (scene.network, scene.subnet)
    available_share(stack, stack.share_network(pair), name="others")
    assert {"export papers", "export others"} <= scene.found(None).keys()
    assert "export papers" not in scene.found(CLIENT, "others")
    assert "export others" not in scene.found(CLIENT, "papers")
    assert scene.lacking(CLIENT, "papers") == {}


def test_states_that_the_database_tells(scene: Scene, stack: Stack) -> None:
    scene.change(share_instances, status="error")
    assert "it is error" in scene.lacking()["share"]
    scene.change(share_instances, status="available")
    scene.change(share_servers, status="error")
    assert "share server show" in scene.lacking()["share server"]
    scene.change(share_servers, status="active", host="elsewhere@alpha")
    assert "run this command there" in scene.found()["addresses"]


def test_a_worker_without_signs_of_life(scene: Scene) -> None:
    question = Question(scene.network, None, None)
    answer = doctor_network.answered(scene.stack.conf, scene.stack.engine, question)
    assert answer.is_up == {HOST: True}
    silent = answer._replace(is_up={HOST: False})
    found = doctor_network.findings(silent, {HOST: scene.machine}, question)
    assert ["no sign of life" in (each.lack or "") for each in found if each.what == "worker"] == [
        True
    ]


def test_a_rule_that_is_not_yet_or_never_enforced(scene: Scene, stack: Stack) -> None:
    """The narrowest that matches counts, whatever its state."""
    rule = allow(stack, scene.share, CLIENT, access_type="user")
    assert rule and settled_rules(stack, scene.share) == "error"
    assert scene.lacking() == {}, "rules of other types let no address in, and keep none out"


def test_a_rule_that_cannot_be_read_hides_no_other(scene: Scene, stack: Stack) -> None:
    """Who wrote it went past the API."""
    good = scene.found().keys()
    scene.change(share_access_rules, access_to="nonsense")
    lacking = scene.lacking()
    (unread,) = [what for what in lacking if what not in good]
    assert unread.startswith("rule ") and "cannot be read" in lacking.pop(unread)
    assert lacking.keys() == {f"rule for {CLIENT}"}
    allow(stack, scene.share, CLIENT)
    assert settled_rules(stack, scene.share)
    assert f"rule for {CLIENT}" not in scene.lacking()


@pytest.mark.parametrize(
    ("table", "values", "unread"),
    [
        (local_subnets, {"allocation_pools": [{"first": 1}]}, "local subnets"),
        (local_subnets, {"cidr": "nonsense"}, "subnet "),
    ],
    ids=["pools", "a range"],
)
def test_a_subnet_that_cannot_be_read_hides_no_share_server(
    scene: Scene, table: sa.Table, values: dict[str, object], unread: str
) -> None:
    assert "export papers" in scene.found()
    scene.change(table, **values)
    lacking = scene.lacking()
    assert any(
        what.startswith(unread) and "cannot be read" in lack for what, lack in lacking.items()
    )
    assert {"share server", "worker", "share", "export papers"} <= scene.found().keys()


def test_a_share_that_cannot_be_read_hides_no_other_server(scene: Scene, stack: Stack) -> None:
    pair = (scene.network, scene.subnet)
    available_share(stack, stack.share_network(pair), name="others")
    broken = sa.update(share_instances).where(share_instances.c.share_id == scene.share)
    stack.do(lambda conn: conn.execute(broken.values(host="nonsense")))
    found = scene.found(None)
    assert "export others" in found and "export papers" not in found
    assert any("cannot be read" in lack for lack in scene.lacking(None).values())


def test_networks_before_there_is_anything_on_them(stack: Stack, machine: Machine) -> None:
    (pair,) = stack.network(CIDR)
    question = Question(pair[0], None, None)

    def lacking() -> Sequence[str]:
        answer = doctor_network.answered(stack.conf, stack.engine, question)
        found = doctor_network.findings(answer, {HOST: machine}, question)
        return [each.what for each in found if each.lack]

    assert lacking() == ["share servers"]
    machine.lack = WRONG
    assert lacking() == ["share servers", "link eth1"], "its wire is looked at all the same"
    assert machine.asked is not None and machine.asked[0].network_allocations == []
    stack.share_network(pair)
    assert lacking() == ["share servers", "link eth1"]


def test_of_others_networks_those_subnets_are_known_that_share_networks_are_on(
    scene: Scene, stack: Stack
) -> None:
    """As with Neutron, whose networks are named by id."""
    (subnet,) = stack.ask(network_servers.subnets, scene.network)
    assert (subnet.cidr, subnet.neutron_subnet_id) == (CIDR, scene.subnet)
    question = Question(scene.network, CLIENT, None)
    answer = doctor_network.answered(stack.conf, stack.engine, question)._replace(subnets=[subnet])
    found = doctor_network.findings(answer, {HOST: scene.machine}, question)
    assert [each for each in found if each.lack] == []
    assert stack.ask(network_servers.subnets, "elsewhere") == []


def test_names_of_shares_steer_no_terminal(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Projects choose them, and root reads them."""
    scene.change(shares, display_name="papers\x1b[2J\n  ok       everything")
    question = Question(scene.network, None, None)
    answer = doctor_network.answered(scene.stack.conf, scene.stack.engine, question)
    found = [*doctor_network.findings(answer, {HOST: scene.machine}, question)]
    assert doctor.told(found, "wrong", "Nothing is wrong.") == 0
    said = capsys.readouterr().out
    assert "papers" in said and "\x1b" not in said
    assert "  ok       everything" not in said.splitlines()
    assert said.endswith("Nothing is wrong.\n")


def test_ids_in_commands_are_one_word_of_a_shell(scene: Scene) -> None:
    question = Question(scene.network, None, None)
    answer = doctor_network.answered(scene.stack.conf, scene.stack.engine, question)
    hostile = msgspec.structs.replace(answer.servers[0], id="$(reboot)", status="error")
    found = doctor_network.findings(
        answer._replace(servers=[hostile]), {HOST: scene.machine}, question
    )
    assert any("share server show '$(reboot)'`" in (each.lack or "") for each in found)
