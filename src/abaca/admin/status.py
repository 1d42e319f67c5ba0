"""`abaca status`: what runs, what there is room for, and what needs attention, on one screen or as
JSON. Looks only."""

from __future__ import annotations

import shutil
import socket
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import msgspec
from oslo_config import cfg

from abaca.admin import clouds_file, logs
from abaca.admin.database import reading, table
from abaca.admin.doctor import CERTIFICATE_DAYS, LEAST_FREE_GIB
from abaca.admin.health_check import answers
from abaca.admin.installed import running
from abaca.admin.settings import Settings
from abaca.api import certificates
from abaca.db import migrations
from abaca.domain.services import condition
from abaca.domain.services.condition import BackEnd, Condition, Problem

MOST_BACK_ENDS, MOST_PROBLEMS = 6, 10
WELL, NEEDS_ATTENTION, CANNOT_TELL = 0, 1, 2
_LONGEST_REASON = 90
# What values of another type than their column's end in: SQLite takes them from whoever can write.
_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def run(settings: Settings, as_json: bool) -> int:
    """Print how the installation is; returns the exit status."""
    try:
        conf = settings.load(is_quiet=as_json)
        with reading(conf) as conn:
            migrations.refuse_older(conn.engine, migrations.revisions())
            found = condition.get(conn)
        api = _api(conf)
        here = [*_of_this_machine(conf, api), *found.problems]
        number = found.number + len(here) - len(found.problems)
        if as_json:
            said = as_text(conf, found, api, here, number)
        else:
            said = "\n".join(screen(found, api, here, number))
    except click.ClickException as error:
        error.show()
        return CANNOT_TELL
    except _ODD as error:
        click.echo(
            logs.escaped(
                f"Error: the database holds what Abaca never writes ({error}). `abaca backup - > "
                "/dev/null` names the row; restore a backup from before, or mend it by hand."
            ),
            err=True,
        )
        return CANNOT_TELL
    click.echo(said)
    return NEEDS_ATTENTION if here else WELL


def _api(conf: cfg.ConfigOpts) -> dict[str, Any]:
    ends = certificates.expires(conf)
    return {
        "url": clouds_file.listening_url(conf),
        "answers": answers(conf),
        "certificate_until": f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}" if ends else None,
    }


def _of_this_machine(conf: cfg.ConfigOpts, api: dict[str, Any]) -> list[Problem]:
    found = []
    here = running(conf)
    if not api["answers"] and not here:
        found.append(
            Problem(
                what="nothing runs on this machine",
                id=api["url"],
                why="neither API nor worker",
                do="abaca serve",
            )
        )
    elif not api["answers"] and {"abaca serve", "abaca api"} & {*here}:
        found.append(
            Problem(
                what="the API does not answer",
                id=api["url"],
                why="its log says why; if it was started with --listen or --port, give them here",
                do="abaca doctor",
            )
        )
    ends = api["certificate_until"]
    served = certificates.served(conf)
    if served and ends and (datetime.fromisoformat(ends) - datetime.now()).days < CERTIFICATE_DAYS:
        found.append(
            Problem(
                what="certificate",
                id=str(served.certificate),
                why=f"it expires on {ends}",
                do="abaca tls renew" if served.is_own else "abaca tls show",
            )
        )
    folder = Path(conf.state_dir)
    free = shutil.disk_usage(folder).free / 1024**3 if folder.exists() else LEAST_FREE_GIB
    if free < LEAST_FREE_GIB:
        found.append(
            Problem(
                what="disk",
                id=conf.state_dir,
                why=f"only {free:.1f} GiB are free",
                do="abaca doctor",
            )
        )
    return found


def _with_zone(back_end: BackEnd) -> BackEnd:
    """Its heartbeat is UTC, as whoever reads the JSON is told."""
    seen = back_end.heartbeat
    return msgspec.structs.replace(back_end, heartbeat=seen and seen.replace(tzinfo=UTC))


def as_text(
    conf: cfg.ConfigOpts,
    found: Condition,
    api: dict[str, Any],
    problems: list[Problem],
    number: int,
) -> str:
    """ASCII only: rows that somebody else wrote steer no terminal."""
    said = {
        "release": version("abaca"),
        "host": socket.gethostname(),
        "at": f"{found.at:%Y-%m-%dT%H:%M:%SZ}",
        "running_here": running(conf),
        "api": api,
        "back_ends": [_with_zone(back_end) for back_end in found.back_ends],
        "work": found.work,
        "problems": problems,
        "number_of_problems": number,
    }
    text = msgspec.json.format(msgspec.json.encode(said)).decode()
    return "".join(
        character
        if character == "\n" or " " <= character <= "~"
        else "".join(f"\\u{unit:04x}" for unit in _utf16(character))
        for character in text
    )


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be")
    return [int.from_bytes(data[index : index + 2], "big") for index in range(0, len(data), 2)]


def screen(
    found: Condition, api: dict[str, Any], problems: list[Problem], number: int
) -> list[str]:
    says = "answers" if api["answers"] else "does not answer"
    until = f"; certificate until {api['certificate_until']}" if api["certificate_until"] else ""
    lines = [
        logs.escaped(
            f"Abaca {version('abaca')} on {socket.gethostname()}, {found.at:%Y-%m-%d %H:%M} UTC. "
            f"API {api['url']} {says}{until}"
        )
    ]
    first = sorted(found.back_ends, key=lambda one: (one.state == "up", one.host))
    if first:
        head = ["Back end", "State", "Servers", "Shares", "Size", "Room for more", "Heartbeat"]
        rows = [_row(one, found.at) for one in first[:MOST_BACK_ENDS]]
        lines += table(head, rows).splitlines()
    else:
        lines.append("No worker has reported a back end yet.")
    if len(first) > MOST_BACK_ENDS:
        lines.append(f"and {len(first) - MOST_BACK_ENDS} more: --json")
    work = (f"{found.work.get(state, 0)} {state}" for state in ("running", "waiting", "parked"))
    lines.append(f"Work: {', '.join(work)}")
    lines.append("Needs attention:" if problems else "Nothing needs attention.")
    for problem in problems[:MOST_PROBLEMS]:
        why = problem.why[:_LONGEST_REASON] + ("…" if len(problem.why) > _LONGEST_REASON else "")
        told = f"{problem.what} {problem.id}: {why}".replace("→", "->")  # the arrow is ours alone
        lines.append(logs.escaped(f"  {told}  → {problem.do}"))
    if number > MOST_PROBLEMS:
        lines.append(f"  and {number - MOST_PROBLEMS} more: --json")
    return lines


def _row(back_end: BackEnd, now: datetime) -> list[str]:
    servers = " ".join(f"{number} {state}" for state, number in sorted(back_end.servers.items()))
    ago = f"{(now - back_end.heartbeat).total_seconds():.0f} s ago" if back_end.heartbeat else "-"
    return [
        back_end.host,
        back_end.state,
        servers or "-",
        str(sum(back_end.shares.values())),
        f"{back_end.size_gb:.0f} GiB",
        f"{back_end.room_gb:.0f} GiB",
        ago,
    ]
