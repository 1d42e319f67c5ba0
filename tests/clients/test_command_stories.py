"""Stories that take several `openstack share` commands of several people: deferred deletion, mount
point names, backups by a schedule. On Linux: tests/e2e/test_managing.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from abaca.drivers.fake.faults import Fault, write_plan
from tests.clients.command import Client, Shell
from tests.clients.test_every_command import another_project
from tests.service import Installation, installation, wait_until

pytest.importorskip(
    "manilaclient", reason="python-manilaclient is missing (pip install 'abaca[client]')"
)

pytestmark = [
    pytest.mark.slow("stories of many commands, one waits for a minute of the clock"),
    pytest.mark.sampled_file(4),
]

CONFIG = """
[DEFAULT]
enabled_share_backends = plain
default_share_type = plain
is_deferred_deletion_enabled = true
periodic_deferred_delete_interval = 1
[plain]
share_driver = fake
driver_handles_share_servers = false
fault_plan = {plan}
"""
SPECS = ("snapshot_support=True", "mount_point_name_support=True")
STUCK = "error_deferred_deleting"


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installation() as made:
        made.configure(CONFIG.format(plan=plan_of(made)))
        made.start()
        yield made


@pytest.fixture(scope="module")
def admin(service: Installation) -> Iterator[Shell]:
    shell = Shell(service.state_dir / "clouds.yaml", "abaca")
    shell.ask("share", "type", "create", "plain", "false", "--extra-specs", *SPECS)
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def mary(service: Installation, admin: Shell) -> Iterator[Shell]:
    shell = Shell(another_project(service, "mary").clouds, "abaca-mary")
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def otto(service: Installation, admin: Shell) -> Iterator[Shell]:
    shell = Shell(another_project(service, "otto").clouds, "abaca-otto")
    yield shell
    shell.close()


def plan_of(service: Installation) -> Path:
    return service.folder / "faults"


def made(client: Client, name: str, *more: str) -> str:
    """The id of a new share of 1 GiB, once it is available."""
    return str(client.ask("share", "create", "NFS", "1", "--name", name, "--wait", *more)["id"])


def used(client: Client) -> dict[str, int]:
    """What the quotas of its project count, without zeros."""
    limits = client.ask("share", "limits", "show", "--absolute")
    return {
        row["Name"]: row["Value"] for row in limits if row["Name"].endswith("Used") and row["Value"]
    }


def test_what_is_deleted_is_gone_for_its_project(
    service: Installation, admin: Shell, mary: Client
) -> None:
    """At once, though the back end fails, and nobody has to ask twice."""
    share = made(mary, "doomed")
    mary.ask("share", "snapshot", "create", "doomed", "--name", "then", "--wait")
    write_plan(plan_of(service), [Fault(method=f"delete_{what}") for what in ("share", "snapshot")])
    mary.run("share", "snapshot", "delete", "then")
    mary.run("share", "delete", "doomed")
    assert mary.ask("share", "list") == mary.ask("share", "snapshot", "list") == []
    assert used(mary) == {}
    refused = mary.tried("share", "show", share)
    assert refused.returncode != 0 and share in refused.stderr

    def statuses() -> list[tuple[str, str]]:
        return [
            (row["Name"], row["Status"])
            for what in ("share list", "share snapshot list --detail")
            for row in admin.ask(*what.split(), "--all-projects")
        ]

    wait_until(
        lambda: statuses() == [("doomed", STUCK), ("then", STUCK)],
        lambda: f"both to be stuck: {statuses()}",
        60,
    )
    assert admin.tried("share", "set", share, "--status", "available").returncode != 0
    assert mary.ask("share", "message", "list") == []
    write_plan(plan_of(service), [])
    wait_until(lambda: statuses() == [], lambda: f"both to go: {statuses()}", 60)


def test_a_name_in_the_paths_of_a_share(admin: Shell, mary: Client, otto: Client) -> None:
    """It is its project's as long as the share is there; another project has its own."""
    named = ("--mount-point-name", "papers")
    paths = {}
    for client in (mary, otto):
        share = made(client, "papers", *named)
        project = client.ask("share", "show", "papers")["project_id"]
        ((path,),) = [
            [row["Path"] for row in client.ask("share", "export", "location", "list", share)]
        ]
        assert path.endswith(f"/{project}_papers") and share not in path
        paths[client] = path
    assert len(set(paths.values())) == 2
    refused = mary.tried("share", "create", "NFS", "1", "--name", "more", *named)
    assert refused.returncode != 0 and "409" in refused.stderr, refused.stderr
    assert [row["Name"] for row in mary.ask("share", "list")] == ["papers"]
    refused = mary.tried("share", "create", "NFS", "1", "--mount-point-name", "../papers")
    assert refused.returncode != 0 and "400" in refused.stderr, refused.stderr

    share, host = adopted_parts(admin, otto)
    otto_project = otto.ask("share", "show", "papers")["project_id"]
    (instance,) = [
        row for row in admin.ask("share", "instance", "list") if row["Share ID"] == share
    ]
    admin.run("share", "abandon", share, "--wait")
    assert otto.ask("share", "list") == []
    adopt = ("share", "adopt", host, "NFS", paths[otto], "--share-type", "plain", "--wait")
    admin.run(*adopt, "--name", "back", "--mount-point-name", "taken_back")
    project = admin.ask("share", "show", "back")["project_id"]
    assert project != otto_project and instance["Share ID"] == share
    (row,) = admin.ask("share", "export", "location", "list", "back")
    assert row["Path"].endswith(f"/{project}_taken_back")
    admin.run("share", "delete", "back", "--wait")
    mary.run("share", "delete", "papers", "--wait")
    made(mary, "again", *named)
    mary.run("share", "delete", "again", "--wait")


def adopted_parts(admin: Shell, client: Client) -> tuple[str, str]:
    """A share's id, and the pool that it is in, which administrators are shown."""
    share = str(client.ask("share", "show", "papers")["id"])
    return share, str(admin.ask("share", "show", share)["host"])


@pytest.mark.timeout(300)
def test_backups_by_a_schedule(mary: Client) -> None:
    """At a minute of the clock, in the share's own words."""
    share = made(mary, "docs")
    set_ = ("share", "set", "docs", "--property")
    refused = mary.tried(*set_, "backup_schedule=often")
    assert refused.returncode != 0 and "backup_schedule" in refused.stderr, refused.stderr
    then = datetime.now(UTC) + timedelta(minutes=1)
    schedule = f"daily:2@{then:%H:%M}"
    mary.tried(*set_, f"backup_schedule={schedule}")  # sets more than a member may, last
    assert mary.ask("share", "properties", "show", "docs")["backup_schedule"] == schedule
    refused = mary.tried(*set_, "snapshot_schedule=hourly:1")
    assert "not both" in refused.stderr, refused.stderr

    def backups() -> list[tuple[str, str, str]]:
        listed = mary.ask("share", "backup", "list")
        return [(row["Name"], row["Share ID"], row["Status"]) for row in listed]

    wanted = [(f"daily-{then:%Y-%m-%dT%H:%MZ}", share, "available")]
    wait_until(lambda: backups() == wanted, lambda: f"{wanted}: {backups()}", 60)
    assert mary.tried("share", "delete", "docs").returncode != 0, "it is kept"
    mary.run("share", "unset", "docs", "--property", "backup_schedule")
    mary.run("share", "backup", "delete", wanted[0][0], "--wait")
    mary.run("share", "delete", "docs", "--wait")
