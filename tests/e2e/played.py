"""A demonstration's scene, while its steps are tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from abaca.admin import demo
from abaca.admin.demo_scene import Scene
from abaca.admin.demo_steps import Play
from tests.clients.preloaded import preloaded_openstack


@contextmanager
def played(build: Callable[[], Scene]) -> Iterator[Play]:
    """The scene that it builds, taken away afterwards; then nothing of it may be on this machine.
    The `openstack` command is preloaded. Skips where the machine lacks something."""
    if lacking := demo.lacks():
        pytest.skip("; ".join(lacking))
    scene = build()
    scene.program = str(preloaded_openstack())
    try:
        yield Play(scene, print)
    finally:
        print(scene.log_tail())
        scene.remove()
    assert not any(scene.leftovers().values())
