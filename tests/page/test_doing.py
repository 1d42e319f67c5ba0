"""What can be done with shares, by clicks and by keyboard: each form shows the command that does
the same, what cannot be undone is confirmed, and a refusal says why."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant
from tests.page.test_accessibility import require_no_fault

pytestmark = [
    pytest.mark.slow("axe-core looks at two forms, four times each"),
    pytest.mark.timeout(360),
    pytest.mark.sampled_file(4),
]
COMMAND = "The same with the openstack command"


@pytest.fixture(scope="module")
def share_network(alice: Tenant) -> str:
    return alice.share_network("workshop", "10.27.0.0/24")


@pytest.fixture(scope="module")
def share_type(root: Tenant) -> str:
    specs = {
        "driver_handles_share_servers": "True",
        "snapshot_support": "True",
        "revert_to_snapshot_support": "True",
    }
    root("POST", "/v2/types", {"share_type": {"name": "with-snapshots", "extra_specs": specs}})
    return "with-snapshots"


@pytest.fixture
def share(alice: Tenant, share_network: str, share_type: str) -> str:
    return alice.share(f"bench-{uuid4().hex}", share_network, share_type=share_type)


def test_a_share_is_created_by_keyboard(page: Page, alice: Tenant, share_network: str) -> None:
    name = f"-made {uuid4().hex}"
    log_in(page)
    page.get_by_role("button", name="Create a share").press("Enter")
    form = page.get_by_role("form", name="Create a share")
    expect(form.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("2")
    form.get_by_label("Share network").select_option(share_network)
    command = form.get_by_label(COMMAND)
    expect(command).to_contain_text("openstack share create NFS 2 ")
    expect(command).to_contain_text(f"'--name={name}'")
    expect(command).to_contain_text(f"--share-network {share_network}")
    look(page, "create")
    require_no_fault(page, "create")
    form.get_by_label("Name").press("Enter")
    expect(form).to_have_count(0)
    expect(page.get_by_text("Requested: Create a share")).to_be_visible()
    expect(page.get_by_role("row", name=name)).to_contain_text("available")
    (made,) = [one for one in alice("GET", "/v2/shares/detail")["shares"] if one["name"] == name]
    assert (made["size"], made["share_network_id"]) == (2, share_network)


def test_what_is_refused_says_why_and_by_which_request(page: Page, share: str) -> None:
    _open(page, share)
    page.get_by_role("button", name="Add a rule").click()
    form = page.get_by_role("form", name="Add a rule")
    form.get_by_label("Address or subnet").fill("10.27.0.300")
    _submit(form)
    alert = form.get_by_role("alert")
    expect(alert).to_contain_text("10.27.0.300")
    expect(alert).to_contain_text(re.compile(r"Request\s+req-[0-9a-f-]+"))
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)
    expect(page.get_by_role("button", name="Add a rule")).to_be_focused()


def test_a_rule_is_added_and_removed(page: Page, alice: Tenant, share: str) -> None:
    _open(page, share)
    page.get_by_role("button", name="Add a rule").click()
    form = page.get_by_role("form", name="Add a rule")
    form.get_by_label("Address or subnet").fill("10.27.0.0/25")
    form.get_by_label("Level").select_option("ro")
    expect(form.get_by_label(COMMAND)).to_have_text(
        f"openstack share access create {share} ip 10.27.0.0/25 --access-level ro"
    )
    _submit(form)
    row = page.get_by_role("row", name="10.27.0.0/25")
    expect(row).to_contain_text("active")
    (rule,) = alice("GET", f"/v2/share-access-rules?share_id={share}")["access_list"]
    row.get_by_role("button", name="Remove").click()
    form = page.get_by_role("form", name="Remove the rule for 10.27.0.0/25")
    expect(form.get_by_label(COMMAND)).to_have_text(
        f"openstack share access delete {share} {rule['id']}"
    )
    _submit(form)
    expect(row).to_have_count(0)
    assert alice("GET", f"/v2/share-access-rules?share_id={share}")["access_list"] == []


def test_a_share_is_extended_and_shrunk(page: Page, alice: Tenant, share: str) -> None:
    _open(page, share)
    for size in (3, 2):
        page.get_by_role("button", name="Resize").click()
        form = page.get_by_role("form", name="Resize")
        form.get_by_label("Size in GiB").fill(str(size))
        expect(form.get_by_label(COMMAND)).to_have_text(f"openstack share resize {share} {size}")
        _submit(form)
        expect(page.get_by_text(f"{size} GiB").first).to_be_visible()
        alice.wait_for(f"/v2/shares/{share}", "share", "available")
        assert alice("GET", f"/v2/shares/{share}")["share"]["size"] == size
        page.reload()
        _open(page, share)


def test_snapshots_and_the_end_of_a_share_are_confirmed(
    page: Page, alice: Tenant, share: str
) -> None:
    _open(page, share)
    page.get_by_role("button", name="Create a snapshot").click()
    form = page.get_by_role("form", name="Create a snapshot")
    form.get_by_label("Name").fill("monday")
    expect(form.get_by_label(COMMAND)).to_have_text(
        f"openstack share snapshot create {share} --name monday"
    )
    _submit(form)
    row = page.get_by_role("row", name="monday")
    expect(row).to_contain_text("available")
    (snapshot,) = alice("GET", f"/v2/snapshots?share_id={share}")["snapshots"]
    listed = f"/v2/snapshots/detail?share_id={share}"

    row.get_by_role("button", name="Revert").click()
    form = page.get_by_role("form", name="Revert to monday")
    expect(form.get_by_label(COMMAND)).to_have_text(f"openstack share revert {snapshot['id']}")
    require_no_fault(page, "revert")
    with page.expect_request(f"**/v2/shares/{share}/action") as reverted:
        _confirm(form)
    assert reverted.value.post_data_json == {"revert": {"snapshot_id": snapshot["id"]}}
    alice.wait_for(f"/v2/shares/{share}", "share", "available")

    row.get_by_role("button", name="Delete").click()
    form = page.get_by_role("form", name="Delete the snapshot monday")
    expect(form.get_by_label(COMMAND)).to_have_text(
        f"openstack share snapshot delete {snapshot['id']}"
    )
    _confirm(form)
    expect(row).to_have_count(0)
    assert alice("GET", listed)["snapshots"] == []

    page.get_by_role("button", name="Delete the share").click()
    form = page.get_by_role("form", name="Delete the share")
    expect(form.get_by_label(COMMAND)).to_have_text(f"openstack share delete {share}")
    _confirm(form)
    expect(page.get_by_text("There is no such share")).to_be_visible()


def _open(page: Page, share: str) -> None:
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.goto(f"{page.url.partition('#')[0]}#/share/{share}")
    expect(page.get_by_role("heading", name="Snapshots")).to_be_visible()


def _submit(form: Locator) -> None:
    form.locator("button:not([type])").click()


def _confirm(form: Locator) -> None:
    """Without its confirmation the form stays, and asks nobody for anything."""
    _submit(form)
    expect(form).to_be_visible()
    expect(form.get_by_role("checkbox")).to_be_focused()
    form.get_by_role("checkbox").press("Space")
    _submit(form)
    expect(form).to_have_count(0)
