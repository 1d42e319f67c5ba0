"""The WSGI application over a fresh database of each kind, with callers that need no passwords, and
a back end that nobody works for.

Nothing is carried out in the background here: tests set by hand what a worker would have set.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa
from falcon import testing
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import WsgiApp, create_app
from abaca.api.microversions import EXPERIMENTAL_HEADER, HEADER
from abaca.db.session import begin, create_engine, utcnow
from abaca.db.tables import (
    metadata,
    pools,
    services,
    share_backups,
    share_instances,
    share_network_subnets,
    share_transfers,
    shares,
)
from abaca.domain.services import availability_zones
from abaca.domain.share_groups import group_from_snapshot, share_group_snapshots, share_groups
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import export_locations
from abaca.domain.shares.shares import ANYBODY
from abaca.domain.snapshots import share_snapshot_instances
from abaca.values import ExportLocation, PoolStats, SnapshotUpdate
from abaca.workflow import queue
from tests.api import called_routes, described_answers
from tests.api.calls import CALLS
from tests.databases import Databases
from tests.stack import initialise

ADMIN = "root:control:admin"
ALICE = "alice:red:member"
READER = "rita:red:reader"
BOB = "bob:blue:member"
NOBODY = "nina:red:visitor"

ZONE = "nova"
BACKEND = "host1@alpha"
POOL = "host1@alpha#pool1"
UNKNOWN = "00000000-0000-4000-8000-000000000000"

FAULTS = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
     406: "computeFault",
    409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 422: "computeFault",
     500: "computeFault",
}  # fmt: skip


class Api:
    """Calls of the API. `api("GET", "/types")` goes to /v2/types at 2.70 as an administrator and
    wants 200."""

    def __init__(self, app: WsgiApp) -> None:
        self._client = testing.TestClient(app)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = "2.70",
        who: str | None = ADMIN,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        experimental: bool = True,
    ) -> testing.Result:
        """The raw answer, which is as its route describes it. The body is given as a value, or
        `raw`. Routes that are experimental are asked for as clients do, unless told not to."""
        headers = dict(headers or {})
        if who is not None:
            headers["X-Auth-Token"] = who
        if version is not None:
            headers[HEADER] = version
        if experimental:
            headers.setdefault(EXPERIMENTAL_HEADER, "True")
        content: dict[str, Any] = (
            {"json": body} if raw is None and body is not None else {"body": raw}
        )
        answer = self._client.simulate_request(method, path, headers=headers, **content)
        described_answers.hold(method, path, body, version, answer)
        return answer

    def __call__(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **more: Any
    ) -> Any:
        """The body of an answer whose status is as wanted; None when there is no body."""
        result = self.expect(status, method, f"/v2{path}", body, **more)
        return result.json if result.content else None

    def expect(
        self,
        status: int,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = "2.70",
        **more: Any,
    ) -> testing.Result:
        """The raw answer, whose status is as wanted: a call that counts for its route."""
        result = self.send(method, path, body, version=version, **more)
        assert result.status_code == status, f"{method} {path}: {result.status_code} {result.text}"
        called_routes.note(CALLS, method, path, body, version, status)
        return result

    def fault(self, method: str, path: str, body: Any, status: int, **more: Any) -> str:
        """The message of an answer that must be the fault of that status, and nothing else."""
        answer = self(method, path, body, status=status, **more)
        assert list(answer) == [FAULTS[status]]
        fault = answer[FAULTS[status]]
        assert fault["code"] == status
        assert set(fault) == {"code", "message"} | ({"retryAfter"} if status == 413 else set())
        return str(fault["message"])

    # --- what tests build on ----------------------------------------------------------------------

    def share_type(self, name: str = "gold", **extra_specs: Any) -> str:
        """A new share type; its id."""
        specs = {"driver_handles_share_servers": "True", **extra_specs}
        return str(
            self("POST", "/types", {"share_type": {"name": name, "extra_specs": specs}})[
                "share_type"
            ]["id"]
        )

    def share_network(self, who: str = ALICE, **members: Any) -> dict[str, Any]:
        """A new share network."""
        made: dict[str, Any] = self(
            "POST", "/share-networks", {"share_network": {"name": "net", **members}}, who=who
        )["share_network"]
        return made

    def share(
        self,
        share_network_id: str,
        who: str = ALICE,
        status: int = 200,
        version: str = "2.70",
        **members: Any,
    ) -> dict[str, Any]:
        """A new share of type gold."""
        body = {
            "share_proto": "NFS",
            "size": 1,
            "share_type": "gold",
            "share_network_id": share_network_id,
            **members,
        }
        made: dict[str, Any] = self(
            "POST", "/shares", {"share": body}, who=who, status=status, version=version
        )["share"]
        return made

    def share_group(self, share_network_id: str, who: str = ALICE, **members: Any) -> Any:
        """A new share group of shares of type gold, with a share group type of its own."""
        group_type = {"name": f"of {uuid4()}", "share_types": ["gold"]}
        made = self("POST", "/share-group-types", {"share_group_type": group_type})
        body = {
            "share_group_type_id": made["share_group_type"]["id"],
            "share_types": ["gold"],
            "share_network_id": share_network_id,
            **members,
        }
        group = self("POST", "/share-groups", {"share_group": body}, who=who, status=202)
        return group["share_group"]

    def share_group_snapshot(self, share_group_id: str, who: str = ALICE, **members: Any) -> Any:
        """A new snapshot of a share group that is available."""
        body = {"share_group_snapshot": {"share_group_id": share_group_id, **members}}
        made = self("POST", "/share-group-snapshots", body, who=who, status=202)
        return made["share_group_snapshot"]


class BackEnd:
    """What a worker would do to the rows, done by hand."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def arrive(self, host: str = BACKEND, pool: str = "pool1", **capabilities: Any) -> None:
        """A back end that reports one pool of 100 GiB."""
        known = {
            "driver_handles_share_servers": True,
            "storage_protocol": "NFS",
            "share_server_multiple_subnet_support": True,
        }
        stats = PoolStats(
            pool_name=pool,
            total_capacity_gb=100.0,
            free_capacity_gb=100.0,
            capabilities=known | capabilities,
        )
        with begin(self.engine) as conn:
            zone_id = availability_zones.ensure(conn, ZONE)
            conn.execute(
                sa.insert(services).values(
                    host=host,
                    worker_host=host.partition("@")[0],
                    binary="manila-share",
                    availability_zone_id=zone_id,
                    is_ready=True,
                    created_at=utcnow(),
                    updated_at=utcnow(),
                    expires_at=utcnow() + timedelta(hours=1),
                )
            )
            conn.execute(
                sa.insert(pools).values(
                    host=f"{host}#{pool}",
                    service_host=host,
                    stats=msgspec.to_builtins(stats),
                    allocated_capacity_gb=0,
                    updated_at=utcnow(),
                )
            )

    def settle(self, share_id: str, *paths: str, **values: Any) -> None:
        """The share is available (or what `values` say), its server active, and it is reached under
        `paths`."""
        with begin(self.engine) as conn:
            one = share_instances.c.share_id == share_id
            instance = conn.execute(sa.select(share_instances).where(one)).one()
            conn.execute(
                sa.update(share_instances)
                .where(one)
                .values(**{"status": "available", "progress": "100%", **values})
            )
            locations = [
                ExportLocation(path=path, preferred=number == 0)
                for number, path in enumerate(paths)
            ]
            export_locations.replace(conn, instance.id, locations)
            if share_servers.status_of(conn, instance.share_server_id)[0] == "creating":
                share_servers.mark_active(conn, instance.share_server_id, {"namespace": "abaca-1"})

    def settle_group(self, group_id: str) -> None:
        """The share group is available, with the shares that it is made with, and its server
        active."""
        with begin(self.engine) as conn:
            server = share_groups.get(conn, ANYBODY, group_id)["share_server_id"]
            if share_servers.status_of(conn, server)[0] == "creating":
                share_servers.mark_active(conn, server, {"namespace": "abaca-1"})
            made = {
                member.instance_id: [ExportLocation(path="10.0.1.204:/shares/m")]
                for member in group_from_snapshot.members_to_make(conn, group_id)
            }
            group_from_snapshot.created(conn, group_id, made)

    def settle_group_snapshot(self, group_snapshot_id: str) -> None:
        """The group snapshot is available, and so are its members."""
        with begin(self.engine) as conn:
            members = share_group_snapshots.members_at_work(conn, group_snapshot_id)
            taken = {member.instance_id: SnapshotUpdate() for member in members}
            share_group_snapshots.created(conn, group_snapshot_id, taken)

    def remove_group_snapshot(self, group_snapshot_id: str) -> None:
        """Its deletion has been done."""
        with begin(self.engine) as conn:
            for member in share_group_snapshots.members_at_work(conn, group_snapshot_id):
                share_snapshot_instances.remove(conn, member.instance_id)
            share_group_snapshots.removed(conn, group_snapshot_id)

    def back_up(self, share_id: str, **values: Any) -> str:
        """The share has a backup, available unless `values` say otherwise; its id."""
        of_share = sa.select(shares.c.project_id, shares.c.size, share_instances.c.host).join(
            share_instances
        )
        with begin(self.engine) as conn:
            share = conn.execute(of_share.where(shares.c.id == share_id)).one()
            made = {
                "id": new_id(),
                "project_id": share.project_id,
                "share_id": share_id,
                "size": share.size,
                "status": "available",
                "host": share.host.partition("#")[0],
                "progress": 100,
                "restore_progress": 0,
                "created_at": utcnow(),
                **values,
            }
            conn.execute(sa.insert(share_backups).values(made))
        return str(made["id"])

    def offer(self, share_id: str, **values: Any) -> str:
        """The share is offered to other projects, by a key that nobody has; the offer's id."""
        with begin(self.engine) as conn:
            made = {
                "id": new_id(),
                "share_id": share_id,
                "source_project_id": conn.scalar(
                    sa.select(shares.c.project_id).where(shares.c.id == share_id)
                ),
                "salt": "00",
                "key_hash": "00",
                "expires_at": utcnow() + timedelta(hours=1),
                "created_at": utcnow(),
                **values,
            }
            conn.execute(sa.insert(share_transfers).values(made))
            conn.execute(
                sa.update(share_instances)
                .where(share_instances.c.share_id == share_id)
                .values(status="awaiting_transfer")
            )
        return str(made["id"])

    def resolve(self, share_network_id: str) -> None:
        """The network plug-in knows the share network's subnets."""
        known = {
            "cidr": "10.0.0.0/24",
            "ip_version": 4,
            "gateway": "10.0.0.1",
            "mtu": 1450,
            "network_type": "vxlan",
            "segmentation_id": 7,
        }
        with begin(self.engine) as conn:
            conn.execute(
                sa.update(share_network_subnets)
                .where(share_network_subnets.c.share_network_id == share_network_id)
                .values(**known)
            )

    def remove(self, share_id: str) -> None:
        """The share is gone."""
        with begin(self.engine) as conn:
            conn.execute(sa.delete(shares).where(shares.c.id == share_id))


