"""What tests of operations ask again and again: what is stored and standing, what the project was
told, what fails and how."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import network_allocations, pools, quota_usages, share_instances, share_servers
from abaca.domain.capacity import placement
from abaca.domain.capacity.quota_usages import COUNTED
from abaca.domain.rows import messages
from abaca.domain.share_networks import share_networks
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import access_rules, shares
from abaca.domain.shares.share_instances import IS_ACTIVE
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault, write_plan
from abaca.values import Page
from abaca.worker.process import Worker
from abaca.workflow.queue import LANES
from tests.stack import ADMIN, MEMBER, Stack, make_conf

FAILURES = ("Unavailable", "OutcomeUnknown", "NoSpace", "Refused")
RETRIED = ("Unavailable", "OutcomeUnknown")
WHY = "the reason that the driver gave"
INTERNAL = "An internal error occurred"

Setup = Callable[..., Stack]


def failing(method: str, error: str, **more: Any) -> Fault:
    """The driver's method fails so, each time it is called."""
    return Fault(method=method, error=error, message=WHY, **more)  # type: ignore[arg-type]


def reason(error: str) -> str:
    """What the project is told of a failure: a bug's own words are for the log."""
    return INTERNAL if error == "bug" else WHY


def plan(stack: Stack, *faults: Fault, backend: str = "alpha") -> None:
    """Replace the fault plan of a back end; none: it works, and what hangs goes on."""
    write_plan(Path(stack.conf.state_dir, f"{backend}.faults"), faults)


def declare(worker: Worker, backend: int = 0, **capabilities: bool) -> None:
    """A back end begins or ceases to have these; its next heartbeat says so."""
    driver = worker.backends[backend].driver
    assert isinstance(driver, FakeDriver)
    driver.capabilities = msgspec.structs.replace(driver.capabilities, **capabilities)


def make_stack(
    state_dir: Path, url: str, backends: Mapping[str, Mapping[str, str]], **overrides: object
) -> Stack:
    """An installation whose back ends have a fault plan each; `plan` writes it. Patience is
    short."""
    with_plans = {
        name: {"fault_plan": str(state_dir / f"{name}.faults"), **options}
        for name, options in backends.items()
    }
    stack = Stack(
        make_conf(state_dir, url, with_plans, **{"worker.retry_seconds": 0.4, **overrides})
    )
    for name in backends:
        plan(stack, backend=name)
    return stack


def world(stack: Stack, backend: str = "alpha") -> dict[str, Any]:
    """What a fake back end holds: `servers` and `shares` by id."""
    return FakeDriver(
        backend, {"state_file": str(Path(stack.conf.state_dir, "worker", f"{backend}.json"))}
    ).world()


def slate(stack: Stack) -> dict[str, Any]:
    """All that may be left over: what is stored, and servers and shares of every fake back end."""
    worlds = {
        name: {kind: sorted(things) for kind, things in world(stack, name).items()}
        for name in stack.conf.enabled_share_backends
    }
    return {**stored_slate(stack), "worlds": worlds}


def stored_slate(stack: Stack) -> dict[str, Any]:
    """All that may be left over in the database: rows by table (messages, and answers that go by
    themselves, apart), quotas in use, claimed gigabytes."""
    rows = {
        table: number
        for table, number in stack.rows().items()
        if table
        not in (
            "client_inquiries",
            "messages",
            "project_versions",
            "quota_usages",
            "share_usages",
        )
    }
    names = [name for name in COUNTED if name != "share_networks"]  # these are rows that stay
    counted = [quota_usages.c[name] for name in names]
    in_use = sa.select(quota_usages).where(sa.or_(*[amount > 0 for amount in counted]))
    quotas = sorted(
        (
            *(row[key] for key in ("project_id", "user_id", "share_type_id")),
            {name: row[name] for name in names if row[name]},
        )
        for row in stack.ask(lambda conn: conn.execute(in_use).mappings().all())
    )
    claimed = stack.ask(
        lambda conn: dict(
            conn.execute(sa.select(pools.c.host, pools.c.allocated_capacity_gb)).all()
        )
    )
    return {"rows": rows, "quotas": quotas, "claimed": claimed}


def told(stack: Stack) -> list[str]:
    """The user messages of the project, the newest first."""
    return [
        message["user_message"] for message in stack.ask(messages.LISTING.find, MEMBER, {}, Page())
    ]


