"""`abaca demo`: in which order it plays. What its steps do: tests/e2e/test_demo.py."""

from __future__ import annotations

import pytest

from abaca.admin import demo, demo_steps
from abaca.admin.demo_scene import Scene
from abaca.admin.demo_steps import Play
from tests.openstack import demo as openstack_demo


@pytest.mark.parametrize("keep", [False, True])
def test_a_visitor_comes_before_everything_is_taken_away(keep: bool) -> None:
    seen: list[str] = []
    steps = [lambda _: seen.append("make"), lambda _: seen.append("delete")]
    play = Play(scene=None, say=print)  # type: ignore[arg-type]
    demo.play_steps(play, steps, (lambda _: seen.append("visitor")) if keep else None)
    assert seen == (["make", "visitor", "delete"] if keep else ["make", "delete"])


def test_a_visitor_is_told_where_the_page_is_and_how_to_log_in() -> None:
    scene = Scene(print)
    try:
        told = demo.welcome(scene)
        assert f"http://127.0.0.1:{scene.port}/ui/ in a browser" in told
        assert f"password in {scene.environment()['OS_CLIENT_CONFIG_FILE']}" in told
    finally:
        scene.remove()


def test_both_demonstrations_take_everything_away_last() -> None:
    for steps in (demo_steps.STEPS, openstack_demo.STEPS):
        assert [step.__name__ for step in steps].index("delete") == len(steps) - 1
