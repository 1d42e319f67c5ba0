"""What others change is on the page within two seconds; while nothing changes, it asks for one
small thing. And long lists come in pages."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Response, Route, expect

from tests.page.conftest import log_in
from tests.page.tenant import Tenant
from tests.service import PATIENCE

pytestmark = [pytest.mark.timeout(300), pytest.mark.sampled_file(4)]
SECONDS = 2.0


def test_what_others_do_is_shown_soon(page: Page, alice: Tenant, root: Tenant) -> None:
    log_in(page)
    page.get_by_role("link", name="Networks").click()
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    name = f"news-{uuid4().hex[:8]}"
    for who in (alice, root):
        began = time.monotonic()
        if who is alice:
            made = alice.share_network(name, "10.34.0.0/24")
        else:
            root("PUT", f"/v2/share-networks/{made}", {"share_network": {"name": f"{name}-2"}})
            name = f"{name}-2"
        made_at = time.monotonic()
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
        shown = time.monotonic()
        print(f"shown {shown - made_at:.2f} s after a request of {made_at - began:.2f} s")
        assert shown - made_at < SECONDS * PATIENCE


def test_a_page_at_rest_asks_for_the_version_only(page: Page, alice: Tenant) -> None:
    log_in(page)
    with page.expect_response("**/v2/security-services*"):
        page.get_by_role("link", name="Networks").click()
    page.wait_for_event("response", lambda answer: answer.status == 304)
    seen: list[Response] = []
    page.on("response", lambda answer: seen.append(answer))
    for _ in range(3):
        page.wait_for_event("response", lambda answer: answer.status == 304)
    assert Counter(answer.status for answer in seen).keys() == {304}
    assert {answer.url.rpartition("/")[2] for answer in seen} == {"project-version"}


def test_shares_are_counted_once_in_a_while(page: Page, alice: Tenant) -> None:
    """What is loaded because something changed asks for no count: a short list is counted here."""
    network = alice.share_network(f"counted-{uuid4().hex[:8]}", "10.35.0.0/24")
    alice.share(f"first-{uuid4().hex[:8]}", network)
    with page.expect_response("**/v2/shares/detail?*") as loaded:
        log_in(page)
    assert "priority" not in loaded.value.request.all_headers(), "somebody waits for it"
    shown = page.get_by_text(re.compile(r"^\d+ of \d+$"))
    before = int((shown.text_content() or "").split()[-1])
    with page.expect_response("**/v2/shares/detail?*") as loaded:
        alice.share(f"one-more-{uuid4().hex[:8]}", network)
    assert "with_count" not in loaded.value.url
    assert loaded.value.request.all_headers()["priority"] == "u=6"
    expect(page.get_by_text(f"{before + 1} of {before + 1}", exact=True)).to_be_visible()


def test_what_is_loaded_in_the_background_is_given_up_for_a_click(
    page: Page, alice: Tenant
) -> None:
    log_in(page)
    expect(page.get_by_role("heading", name="Shares")).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "priority" in route.request.all_headers():
            held.append(route)
        else:
            route.fallback()

    page.route("**/v2/shares/detail?*", hold)
    with page.expect_request(lambda one: "/v2/shares/detail?" in one.url):
        alice.share_network(f"news-{uuid4().hex[:8]}", "10.36.0.0/24")
    with page.expect_event("requestfailed", lambda one: "/v2/shares/detail?" in one.url):
        page.get_by_role("link", name="Networks").click()
    assert len(held) == 1
    held[0].abort()  # until it is answered, the page's end waits for it
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    expect(page.locator(".notice")).to_have_count(0)


def test_a_service_too_busy_for_what_can_wait_is_asked_again_without_a_word(
    page: Page, alice: Tenant
) -> None:
    log_in(page)
    page.get_by_role("link", name="Networks").click()
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    refused: list[str] = []

    def refuse(route: Route) -> None:
        if len(refused) < 2 and "priority" in route.request.all_headers():
            refused.append(route.request.url)
            fault = {"serviceUnavailable": {"code": 503, "message": "busy"}}
            route.fulfill(status=503, json=fault)
        else:
            route.fallback()

    page.route("**/v2/security-services*", refuse)
    name = f"news-{uuid4().hex[:8]}"
    alice.share_network(name, "10.37.0.0/24")
    with page.expect_response(lambda one: one.status == 503):
        pass
    expect(page.locator(".notice")).to_have_count(0)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    assert len(refused) == 2


def test_a_long_list_comes_in_pages(page: Page) -> None:
    """The browser is given the answers: 450 shares take a service minutes to make."""
    asked: list[str] = []

    def answer(route: Any) -> None:
        url = route.request.url
        asked.append(url)
        limit = int(url.partition("limit=")[2].partition("&")[0])
        named = url.partition("name~=")[2].partition("&")[0]
        found = [share for share in SHARES if named in share["name"]]
        route.fulfill(json={"shares": found[:limit], "count": len(found)})

    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.route("**/v2/shares/detail?*", answer)
    page.get_by_role("link", name="Networks").click()
    page.get_by_role("link", name="Shares", exact=True).click()
    expect(page.get_by_text("50 of 450")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(1 + 50)
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_text("250 of 450")).to_be_visible()
    page.get_by_role("searchbox").fill("share-44")
    expect(page.get_by_text("11 of 11")).to_be_visible()
    assert "name~=share-44" in asked[-1]
    page.get_by_role("searchbox").fill("")
    expect(page.get_by_text("250 of 450")).to_be_visible()


SHARES: list[dict[str, Any]] = [
    {
        "id": f"id-{number}",
        "name": f"share-{number}",
        "status": "available",
        "size": 1,
        "share_proto": "NFS",
        "share_network_id": None,
        "project_id": "red",
        "created_at": "2026-11-01T00:00:00.000000",
    }
    for number in range(450)
]
