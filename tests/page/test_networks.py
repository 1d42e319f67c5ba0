"""Networks by clicks: made and deleted; a subnet for a share network in use, with the check before
and the steps after; and a subnet that drains and goes."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant

pytestmark = [pytest.mark.timeout(360), pytest.mark.sampled_file(4)]
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
    directory = f"directory {name}"
    form.get_by_label("Name").fill(directory)
    form.get_by_label("Password").fill("never shown")
    expect(form.get_by_label(COMMAND)).to_contain_text("--password '<password>'")
    expect(form.get_by_label(COMMAND)).not_to_contain_text("never shown")
    _submit(form)
    page.get_by_role("link", name=f"on {name}").click()
    form = _form(page, "Add a security service")
    form.get_by_label("Security service").select_option(label=f"{directory} (ldap)")
    _submit(form)
    remove = page.get_by_role("button", name=f"Remove the security service {directory}")
    expect(remove).to_be_visible()
    look(page, "network")
    remove.click()
    _submit(page.get_by_role("form"))
    expect(remove).to_have_count(0)

    _confirm(_form(page, "Delete the share network"))
    expect(page.get_by_text("There is no such network")).to_be_visible()
    page.get_by_role("link", name="All networks").click()
    page.get_by_role("link", name=name, exact=True).click()
    _confirm(_form(page, "Delete the network", f"Delete the network {name}"))
    expect(page.get_by_text("There is no such network")).to_be_visible()
    assert made["id"] not in str(alice("GET", "/network/v2.0/networks"))


def test_a_form_offers_nothing_that_was_loaded_for_an_earlier_look(
    page: Page, alice: Tenant
) -> None:
    """Who comes back to a network could add the security services of before, and not the one that
    he has just made."""
    alice("POST", "/v2/security-services", {"security_service": _ldap("older")})
    network = alice.share_network("revisited", "10.45.0.0/24")
    _open(page, network)
    expect(page.get_by_role("button", name="Add a security service")).to_be_visible()
    page.get_by_role("link", name="All networks").click()
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    newer = f"newer {uuid4().hex[:8]}"
    alice("POST", "/v2/security-services", {"security_service": _ldap(newer)})
    held: list[Route] = []
    is_slow = [True]
    page.route(
        f"**/v2/share-networks/{network}",
        lambda route: held.append(route) if is_slow else route.continue_(),
    )
    page.get_by_role("link", name="revisited", exact=True).click()
    expect(page.get_by_text("Loading …")).to_be_visible()
    expect(page.get_by_role("button", name="Add a security service")).to_have_count(0)
    is_slow.clear()
    for route in held:
        route.continue_()
    form = _form(page, "Add a security service")
    expect(form.get_by_role("option", name=newer)).to_have_count(1)


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
    subnet = _subnet(alice, network, "fd00:33::/64")
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


def test_a_security_service_is_exchanged_in_use(page: Page, alice: Tenant) -> None:
    ids = {}
    for name in ("old directory", "new directory", "another kind"):
        kind = "kerberos" if "kind" in name else "ldap"
        wanted = {"type": kind, "name": name, "server": "10.41.0.9", "domain": "example.org"}
        made = alice("POST", "/v2/security-services", {"security_service": wanted})
        ids[name] = made["security_service"]["id"]
    network = alice.share_network("secured", "10.41.0.0/24")
    action = f"/v2/share-networks/{network}/action"
    attached = {"security_service_id": ids["old directory"]}
    alice("POST", action, {"add_security_service": attached})
    alice.share("kept", network)
    _open(page, network)
    form = _form(page, "Exchange the security service old directory")
    expect(form.get_by_role("option").filter(has_text="kerberos")).to_have_count(0)
    form.get_by_label("Security service").select_option(label="new directory (ldap)")
    command = (
        f"openstack share network set {network}"
        f" --current-security-service {ids['old directory']}"
        f" --new-security-service {ids['new directory']}"
    )
    expect(form.get_by_label(COMMAND)).to_have_text(f"{command} --check-only")
    _submit(form, "Check first")
    expect(form.get_by_text("Yes: it can be exchanged.", exact=True)).to_be_visible()
    expect(form.get_by_label(COMMAND)).to_have_text(command)
    _submit(form, "Exchange the security service old directory")
    expect(page.get_by_role("button", name="Remove the security service new")).to_be_visible()
    alice.wait_for(f"/v2/share-networks/{network}", "share_network", "active")
    listed = alice("GET", f"/v2/security-services?share_network_id={network}")
    assert [one["id"] for one in listed["security_services"]] == [ids["new directory"]]
    steps = page.get_by_role("listitem").filter(has_text="active again")
    expect(page.get_by_role("heading", name="A security service is exchanged")).to_be_visible()
    expect(steps).to_contain_text("done")


def test_administrators_remove_a_subnet_by_force(page: Page, alice: Tenant) -> None:
    network = alice.share_network("cut", "10.42.0.0/24", "fd00:42::/64")
    share = alice.share("cut", network)
    alice.allow(share, "fd00:42::/64")
    subnet = _subnet(alice, network, "fd00:42::/64")
    _open(page, network, "root")
    form = _form(page, "Remove fd00:42::/64 by force")
    expect(form.get_by_role("checkbox")).to_have_count(0)
    command = form.get_by_label(COMMAND)
    expect(command).to_have_text(f"openstack share network subnet removal check {network} {subnet}")
    _submit(form, "Check first")
    expect(form.get_by_text("Yes: it can be removed.", exact=True)).to_be_visible()
    expect(form.get_by_text("Export locations that go: 1")).to_contain_text("[fd00:42::")
    expect(form.get_by_text("Access rules that serve nobody any more: 1")).to_be_visible()
    expect(form.get_by_text("Clients that are cut off: 0")).to_be_visible()
    expect(command).to_have_text(f"openstack share network subnet removal force {network} {subnet}")
    look(page, "force")
    form.get_by_role("checkbox").press("Space")
    _submit(form, "Remove fd00:42::/64 by force")
    expect(page.get_by_role("heading", name="A subnet is removed")).to_be_visible()
    expect(page.get_by_role("row", name="fd00:42::/64")).to_have_count(0)
    expect(page.get_by_role("listitem").filter(has_text="active again")).to_contain_text("done")


def test_members_see_no_force(page: Page, alice: Tenant) -> None:
    network = alice.share_network("kept", "10.43.0.0/24")
    _open(page, network)
    expect(page.get_by_role("button", name="Remove the subnet 10.43.0.0/24")).to_be_visible()
    expect(page.get_by_role("button", name="by force")).to_have_count(0)


@pytest.mark.parametrize("user", ["alice", "root"])
def test_who_comes_later_sees_the_steps_of_a_change(
    page: Page, alice: Tenant, root: Tenant, user: str
) -> None:
    """The browser is given the statuses of a change that goes on: that of a fake back end is over
    at once. Administrators are told what it is, and whether the server has its addresses."""
    network = alice.share_network(f"later {user}", "10.44.0.0/24", "fd00:44::/64")
    alice.share(f"later-{user}", network)
    subnet = _subnet(alice, network, "fd00:44::/64")
    (server,) = root("GET", f"/v2/share-servers?share_network_id={network}")["share_servers"]
    state = {"status": "network_change", "last_step": "to_extend"}

    def changing(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["share_network"]["status"] = state["status"]
        route.fulfill(response=answer, json=body)

    def without_v6(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        if state["status"] == "network_change":
            body["export_locations"] = [
                one for one in body["export_locations"] if "fd00" not in one["path"]
            ]
        route.fulfill(response=answer, json=body)

    def operations(route: Route) -> None:
        work = {
            "id": f"share_server_add_subnet:{server['id']}:{subnet}",
            "name": "share_server_add_subnet",
            "about": server["id"],
            "state": "running",
            "last_step": state["last_step"],
        }
        other = {**work, "id": "share_create:x", "name": "share_create", "about": "x"}
        route.fulfill(json={"operations": [other, work]})

    page.route(f"**/v2/share-networks/{network}", changing)
    page.route("**/export_locations", without_v6)
    page.route("**/v2/operations*", operations)
    _open(page, network, user)
    items = page.get_by_role("listitem")
    end = items.filter(has_text="active again")
    expect(end).to_contain_text("in progress")
    if user == "alice":
        expect(
            page.get_by_role("heading", name="The share network is being changed")
        ).to_be_visible()
        expect(items.filter(has_text="on fd00:44::/64: 0 of 1")).to_contain_text("in progress")
    else:
        expect(page.get_by_role("heading", name="A subnet is added")).to_be_visible()
        allocated = items.filter(has_text=f"Share server {server['id'][:8]}: it has its addresses")
        expect(allocated).to_contain_text("in progress")
        state["last_step"] = "store_allocations"
        alice("PUT", f"/v2/share-networks/{network}", {"share_network": {"description": "1"}})
        expect(allocated).to_contain_text("done")
        expect(items.filter(has_text="an export location there")).to_contain_text("0 of 1")
    state["status"] = "active"
    alice("PUT", f"/v2/share-networks/{network}", {"share_network": {"description": "2"}})
    expect(end).to_contain_text("done")


def _ldap(name: str) -> dict[str, str]:
    return {"type": "ldap", "name": name, "server": "10.45.0.9", "domain": "example.org"}


def _subnet(tenant: Tenant, network: str, cidr: str) -> str:
    listed = tenant("GET", f"/v2/share-networks/{network}/subnets")["share_network_subnets"]
    return next(str(one["id"]) for one in listed if one["cidr"] == cidr)


def _open(page: Page, network: str, user: str = "alice") -> None:
    log_in(page, user)
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
