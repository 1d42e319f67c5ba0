"""What administrators do on the page: types, quotas, services, and work that was parked."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant
from tests.page.test_accessibility import require_no_fault
from tests.service import Installation

pytestmark = [pytest.mark.timeout(300), pytest.mark.sampled_file(4)]
COMMAND = "The same with the openstack command"


@pytest.fixture
def administration(page: Page, root: Tenant) -> Page:
    log_in(page, "root")
    page.get_by_role("link", name="Administration").click()
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()
    return page


def test_types_quotas_and_services(administration: Page, root: Tenant) -> None:
    page = administration
    look(page, "administration")
    name = f"type-{uuid4().hex[:8]}"
    form = _form(page, "Create a share type")
    form.get_by_label("Name").fill(name)
    _choice(form, "snapshot_support").select_option("True")
    command = form.get_by_label(COMMAND)
    expect(command).to_contain_text("share type create --snapshot-support True")
    expect(command).to_contain_text(re.compile(rf" {name} True$"))
    _submit(form)
    row = page.get_by_role("row", name=name)
    expect(row).to_contain_text("snapshot_support=True")
    row.get_by_role("button", name="Delete").click()
    _confirm(page.get_by_role("form", name=f"Delete the share type {name}"))
    expect(row).to_have_count(0)

    page.get_by_label("Project", exact=True).fill("red")
    page.get_by_role("button", name="Show", exact=True).click()
    form = _form(page, "Set quotas")
    form.get_by_label("snapshots (-1: no limit)", exact=True).fill("7")
    expect(form.get_by_label(COMMAND)).to_have_text("openstack share quota set red --snapshots=7")
    _submit(form)
    assert root("GET", "/v2/quota-sets/red")["quota_set"]["snapshots"] == 7
    _submit(_form(page, "Back to the defaults"))
    expect(page.get_by_text("Requested: Back to the defaults")).to_be_visible()
    assert root("GET", "/v2/quota-sets/red")["quota_set"]["snapshots"] != 7

    row = page.get_by_role("row").filter(has_text="manila-share")
    row.get_by_role("button", name="Disable").click()
    form = page.get_by_role("form")
    form.get_by_label("Reason").fill("upgrade")
    expect(form.get_by_label(COMMAND)).to_contain_text("--disable --disable-reason upgrade")
    _submit(form)
    row.get_by_role("button", name="Enable").click()
    expect(row).to_contain_text("disabled")
    _submit(page.get_by_role("form"))
    expect(row.get_by_role("button", name="Disable")).to_be_visible()


def test_projects_are_admitted_to_a_private_type(administration: Page, root: Tenant) -> None:
    page = administration
    name = f"private-{uuid4().hex[:8]}"
    form = _form(page, "Create a share type")
    form.get_by_label("Name").fill(name)
    form.get_by_label("For projects").select_option("False")
    expect(form.get_by_label(COMMAND)).to_contain_text("--public False")
    _submit(form)
    row = page.get_by_role("row", name=name)
    made = next(
        one["id"]
        for one in root("GET", "/v2/types?is_public=all")["share_types"]
        if one["name"] == name
    )
    for project in ("red", "blue"):
        row.get_by_role("button", name="Admit a project").click()
        form = page.get_by_role("form", name=f"Admit a project to {name}")
        form.get_by_label("Project (its id)").fill(project)
        expect(form.get_by_label(COMMAND)).to_have_text(
            f"openstack share type access create {made} {project}"
        )
        _submit(form)
        expect(row).to_contain_text(project)
    row.get_by_role("button", name=f"Admit red to {name} no longer").click()
    form = page.get_by_role("form")
    expect(form.get_by_label(COMMAND)).to_have_text(
        f"openstack share type access delete {made} red"
    )
    _submit(form)
    expect(row).not_to_contain_text("red")
    access = root("GET", f"/v2/types/{made}/share_type_access")["share_type_access"]
    assert [one["project_id"] for one in access] == ["blue"]
    root("DELETE", f"/v2/types/{made}")


def test_quotas_of_a_user_and_of_a_share_type(administration: Page, root: Tenant) -> None:
    page = administration
    types = root("GET", "/v2/types")["share_types"]
    default = next(one["id"] for one in types if one["name"] == "default")
    for query, option in (
        (f"share_type={default}", f"--share-type {default}"),
        (
            "user_id=alice",
            "--user alice",
        ),
    ):
        page.get_by_label("Project", exact=True).fill("red")
        if "alice" in query:
            page.get_by_label("User (its id, or none)").fill("alice")
        else:
            page.get_by_label("Share type (or none)").select_option(label="default")
        page.get_by_role("button", name="Show", exact=True).click()
        networks = page.get_by_role("cell", name="share_networks", exact=True)
        expect(page.get_by_role("cell", name="gigabytes", exact=True)).to_be_visible()
        expect(networks).to_have_count(1 if "alice" in query else 0)
        form = _form(page, "Set quotas")
        form.get_by_label("shares (-1: no limit)", exact=True).fill("7")
        expect(form.get_by_label(COMMAND)).to_have_text(
            f"openstack share quota set red {option} --shares=7"
        )
        _submit(form)
        assert root("GET", f"/v2/quota-sets/red?{query}")["quota_set"]["shares"] == 7
        assert root("GET", "/v2/quota-sets/red")["quota_set"]["shares"] != 7
        form = _form(page, "Back to the defaults")
        expect(form.get_by_label(COMMAND)).to_have_text(
            f"openstack share quota delete red {option}"
        )
        _submit(form)
        assert root("GET", f"/v2/quota-sets/red?{query}")["quota_set"]["shares"] != 7


def test_what_is_stuck_is_deleted_by_force(
    administration: Page, root: Tenant, alice: Tenant
) -> None:
    page = administration
    share = alice.share(f"stuck-{uuid4().hex[:8]}", alice.share_network("forced", "10.36.0.0/24"))
    root("POST", f"/v2/shares/{share}/action", {"reset_status": {"status": "error_deleting"}})
    page.goto(f"{page.url.partition('#')[0]}#/share/{share}")
    form = _form(page, "Delete by force")
    expect(form.get_by_label(COMMAND)).to_have_text(f"openstack share delete --force {share}")
    _confirm(form)
    expect(page.get_by_text("There is no such share")).to_be_visible()


def test_a_stuck_snapshot_is_deleted_by_force(
    administration: Page, root: Tenant, alice: Tenant
) -> None:
    page = administration
    kind = f"snapshots-{uuid4().hex[:8]}"
    specs = {"driver_handles_share_servers": "True", "snapshot_support": "True"}
    root("POST", "/v2/types", {"share_type": {"name": kind, "extra_specs": specs}})
    network = alice.share_network("with snapshots", "10.50.0.0/24")
    share = alice.share("with-a-snapshot", network, share_type=kind)
    wanted = {"snapshot": {"share_id": share, "name": "stuck"}}
    snapshot = alice("POST", "/v2/snapshots", wanted)["snapshot"]["id"]
    alice.wait_for(f"/v2/snapshots/{snapshot}", "snapshot", "available")
    path = f"/v2/snapshots/{snapshot}/action"
    root("POST", path, {"reset_status": {"status": "error_deleting"}})
    page.goto(f"{page.url.partition('#')[0]}#/share/{share}")
    row = page.get_by_role("row", name="stuck")
    expect(row).to_contain_text("error_deleting")
    row.get_by_role("button", name="Delete the snapshot stuck by force").click()
    form = page.get_by_role("form", name="Delete the snapshot stuck by force")
    expect(form.get_by_label(COMMAND)).to_have_text(
        f"openstack share snapshot delete --force {snapshot}"
    )
    _confirm(form)
    expect(row).to_have_count(0)
    assert alice("GET", f"/v2/snapshots?share_id={share}")["snapshots"] == []


def test_why_work_that_runs_is_not_given_up_here(
    administration: Page, service: Installation, alice: Tenant
) -> None:
    """The browser is given what goes on: work of a fake back end is over at once."""
    page = administration
    work = {
        "id": "share_create:one",
        "name": "share_create",
        "about": "one",
        "state": "running",
        "worker_host": "h",
        "project_id": "red",
        "since": "2026-11-01T00:00:00.000000",
        "attempts": 1,
        "last_step": "placed",
        "reason": None,
        "request_id": "",
    }
    page.route("**/v2/operations*", lambda route: route.fulfill(json={"operations": [work]}))
    page.get_by_role("link", name="Shares", exact=True).click()
    page.get_by_role("link", name="Administration").click()
    page.get_by_text("Waiting or running", exact=True).click()
    expect(page.get_by_text("last step done: placed")).to_be_visible()
    expect(page.get_by_text("The API cannot give up work that waits or runs")).to_be_visible()
    expect(page.get_by_label("Give one up")).to_have_text("abaca-manage operations abandon ID")


def test_parked_work_is_resumed(administration: Page, service: Installation, alice: Tenant) -> None:
    page = administration
    share = alice.share(f"stuck-{uuid4().hex[:8]}", alice.share_network("stuck", "10.35.0.0/24"))
    operation = _park(service, share)
    page.reload()
    log_in(page, "root")
    page.get_by_role("link", name="Administration").click()
    expect(page.get_by_text(operation)).to_be_visible()
    expect(page.get_by_text("KeyError: what nobody meant")).to_be_visible()
    require_no_fault(page, "administration")
    page.get_by_role("button", name="Resume share_create").click()
    form = page.get_by_role("form", name="Resume share_create")
    expect(form.get_by_label("The same on the service's host")).to_have_text(
        f"abaca-manage operations resume {operation}"
    )
    _submit(form)
    expect(page.get_by_text(operation)).to_have_count(0)
    alice.wait_for(f"/v2/shares/{share}", "share", "available")


def test_others_are_shown_nothing_of_it(page: Page, alice: Tenant) -> None:
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    expect(page.get_by_role("link", name="Administration")).to_have_count(0)
    page.goto(f"{page.url.partition('#')[0]}#/administration")
    expect(page.get_by_text("Only administrators see this.")).to_be_visible()


def _park(service: Installation, share: str) -> str:
    """The work that made the share counts as failed on its own; its id."""
    with closing(sqlite3.connect(service.state_dir / "db" / "abaca.sqlite", timeout=60)) as db, db:
        (instance,) = db.execute(
            "SELECT id FROM share_instances WHERE share_id = ?", (share,)
        ).fetchone()
        like = f"share_create:{instance}%"
        error = {"name": "KeyError", "message": "KeyError: what nobody meant"}
        db.execute(
            "UPDATE workflow_status SET status = 'ERROR', error = ? WHERE workflow_uuid LIKE ?",
            (json.dumps({"error": {**error, "details": {}, "is_public": False}}), like),
        )
        db.execute("UPDATE share_instances SET status = 'error' WHERE id = ?", (instance,))
        found = db.execute(
            "SELECT workflow_uuid FROM workflow_status WHERE workflow_uuid LIKE ?", (like,)
        )
        return str(found.fetchone()[0])


def _choice(form: Locator, name: str) -> Locator:
    return form.locator("label").filter(has_text=re.compile(rf"^\s*{name}")).locator("select")


def _form(page: Page, name: str) -> Locator:
    page.get_by_role("button", name=name, exact=True).click()
    return page.get_by_role("form", name=name)


def _submit(form: Locator) -> None:
    form.locator("button:not([type])").click()
    expect(form).to_have_count(0)


def _confirm(form: Locator) -> None:
    form.get_by_role("checkbox").press("Space")
    _submit(form)