@pytest.fixture(scope="session")
def shared_engine(databases: Databases) -> Iterator[Engine]:
    """One database of each kind for all these tests: making one for each would take most of their
    time."""
    url = databases.create_from(initialise)
    made = create_engine(url)
    yield made
    made.dispose()
    databases.drop(url)


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """A database without rows, and without work."""
    yield shared_engine
    with begin(shared_engine) as conn:
        work = queue.input_table(conn), queue.status_table(conn)
        for table in (*work, *reversed(metadata.sorted_tables)):
            conn.execute(sa.delete(table))


@pytest.fixture
def conf(tmp_path: Path) -> cfg.ConfigOpts:
    return config.load(
        [],
        {"state_dir": str(tmp_path), "api.auth_strategy": "noauth", "default_share_type": "gold"},
    )


@pytest.fixture
def app(conf: cfg.ConfigOpts, engine: Engine) -> WsgiApp:
    return create_app(conf, engine)


@pytest.fixture
def api(app: WsgiApp) -> Api:
    return Api(app)


@pytest.fixture
def back_end(engine: Engine) -> BackEnd:
    """A back end is there, with one pool."""
    made = BackEnd(engine)
    made.arrive()
    return made


def new_id() -> str:
    """An id that nothing has."""
    return str(uuid4())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """When only some tests of this folder run, nobody can say which routes have no test."""
    folder, chosen = Path(__file__).parent, {item.path for item in items}
    narrowed = (
        config.option.keyword
        or config.option.markexpr
        or config.option.deselect
        or any("::" in argument for argument in config.args)
    )
    CALLS.is_whole = not narrowed and set(folder.glob("test_*.py")) <= chosen
