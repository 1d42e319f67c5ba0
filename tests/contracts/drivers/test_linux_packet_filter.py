"""Packet filters of a namespace: tables replaced whole or not at all."""

from __future__ import annotations

from functools import partial

import pytest

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.programs import run
from abaca.drivers.linux.requirements import missing
from abaca.errors import OutcomeUnknown

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _on_a_machine_that_can() -> None:
    if lacking := missing():
        pytest.skip("; ".join(lacking))


def test_a_table_is_replaced_whole_and_deleted_more_than_once() -> None:
    def act(_: object) -> None:
        packet_filter.replace_table("bridge", "mine", "chain one {\n drop\n}")
        packet_filter.replace_table("inet", "mine", "")
        packet_filter.replace_table("bridge", "mine", "chain two {\n drop\n}\nchain three {\n}")
        assert packet_filter.chains("bridge", "mine") == ["two", "three"]
        assert packet_filter.tables() == {("bridge", "mine"), ("inet", "mine")}
        for _ in range(2):
            packet_filter.delete_table("bridge", "mine")
            assert packet_filter.tables() == {("inet", "mine")}
        assert packet_filter.chains("bridge", "mine") == []

    namespaces.inside_new(act)


def test_a_body_that_is_refused_changes_nothing() -> None:
    def act(_: object) -> None:
        packet_filter.replace_table("bridge", "mine", "chain one {\n drop\n}")
        for body in ("chain two { rubbish }", "chain two {\n jump nowhere\n}"):
            with pytest.raises(OutcomeUnknown, match="nft"):
                packet_filter.replace_table("bridge", "mine", body)
        assert packet_filter.chains("bridge", "mine") == ["one"]

    namespaces.inside_new(act)


def test_a_table_that_is_ensured_keeps_what_its_sets_have_learned() -> None:
    def act(_: object) -> None:
        body = "set seen { type inet_service; }"
        packet_filter.ensure_table("inet", "mine", body)
        run("nft", "add", "element", "inet", "mine", "seen", "{ 7 }")
        packet_filter.ensure_table("inet", "mine", body)
        assert "elements = { 7 }" in run("nft", "list", "table", "inet", "mine")
        packet_filter.ensure_table("inet", "mine", f"{body}\nchain one {{ }}")
        assert packet_filter.chains("inet", "mine") == ["one"]
        assert "elements" not in run("nft", "list", "table", "inet", "mine")

    namespaces.inside_new(act)


def test_the_generation_changes_with_every_change_and_with_nothing_else() -> None:
    def act(_: object) -> None:
        seen = [packet_filter.generation()]
        for change in (partial(packet_filter.replace_table, body=""), packet_filter.delete_table):
            change("bridge", "mine")
            seen.append(packet_filter.generation())
            packet_filter.chains("bridge", "mine")
            assert packet_filter.generation() == seen[-1]
        assert len(set(seen)) == 3

    namespaces.inside_new(act)
