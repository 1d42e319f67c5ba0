"""Rough use of the page: names of every shape, clicks that come twice, answers that come late or
not at all, sessions that end while a form is open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.page.conftest import log_in
from tests.page.tenant import Tenant

pytestmark = [pytest.mark.timeout(300), pytest.mark.sampled_file(8)]
FAULT = {"computeFault": {"code": 500, "message": "It broke."}}
SHAPES = [
    "-x",
    "--os-auth-url=http://elsewhere.example",
    "<b onclick=alert(1)>'\"&amp;",
    "$(reboot)`reboot`;\\",
    "two\nlines",
    "\u202eright\u2066to\u0301left \u05e9\u05dc\u05d5\u05dd",
    "W" * 255,
    "constructor",
]


@pytest.fixture
def networks(page: Page, alice: Tenant) -> Page:
    log_in(page)
    page.get_by_role("link", name="Networks").click()
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    return page


@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_a_thing_of_any_name_is_made_shown_and_deleted(
    networks: Page, alice: Tenant, shape: str
) -> None:
    """An input is one line, whatever is put into it."""
    page, before = networks, _ids(alice)
    form = _form(page, "Create a network")
    form.get_by_label("Name").fill(shape)
    _submit(form)
    (made,) = _ids(alice) - before
    link = page.locator(f"a[href='#/local/{made}']")
    expect(link).to_have_text(shape.replace("\n", " "))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    link.click()
    form = _form(page, "Delete the network", is_first=True)
    form.get_by_role("checkbox").press("Space")
    _submit(form)
    expect(page.get_by_text("There is no such network")).to_be_visible()
    assert made not in _ids(alice)


def test_a_name_that_turns_the_direction_turns_nothing_beside_it(
    page: Page, alice: Tenant, root: Tenant
) -> None:
    """What stands after it in the same cell or line stays to the right of it."""
    name = "\u202e\u05d0bc"
    network = alice.share_network("turned", "10.46.0.0/24")
    wanted = {"type": "ldap", "name": name, "server": "10.46.0.9", "domain": "example.org"}
    made = alice("POST", "/v2/security-services", {"security_service": wanted})
    service = made["security_service"]["id"]
    added = {"add_security_service": {"security_service_id": service}}
    alice("POST", f"/v2/share-networks/{network}/action", added)
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    _go(page, f"#/network/{network}")
    line = page.get_by_role("listitem").filter(has_text=name)
    expect(line).to_be_visible()
    starts = """(line, name) => {
      const walk = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
      while (!walk.nextNode().textContent.includes(name));
      const range = document.createRange();
      range.selectNodeContents(walk.currentNode);
      const tag = line.querySelector(".tag").getBoundingClientRect();
      return [range.getBoundingClientRect().right, tag.left];
    }"""
    end_of_name, start_of_tag = line.evaluate(starts, name)
    assert end_of_name <= start_of_tag


def test_who_clicks_twice_asks_once(networks: Page) -> None:
    page, asked, held = networks, _asked(networks), list[Route]()
    page.route("**/v2/share-networks", _hold("POST", held))
    form = _form(page, "Create a share network")
    form.get_by_label("Name").fill("once")
    button = form.locator("button:not([type])")
    button.dblclick()
    form.get_by_label("Name").press("Enter")
    expect(button).to_have_attribute("aria-disabled", "true")
    held[0].fulfill(status=200, json={"share_network": {}})
    expect(form).to_have_count(0)
    assert [one.method for one in asked if one.method != "GET"] == ["POST"]


def test_a_refusal_that_comes_when_its_form_is_gone_is_told(networks: Page) -> None:
    page, held = networks, list[Route]()
    page.route("**/v2/share-networks", _hold("POST", held))
    form = _form(page, "Create a share network")
    form.get_by_label("Name").fill("late")
    form.locator("button:not([type])").click()
    expect(form.locator("button:not([type])")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("link", name="Shares", exact=True).click()
    expect(page.get_by_role("heading", name="Shares")).to_be_visible()
    held[0].fulfill(status=500, json=FAULT)
    expect(page.get_by_text("It broke.")).to_be_visible()


def test_an_answer_closes_no_other_form(networks: Page) -> None:
    page, held = networks, list[Route]()
    page.route("**/v2/share-networks", _hold("POST", held))
    form = _form(page, "Create a share network")
    form.get_by_label("Name").fill("first")
    form.locator("button:not([type])").click()
    page.keyboard.press("Escape")
    other = _form(page, "Create a network")
    other.get_by_label("Name").fill("still here")
    held[0].fulfill(status=200, json={"share_network": {}})
    expect(page.get_by_text("Requested: Create a share network")).to_be_visible()
    expect(other.get_by_label("Name")).to_have_value("still here")


def test_what_breaks_between_check_and_action_can_be_tried_again(page: Page, alice: Tenant) -> None:
    network = alice.share_network("two steps", "10.47.0.0/24")
    alice.network("10.48.0.0/24")
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    _go(page, f"#/network/{network}")
    subnets = f"**/v2/share-networks/{network}/subnets"
    page.route(subnets, lambda route: route.fulfill(status=500, json=FAULT))
    form = _form(page, "Add a subnet")
    place = form.locator("select").first
    label = next(one for one in place.locator("option").all_text_contents() if "10.48" in one)
    place.select_option(label=label)
    button = form.locator("button:not([type])")
    expect(button).to_have_text("Check first")
    button.click()
    expect(button).to_have_text("Add a subnet")
    button.click()
    expect(form.get_by_role("alert")).to_contain_text("It broke.")
    expect(button).not_to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("heading", name="A subnet is added")).to_have_count(0)
    page.unroute(subnets)
    _submit(form)
    expect(page.get_by_role("row", name="10.48.0.0/24")).to_be_visible()


def test_a_session_that_ends_while_a_form_is_open_is_told(networks: Page) -> None:
    page = networks
    form = _form(page, "Create a network")
    form.get_by_label("Name").fill("too late")
    page.route("**/network/**", lambda route: route.fulfill(status=401, json={}))
    form.locator("button:not([type])").click()
    expect(page.get_by_role("alert")).to_contain_text("not accepted any more")
    expect(page.get_by_label("Password")).to_be_visible()
    page.unroute("**/network/**")
    log_in(page)
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    expect(page.get_by_role("form")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("not accepted any more")).to_have_count(0)


def test_the_way_back_leaves_no_form_behind(networks: Page) -> None:
    page = networks
    page.get_by_role("link", name="Shares", exact=True).click()
    page.get_by_role("link", name="Networks").click()
    _form(page, "Create a network").get_by_label("Name").fill("half typed")
    page.go_back()
    expect(page.get_by_role("heading", name="Shares")).to_be_visible()
    expect(page.get_by_role("form")).to_have_count(0)
    page.go_forward()
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    expect(page.get_by_role("form")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    page.go_back()
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.get_by_role("heading", name="Shares")).to_have_count(0)


def test_quotas_that_come_late_are_not_those_of_another_project(page: Page, root: Tenant) -> None:
    held: list[Route] = []
    page.route("**/v2/quota-sets/red/detail", _hold("GET", held))
    log_in(page, "root")
    page.get_by_role("link", name="Administration").click()
    project = page.get_by_label("Project", exact=True)
    project.fill("red")
    with page.expect_request("**/v2/quota-sets/red/detail"):
        page.get_by_role("button", name="Show", exact=True).click()
    project.fill("blue")
    with page.expect_response("**/v2/quota-sets/red/detail"):
        held[0].continue_()
    page.wait_for_event("response", lambda answer: "project-version" in answer.url)
    expect(page.get_by_role("button", name="Set quotas")).to_have_count(0)


def _ids(tenant: Tenant) -> set[str]:
    return {one["id"] for one in tenant("GET", "/network/v2.0/networks")["networks"]}


def _asked(page: Page) -> list[Request]:
    seen: list[Request] = []
    page.on("request", lambda request: seen.append(request))
    return seen


def _hold(method: str, held: list[Route]) -> Callable[[Route], None]:
    """Requests of that method wait for the test."""

    def hold(route: Route) -> None:
        if route.request.method == method:
            held.append(route)
        else:
            route.continue_()

    return hold


def _go(page: Page, route: str) -> None:
    page.goto(f"{page.url.partition('#')[0]}{route}")


def _form(page: Page, button: str, *, is_first: bool = False) -> Locator:
    """The form that this button opens."""
    found = page.get_by_role("button", name=button, exact=True)
    (found.first if is_first else found).click()
    return page.get_by_role("form")


def _submit(form: Locator) -> None:
    form.locator("button:not([type])").click()
    expect(form).to_have_count(0)