def available_share(stack: Stack, share_network_id: str | None, **more: Any) -> str:
    share = stack.share(share_network_id, **more)
    assert stack.settled_share(share) == "available", told(stack)
    return share


def instance_of(stack: Stack, share_id: str) -> sa.Row[Any]:
    """The active one."""
    query = sa.select(share_instances).where(share_instances.c.share_id == share_id, IS_ACTIVE)
    row: sa.Row[Any] = stack.ask(lambda conn: conn.execute(query).one())
    return row


def another_instance(stack: Stack, share_id: str) -> str:
    """Have a second instance of a share made, beside the active one, as nothing that callers can
    ask for does yet; its id. Work on the one does not wait for the other: they have lanes of
    their own."""

    def ask(conn: Connection) -> str:
        of_share = sa.select(share_instances).where(
            share_instances.c.share_id == share_id, IS_ACTIVE
        )
        row = conn.execute(of_share).one()._asdict()
        lane = crc32(row["id"].encode()) % LANES
        ids = (str(uuid4()) for _ in count())
        new = row | {
            "id": next(id_ for id_ in ids if crc32(id_.encode()) % LANES != lane),
            "active": None,
            "status": "creating",
            "created_at": utcnow(),
            "updated_at": None,
        }
        conn.execute(sa.insert(share_instances).values(new))
        placement.release(conn, new["host"], -shares.get(conn, ADMIN, share_id)["size"])
        shares.start_on(
            conn, "share_create", new["id"], new["host"], new["share_server_id"], MEMBER.project_id
        )
        return str(new["id"])

    made = stack.do(ask)
    stack.wait(
        lambda conn: (
            conn.scalar(sa.select(share_instances.c.status).where(share_instances.c.id == made))
            == "available"
        )
    )
    return made


def server_of(stack: Stack, share_id: str) -> str:
    return str(instance_of(stack, share_id).share_server_id)


def share(stack: Stack, share_id: str) -> dict[str, Any]:
    return stack.ask(shares.get, ADMIN, share_id)


def network(stack: Stack, share_network_id: str) -> dict[str, Any]:
    return stack.ask(share_networks.get, ADMIN, share_network_id)


def server(stack: Stack, share_server_id: str) -> dict[str, Any]:
    return stack.ask(servers.get, share_server_id)


def all_servers(stack: Stack) -> list[sa.Row[Any]]:
    return list(
        stack.ask(
            lambda conn: conn.execute(
                sa.select(share_servers).order_by(share_servers.c.created_at)
            ).all()
        )
    )


def addresses(stack: Stack) -> int:
    return (
        stack.ask(
            lambda conn: conn.scalar(sa.select(sa.func.count()).select_from(network_allocations))
        )
        or 0
    )


def delete_share(stack: Stack, share_id: str) -> None:
    stack.do(shares.delete, MEMBER, share_id)
    assert stack.settled_share(share_id) == "gone"


def delete_server(stack: Stack, share_server_id: str) -> None:
    """As an administrator, until it is gone."""
    stack.do(servers.delete, share_server_id)
    stack.wait(lambda conn: servers.status_of(conn, share_server_id)[0] == "gone")


def allow(
    stack: Stack, share_id: str, access_to: str, level: str = "rw", access_type: str = "ip"
) -> str:
    rule = stack.do(
        access_rules.allow,
        MEMBER,
        share_id,
        access_type=access_type,
        access_to=access_to,
        access_level=level,
    )
    return str(rule["id"])


def rules(stack: Stack, share_id: str) -> dict[str, str]:
    """access_to → state."""
    return {
        rule["access_to"]: rule["state"] for rule in stack.ask(access_rules.find, ADMIN, share_id)
    }


def settled_rules(stack: Stack, share_id: str) -> str:
    """The access_rules_status of a share once nothing is being applied."""

    def status(conn: Connection) -> str | None:
        found = str(shares.get(conn, ADMIN, share_id)["access_rules_status"])
        return None if found == "syncing" else found

    return stack.wait(status) or ""


def enforced(stack: Stack, share_id: str) -> set[str]:
    """The rules that hold in the fake back end."""
    return {
        rule["access_to"]
        for rule in world(stack)["shares"][instance_of(stack, share_id).id]["access_rules"]
    }


def struck(stack: Stack, backend: str = "alpha") -> int:
    """How often the faults of the plan have struck."""
    counts = Path(stack.conf.state_dir, f"{backend}.faults.counts")
    return sum(json.loads(counts.read_text()).values()) if counts.exists() else 0
