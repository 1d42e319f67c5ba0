"""`abaca uninstall`: takes away what an installation made on this machine, and nothing else.

Every step looks by name for what is there, and the configuration is not touched: what was
interrupted goes on when the command is run again. The state directory itself goes last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import click
import msgspec
from oslo_config import cfg

from abaca import config
from abaca.admin import installed, logs, own_tls, state_dir, users
from abaca.admin.database import table
from abaca.admin.installed import Place
from abaca.admin.progress import Progress, progress
from abaca.admin.settings import Settings
from abaca.drivers.linux import inventory
from abaca.drivers.linux.file_services.nfs.cell import library
from abaca.drivers.linux.inventory import Step
from abaca.drivers.linux.layout import BACKUP_KEY, RUN_ROOT
from abaca.drivers.linux.programs import remove_tree
from abaca.errors import Conflict

POOLS = ".pools"
"""Of the state directory: folders of shares in pools that an administrator gave. A purge of the
Debian package, which has no configuration any more, names them."""

Tell = Callable[[Step, list[str]], None]


def run(
    settings: Settings, *, data: bool, state: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Show what there is, ask, remove it. Raises click.ClickException when it is refused, and
    SystemExit when something is left."""
    conf = settings.load()
    with users.failing_clearly(), ExitStack() as held:
        if os.path.isdir(conf.state_dir):
            for name, path in (
                ("serve", config.state_path(conf, "serve.lock")),
                ("api", state_dir.api_lock(conf)),
            ):
                refusal = f"`abaca {name}` runs on {conf.state_dir}: stop it first."
                if not dry_run:
                    held.enter_context(state_dir.alone(path, refusal))
        everything = steps(conf, with_data=data, with_state=state)
        _refuse(conf, everything, data, state, dry_run)
        found = [(step, there) for step in everything if (there := step.find())]
        if not as_json:
            _show(found)
        if dry_run or not found:
            _finish(conf, [], found if dry_run else [], as_json)
            return
        _ask(conf, yes)
        removed: list[tuple[str, int]] = []

        def tell(step: Step, there: list[str]) -> None:
            removed.append((step.what, len(there)))
            if not as_json:
                shown.close()
                click.echo(logs.escaped(f"removed  {step.what}: {len(there)}"))

        with progress("Steps", len(everything), is_quiet=as_json) as shown:
            carry_out(everything, tell, shown)
        left = [(step, there) for step in everything if (there := step.find())]
        _finish(conf, removed, left, as_json)


def carry_out(everything: Sequence[Step], tell: Tell, shown: Progress | None = None) -> None:
    """Take the steps, one after the other; `tell` hears of each that had something to remove."""
    for step in everything:
        there = step.find()
        if there and shown:
            shown.doing(f"{len(there)} {step.what}")
        step.remove()
        if shown:
            shown.done()
        if there:
            tell(step, there)


def steps(conf: cfg.ConfigOpts, *, with_data: bool, with_state: bool) -> list[Step]:
    """What is to go, in the order in which it can go."""
    places = installed.places(conf)
    found = [
        step
        for place in places
        for step in inventory.serving_steps(place.namespace, place.state_dir, place.pool_path)
    ]
    if with_data:
        found += [step for place in places for step in _data_steps(place)]
    else:
        found.append(Step("list of pools that stay", list, lambda: _note_pools(conf, places)))
    return [*found, *(_state_steps(conf) if with_state else [])]


def _data_steps(place: Place) -> list[Step]:
    folder = place.state_dir / place.back_end
    return [
        *inventory.data_steps(place.namespace, place.state_dir, place.pool_path),
        Step(
            f"folder of back end {place.back_end}, with its pool's image",
            lambda: _there(folder),
            lambda: remove_tree(folder),
        ),
    ]


def _state_steps(conf: cfg.ConfigOpts) -> Iterator[Step]:
    """Files by their names: what others have put there stays, and with it the folder."""
    top, worker = Path(conf.state_dir), config.state_path(conf, "worker")
    names = [kept.name for kept in state_dir.KEPT]
    files = [
        *(top / form.format(name) for name in names for form in ("{}", ".{}.lock", ".{}.new")),
        *(top / form.format(name) for name in own_tls.MADE_AGAIN for form in ("{}", ".{}.new")),
        top / POOLS,
        top / "serve.lock",
        state_dir.api_lock(conf),
        state_dir.restoring(conf),
        *sorted(worker.glob("*.lock")),
        *(worker / f"{name}.json" for name in [*(conf.enabled_share_backends or []), "fake"]),
    ]
    yield Step(
        "database in the state directory",
        lambda: _there(top / "db"),
        lambda: remove_tree(top / "db"),
    )
    restored = state_dir.restored_configuration(conf)
    yield Step(
        "folder of a restored configuration",
        lambda: _there(restored),
        lambda: remove_tree(restored),
    )
    yield Step("files of the state directory", lambda: _there(*files), lambda: _unlink(files))
    yield Step(
        "libraries of NFS servers that were built here",
        lambda: [] if RUN_ROOT.exists() else [str(path) for path in _libraries()],
        _remove_libraries,
    )
    yield Step("state directory", lambda: _empty(worker, top), lambda: _remove_folders(worker, top))


