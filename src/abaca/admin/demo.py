"""`abaca demo`: the main job end to end, step by step, each with its time. What each step does is
in `demo_steps`."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

import click

from abaca.admin.demo_scene import Scene, StepFailed, openstack_program
from abaca.admin.demo_steps import STEPS, Play
from abaca.drivers.linux.requirements import missing
from abaca.errors import AbacaError

FAILED, CANNOT = 1, 2


def run(
    keep: bool,
    make_scene: Callable[[Callable[[str], None]], Scene] = Scene,
    steps: Sequence[Callable[[Play], None]] = STEPS,
    lacking: Sequence[str] = (),
    families: tuple[int, ...] = (4, 6),
) -> int:
    """Play it, on subnets of these IP versions. 0: everything was as it has to be; 1: a step
    failed; 2: something is missing for it: what `lacks` says, or `lacking`."""
    lacking = [*lacks(), *lacking]
    if lacking:
        click.echo(
            "The demonstration needs, and this machine lacks:\n"
            + "".join(f"  - {what}\n" for what in lacking),
            err=True,
        )
        return CANNOT
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    scene = make_scene(lambda line: click.echo(f"  {line}"))
    try:
        play_steps(Play(scene, click.echo, families), steps, _wait_for_visitor if keep else None)
    except (
        StepFailed,
        AbacaError,
        OSError,
        subprocess.SubprocessError,
        ValueError,
        LookupError,
    ) as error:
        click.secho(f"\nFAILED: {error}\n", fg="red", err=True)
        click.echo(f"The end of the service's log:\n{scene.log_tail()}", err=True)
        return FAILED
    except KeyboardInterrupt:
        click.echo("\nInterrupted; cleaning up.", err=True)
        return FAILED
    finally:
        scene.remove()
    left = {kind: found for kind, found in scene.leftovers().items() if found}
    if left:
        click.secho(f"\nFAILED: left on this machine: {left}", fg="red", err=True)
        return FAILED
    click.echo(
        "\nEverything worked, and no namespace, link, mount, export, process or file is left. "
        f"{time.monotonic() - began:.0f} s in all."
    )
    return 0


def lacks() -> list[str]:
    """What the demonstration needs and does not find."""
    lacking = missing()
    if openstack_program() is None:
        lacking.append("the command openstack (pip install 'abaca[client]')")
    if importlib.util.find_spec("libnfs") is None:
        lacking.append("the Python package libnfs, built against Debian package libnfs-dev")
    return lacking


def play_steps(
    play: Play,
    steps: Sequence[Callable[[Play], None]],
    before_last: Callable[[Play], None] | None,
) -> None:
    """The steps in turn. `before_last` is called before the last one, which takes everything
    away."""
    for number, step in enumerate(steps, start=1):
        if before_last and number == len(steps):
            before_last(play)
        click.secho(f"\n{number}. {(step.__doc__ or '').strip()}", bold=True)
        began = time.monotonic()
        step(play)
        click.echo(f"  step {number} took {time.monotonic() - began:.1f} s")


def _wait_for_visitor(play: Play) -> None:
    click.echo("\nEverything stays until Ctrl-C. To look around:")
    click.echo(welcome(play.scene))
    try:
        while True:
            threading.Event().wait(3600)
    except KeyboardInterrupt:
        click.echo()


def welcome(scene: Scene) -> str:
    """What a visitor is told: the web page, commands, the log."""
    return "\n".join(
        (
            f"  {scene.page_url} in a browser: {scene.page_login()}",
            *(f"  export {name}={value}" for name, value in scene.environment().items()),
            f"  openstack share list\n  ip netns\n  tail -f {scene.log}",
        )
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
