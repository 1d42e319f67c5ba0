"""`abaca-manage operations …`: the work that waits, runs or was parked."""

from __future__ import annotations

from types import ModuleType

import click

from abaca.admin import logs
from abaca.admin.database import opened, table
from abaca.admin.settings import Settings, common_options


@click.group("operations")
def operations() -> None:
    """What workers do, have to do, and could not do.

    \b
    Example:
      abaca-manage operations list
    """


def _inspection() -> ModuleType:
    """Work seen from outside. It loads the engine and all operations, which no other command
    needs."""
    import abaca.operations.all  # noqa: F401 - registers what ends each kind of operation
    from abaca.workflow import inspection

    return inspection


@operations.command("list")
@common_options
def list_operations(settings: Settings) -> None:
    """List the operations that wait, run, are parked or were given up.

    \b
    Example:
      abaca-manage operations list
    """
    with opened(settings.load()) as engine:
        found = _inspection().find(engine)
    rows = [
        [
            o.id,
            o.state,
            o.worker_host or "-",
            f"{o.since:%Y-%m-%d %H:%M:%S}",
            str(o.attempts),
            o.reason or "-",
        ]
        for o in found
    ]
    click.echo(table(["Operation", "State", "Worker host", "Since (UTC)", "Begun", "Reason"], rows))


@operations.command("show")
@click.argument("operation_id")
@common_options
def show_operation(settings: Settings, operation_id: str) -> None:
    """Show an operation with the steps it has recorded.

    \b
    Example:
      abaca-manage operations show 6f1c2d0e-5b7a-4c3e-9a51-0d2f6b8e7c14
    """
    with opened(settings.load()) as engine:
        inspection = _inspection()
        operation = inspection.get(engine, operation_id)
        recorded = inspection.steps(engine, operation_id)
    arguments = "?" if operation.args is None else ", ".join(operation.args)
    lines = [
        f"{operation.name}({arguments}) on {operation.about}: {operation.state}, since "
        f"{operation.since:%Y-%m-%d %H:%M:%S} UTC"
    ]
    if operation.request_id:
        lines.append(f"Asked for by request {operation.request_id}")
    if operation.reason:
        lines.append(f"Reason: {operation.reason}")
    for line in lines:
        click.echo(logs.escaped(line))
    rows = [
        [str(s.number), s.name, f"{s.ended:%H:%M:%S}" if s.ended else "-", s.error or "-"]
        for s in recorded
    ]
    click.echo(table(["Step", "Name", "Ended", "Error"], rows))


@operations.command("abandon")
@click.argument("operation_id")
@common_options
def abandon_operation(settings: Settings, operation_id: str) -> None:
    """Give an operation up: it starts no further step, and what it worked on is set to error.

    \b
    Example:
      abaca-manage operations abandon 6f1c2d0e-5b7a-4c3e-9a51-0d2f6b8e7c14
    """
    with opened(settings.load()) as engine:
        _inspection().abandon(engine, operation_id)
    click.echo(f"{operation_id} is given up.")


@operations.command("resume")
@click.argument("operation_id")
@common_options
def resume_operation(settings: Settings, operation_id: str) -> None:
    """Take an operation up again that is parked or was given up, unless what it worked on has been
    changed since.

    \b
    Example:
      abaca-manage operations resume 6f1c2d0e-5b7a-4c3e-9a51-0d2f6b8e7c14
    """
    with opened(settings.load()) as engine:
        _inspection().resume(engine, operation_id)
    click.echo(f"{operation_id} is resumed, as a new operation.")
