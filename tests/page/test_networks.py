"""Networks by clicks: made and deleted; a subnet for a share network in use, with the check before
and the steps after; and a subnet that drains and goes."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant

pytestmark = [pytest.mark.timeout(360), pytest.mark.sampled_file(2)]
COMMAND = "The same with the openstack command"
SUBNET = re.compile(r"^\s*Subnet")


def test_networks_are_made_and_deleted(page: Page, alice: Tenant) -> None:
    name = f"-plain {uuid4().hex[:8]}"
    log_in(page)
    page.get_by_role("link", name="Networks").click()
    form = _form(page, "Create a network")
    form.get_by_label("Name").fill(name)
    expect(form.get_by_label(COMMAND)).to_have_text(f"openstack network create -- '{name}'")
    _submit(form)
    page.get_by_role("link", name=name, exact=True).click()
    for cidr, more in (("10.31.0.0/24", ""), ("fd00:31::/64", " --ip-version 6")):
        form = _form(page, "Create a subnet", f"Create a subnet on {name}")
        form.get_by_label("Range (CIDR)").fill(cidr)
        expect(form.get_by_label(COMMAND)).to_contain_text(f"--subnet-range {cidr}{more} subnet")
        _submit(form)
        expect(page.get_by_role("row", name=cidr)).to_be_visible()
    (made,) = [
        one for one in alice("GET", "/network/v2.0/networks")["networks"] if one["name"] == name
    ]
    assert len(made["subnets"]) == 2

    page.get_by_role("link", name="All networks").click()
    form = _form(page, "Create a share network")
    form.get_by_label("Name").fill(f"on {name}")
    form.get_by_label(SUBNET).select_option(label=f"{name}: fd00:31::/64 (IPv6)")
    expect(form.get_by_label(COMMAND)).to_contain_text(f"--neutron-net-id {made['id']}")
    _submit(form)
    page.get_by_role("link", name=f"on {name}").click()
    expect(page.get_by_role("row", name="fd00:31::/64")).to_contain_text("IPv6")
    page.get_by_role("link", name="All networks").click()

    form = _form(page, "Create a security service")
    form.get_by_label("Name").fill("directory")
    form.get_by_label("Password").fill("never shown")
    expect(form.get_by_label(COMMAND)).to_contain_text("--password '<password>'")
    expect(form.get_by_label(COMMAND)).not_to_contain_text("never shown")
    _submit(form)
    page.get_by_role("link", name=f"on {name}").click()
    _submit(_form(page, "Add a security service"))
    expect(page.get_by_role("button", name="Remove the security service directory")).to_be_visible()
    look(page, "network")
    page.get_by_role("button", name="Remove the security service directory").click()
    _submit(page.get_by_role("form"))
    expect(page.get_by_role("button", name="Remove the security service directory")).to_have_count(
        0
    )

    _confirm(_form(page, "Delete the share network"))
    expect(page.get_by_text("There is no such network")).to_be_visible()
    page.get_by_role("link", name="All networks").click()
    page.get_by_role("link", name=name, exact=True).click()
    _confirm(_form(page, "Delete the network", f"Delete the network {name}"))
    expect(page.get_by_text("There is no such network")).to_be_visible()
    assert made["id"] not in str(alice("GET", "/network/v2.0/networks"))


def test_a_subnet_is_checked_added_and_watched(page: Page, alice: Tenant, root: Tenant) -> None:
    network = alice.share_network("growing", "10.32.0.0/24")
    share = alice.share("field", network)
    _, subnet = alice.network("fd00:32::/120")[0]
    alice.share("taker", alice.share_network("tiny", "10.37.0.0/30"))  # its only address
    _open(page, network)
    form = _form(page, "Add a subnet")
    form.get_by_label(SUBNET).select_option(label="net: 10.37.0.0/30 (IPv4)")
    expect(form.get_by_label(COMMAND)).to_contain_text("--check-only")
    _submit(form, "Check first")
    expect(form.get_by_text("No: it cannot be added.", exact=True)).to_be_visible()
    expect(form.get_by_text("has 0 free addresses")).to_be_visible()
    form.get_by_label(SUBNET).select_option(label="net: fd00:32::/120 (IPv6)")
    expect(form.get_by_role("button", name="Check first")).to_be_visible()
    _submit(form, "Check first")
    expect(form.get_by_text("Yes: it can be added.", exact=True)).to_be_visible()
    expect(form.get_by_text(re.compile(r"needed: 1 · free on the subnet: 25\d"))).to_be_visible()
    command = form.get_by_label(COMMAND)
    expect(command).to_contain_text(f"--neutron-subnet-id {subnet}")
    expect(command).not_to_contain_text("--check-only")
    look(page, "check")
    _submit(form, "Add a subnet")
    steps = page.get_by_role("listitem").filter(has_text="active again")
    expect(page.get_by_role("heading", name="A subnet is added")).to_be_visible()
    expect(steps).to_contain_text("done")
    located = page.get_by_role("listitem").filter(has_text="Shares with an export location there")
    expect(located).to_contain_text("1 of 1")
    look(page, "added")
    paths = alice("GET", f"/v2/shares/{share}/export_locations")["export_locations"]
    assert any("fd00:32::" in one["path"] for one in paths)


def test_a_subnet_drains_and_goes(page: Page, alice: Tenant) -> None:
    network = alice.share_network("shrinking", "10.33.0.0/24", "fd00:33::/64")
    share = alice.share("moved", network)
    (subnet,) = [
        one["id"]
        for one in alice("GET", f"/v2/share-networks/{network}/subnets")["share_network_subnets"]
        if one["cidr"] == "fd00:33::/64"
    ]
    _open(page, network)
    row = page.get_by_role("row", name="fd00:33::/64")
    for turn in range(2):
        row.get_by_role("button", name="Drain fd00:33::/64", exact=True).click()
        form = page.get_by_role("form", name="Drain fd00:33::/64")
        form.get_by_label("Hours").fill("2")
        expect(form.get_by_label(COMMAND)).to_have_text(
            f"openstack share network subnet removal set {network} {subnet} --deadline 7200"
            " --at-deadline cancel"
        )
        _submit(form)
        expect(page.get_by_role("heading", name="fd00:33::/64 drains")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text("in 2 hours")
        if turn == 0:
            row.get_by_role("button", name="Cancel the drain").click()
            _submit(page.get_by_role("form"))
            expect(page.get_by_role("heading", name="fd00:33::/64 drains")).to_have_count(0)
    page.get_by_role("button", name="Who is connected?").click()
    expect(page.get_by_text("Nobody is connected now.")).to_be_visible()
    look(page, "drain")
    row.get_by_role("button", name="Remove the subnet fd00:33::/64").click()
    insist(page.get_by_role("form"))
    expect(page.get_by_role("heading", name="A subnet is removed")).to_be_visible()
    expect(page.get_by_role("row", name="fd00:33::/64")).to_have_count(0)
    expect(page.get_by_role("listitem").filter(has_text="active again")).to_contain_text("done")
    paths = alice("GET", f"/v2/shares/{share}/export_locations")["export_locations"]
    assert not any("fd00:33::" in one["path"] for one in paths)


def _open(page: Page, network: str) -> None:
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.goto(f"{page.url.partition('#')[0]}#/network/{network}")
    expect(page.get_by_role("heading", name="Subnets")).to_be_visible()


def _form(page: Page, button: str, name: str = "") -> Locator:
    """The form that this button opens."""
    page.get_by_role("button", name=button, exact=True).click()
    return page.get_by_role("form", name=name or button, exact=True)


def _submit(form: Locator, text: str = "") -> None:
    button = form.locator("button:not([type])")
    if text:
        expect(button).to_have_text(text)
    button.click()
    if text != "Check first":
        expect(form).to_have_count(0)


def insist(form: Locator) -> None:
    """Confirm it, and repeat what is refused because back ends are still being asked."""
    form.get_by_role("checkbox").press("Space")
    button, alert = form.locator("button:not([type])"), form.get_by_role("alert")
    for _ in range(20):
        button.click()
        told = alert.filter(has_text="repeat the request")
        expect(told.or_(form.page.locator("main:not(:has(form.doing))"))).to_have_count(1)
        if form.count() == 0:
            return
    expect(form).to_have_count(0)


def _confirm(form: Locator) -> None:
    form.get_by_role("checkbox").press("Space")
    _submit(form)
