"""Can this address reach this share? By rules, export locations and subnets."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant

pytestmark = pytest.mark.sampled_file(4)

SUBNETS = [
    {"cidr": "10.20.0.0/24", "gateway": "10.20.0.1"},
    {"cidr": "fd00:20::/64", "gateway": None},
]
LOCATIONS = [{"path": "10.20.0.5:/shares/x"}, {"path": "[fd00:20::5]:/shares/x"}]
JUDGE = "async ([text, about]) => (await import('./reach.js')).judge(text, about)"


DECIDED = [
    ("10.20.0.7", "10.20.0.7", "yes", "It is on 10.20.0.0/24"),
    ("10.20.0.7", "10.20.0.8", "no", "No access rule admits"),
    ("10.99.0.7", "10.0.0.0/8", "routed", "Through the gateway 10.20.0.1"),
    ("fd00:20:0:0::7", "fd00:20::/64", "yes", "It is on fd00:20::/64"),
    ("fd00:99::7", "::/0", "no", "none of them has a gateway"),
    ("::ffff:10.20.0.7", "10.20.0.7", "no", "No access rule admits"),
    ("10.20.0.7", "fd00:20::/64", "no", "No access rule admits"),
]
NO_ADDRESSES = ["", "10.20.0", "10.20.0.256", "10.20.0.07", "1::2::3", "fd00:::1", "::g", "1:2"]


def test_what_decides(page: Page) -> None:
    for address, rule, verdict, because in DECIDED:
        found = page.evaluate(JUDGE, [address, _about(rule)])
        told = " ".join(reason["text"] for reason in found["reasons"])
        assert found["verdict"] == verdict, (address, rule)
        assert because in told, (address, rule)


def test_what_is_not_served_or_not_active_yet_is_told(page: Page) -> None:
    about = _about("10.20.0.0/24", state="queued_to_apply", status="creating")
    found = page.evaluate(JUDGE, ["10.20.0.7", about])
    told = " ".join(reason["text"] for reason in found["reasons"] if not reason["isGood"])
    assert found["verdict"] == "no" and "queued_to_apply" in told and "creating" in told


def test_what_is_no_address(page: Page) -> None:
    parsed = page.evaluate(
        "async (texts) => texts.map((await import('./addresses.js')).parseAddress)", NO_ADDRESSES
    )
    assert parsed == [None] * len(NO_ADDRESSES)


def test_a_share_is_asked(page: Page, alice: Tenant) -> None:
    made = alice.share("reachable", alice.share_network("near", "10.24.0.0/24"))
    alice.allow(made, "10.24.0.0/25")
    log_in(page)
    page.get_by_role("link", name="reachable").click()
    field = page.get_by_label("Client address")
    field.fill("10.24.0.9")
    expect(page.get_by_text("Yes, directly.")).to_be_visible()
    expect(page.get_by_text("The rule for 10.24.0.0/25 admits it (rw).")).to_be_visible()
    look(page, "reach")
    field.fill("10.24.0.200")
    expect(page.get_by_text("No access rule admits this address.")).to_be_visible()
    field.fill("10.24")
    expect(page.get_by_text("This is no IPv4 or IPv6 address.")).to_be_visible()


def _about(rule: str, state: str = "active", status: str = "available") -> dict[str, Any]:
    return {
        "share": {"status": status},
        "locations": LOCATIONS,
        "rules": [{"access_type": "ip", "access_to": rule, "access_level": "rw", "state": state}],
        "subnets": SUBNETS,
    }