def _refuse(
    conf: cfg.ConfigOpts, everything: Sequence[Step], data: bool, state: bool, dry_run: bool
) -> None:
    running = installed.running(conf)
    if not dry_run:  # then the locks of these are ours
        running = [name for name in running if name not in ("abaca serve", "abaca api")]
    if running:
        raise Conflict(f"Running on {conf.state_dir}: {', '.join(running)}. Stop it first.")
    holders = [
        place.state_dir / place.back_end
        for place in installed.places(conf)
        if (place.state_dir / place.back_end).exists()
    ]
    if state and not data and holders:
        raise Conflict(
            f"The data of shares is in the state directory, below {holders[0]}: with --state give "
            "--data, too, which deletes it."
        )
    if os.geteuid() != 0 and any(step.find() for step in everything) and _is_roots(conf):
        raise Conflict("Only root can remove what the Linux back end made: run it as root.")


def _is_roots(conf: cfg.ConfigOpts) -> bool:
    return not os.path.isdir(conf.state_dir) or os.stat(conf.state_dir).st_uid == 0


def _show(found: Sequence[tuple[Step, list[str]]]) -> None:
    rows = [[step.what, str(len(there)), _some(there)] for step, there in found]
    if rows:
        click.echo(table(["What", "How many", "Which"], rows))


def _some(there: Sequence[str]) -> str:
    more = f" and {len(there) - 2} more" if len(there) > 2 else ""
    return ", ".join(there[:2]) + more


def _ask(conf: cfg.ConfigOpts, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Conflict("There is no terminal to ask on: give --yes to remove all of this.")
    if click.prompt(f"To remove all of this, type {conf.state_dir}") != conf.state_dir:
        raise Conflict("Nothing was removed.")


def _finish(
    conf: cfg.ConfigOpts,
    removed: Sequence[tuple[str, int]],
    left: Sequence[tuple[Step, list[str]]],
    as_json: bool,
) -> None:
    """Say what is left. Raises SystemExit when something is that should not be."""
    rest = [name for step, there in left for name in there]
    if as_json:
        told = {
            "state_dir": conf.state_dir,
            "removed": [{"what": what, "count": count} for what, count in removed],
            "left": rest,
        }
        click.echo(msgspec.json.encode(told))
    elif not rest:
        kept = _there(*{place.state_dir / BACKUP_KEY for place in installed.places(conf)})
        but = f" but {', '.join(kept)}: without it nobody reads backups of shares" if kept else ""
        click.echo(logs.escaped(f"Nothing is left{but}."))
    elif removed:
        click.echo(logs.escaped(f"Left: {', '.join(rest)}. Run it again."), err=True)
    if rest and removed:
        raise SystemExit(1)


def _note_pools(conf: cfg.ConfigOpts, places: Sequence[Place]) -> None:
    given = [f"{place.pool_path / place.namespace}\n" for place in places if place.pool_path]
    if given and os.path.isdir(conf.state_dir):
        state_dir.replace(config.state_path(conf, POOLS), "".join(given), 0o600, -1)


def _there(*paths: Path) -> list[str]:
    return [str(path) for path in paths if os.path.lexists(path)]


def _unlink(files: Sequence[Path]) -> None:
    for file in files:
        with suppress(FileNotFoundError, IsADirectoryError):
            file.unlink()


def _empty(*folders: Path) -> list[str]:
    """Those of them that hold nothing but those before them that go: with something of others in it
    a folder stays."""
    going: list[Path] = []
    for folder in folders:
        if folder.is_dir() and not {*folder.iterdir()} - {*going}:
            going.append(folder)
    return [str(folder) for folder in going]


def _remove_folders(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):  # it is not there, or holds something of others
            folder.rmdir()


def _libraries() -> list[Path]:
    return sorted(library.BUILT.glob("abaca-nfs-*.so"))


def _remove_libraries() -> None:
    """Not while other installations of this machine serve with them."""
    if not RUN_ROOT.exists():
        _unlink(_libraries())
        _remove_folders(library.BUILT)
