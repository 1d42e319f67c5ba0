"""The picture of networks, subnets, share servers and shares: of a real service, and of 500 servers
that the browser is given."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant

pytestmark = pytest.mark.sampled_file(2)

MANY = 500
LONGEST_SECONDS = 1.0
DRAW = """async (lists) => {
    const { change } = await import("./store.js");
    const began = performance.now();
    change({ isLoggedIn: true, isAdmin: true, lists, route: { view: "topology", id: null } });
    document.body.getBoundingClientRect();  // lays it out
    return performance.now() - began;
}"""


@pytest.fixture(scope="module")
def share_network(alice: Tenant) -> str:
    made = alice.share_network("lab", "10.22.0.0/24", "fd00:22::/64", "10.23.0.0/24")
    alice.share("results", made)
    alice.share("raw", made)
    return made


def test_administrators_see_servers_on_their_subnets(
    page: Page, root: Tenant, share_network: str
) -> None:
    listed = root("GET", f"/v2/share-servers?share_network_id={share_network}")
    (server,) = listed["share_servers"]
    log_in(page, "root")
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("lab")
    row = page.get_by_role("listitem").filter(has_text=server["id"][:8])
    expect(row).to_contain_text("results")
    expect(row).to_contain_text("raw")
    assert row.locator("circle").count() == len(server["share_network_subnet_ids"]) == 3
    expect(page.get_by_role("listitem").filter(has_text="fd00:22::/64")).to_have_count(1)
    look(page, "topology")
    row.get_by_role("link", name="results").click()
    expect(page.get_by_role("heading", name="results")).to_be_visible()


def test_members_see_their_networks_without_servers(page: Page, share_network: str) -> None:
    log_in(page)
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("10.23.0.0")
    row = page.get_by_role("listitem").filter(has_text="results")
    expect(row).to_be_visible()
    assert row.locator("circle").count() == 3
    expect(page.get_by_text("servers:")).to_have_count(0)


def test_a_search_leaves_what_matches_and_a_group_closes(page: Page, share_network: str) -> None:
    log_in(page)
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("nothing has this")
    expect(page.get_by_text("Nothing matches the filter.")).to_be_visible()
    page.get_by_role("searchbox").fill("lab raw")
    toggle = page.get_by_role("button", name="lab", expanded=True)
    toggle.press("Enter")
    expect(page.get_by_role("listitem")).to_have_count(0)
    page.get_by_role("button", name="lab", expanded=False).press("Enter")
    expect(page.get_by_role("listitem").filter(has_text="results")).to_be_visible()


def test_five_hundred_servers_begin_closed_and_are_all_drawn(page: Page) -> None:
    before = cpu_seconds(page)
    page.evaluate(DRAW, _many(MANY))
    expect(page.get_by_text(f"{MANY} share servers")).to_be_visible()
    expect(page.get_by_role("listitem")).to_have_count(0)
    page.get_by_role("button", name="Open all").click()
    expect(page.get_by_role("listitem")).to_have_count(MANY + 4 * 25)
    took = cpu_seconds(page) - before
    print(f"{took:.2f} s of CPU of the main thread")
    assert took < LONGEST_SECONDS
    page.get_by_role("searchbox").fill("share-77-1")
    expect(page.get_by_role("listitem")).to_have_count(4 + 1)


def cpu_seconds(page: Page) -> float:
    """What the page's main thread has used, whatever else the machine does."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def _many(servers: int) -> dict[str, Any]:
    """Twenty share servers in each share network, each with two shares, on four subnets."""
    networks = [
        {
            "id": f"n{number}",
            "name": f"network {number}",
            "status": "active",
            "share_network_subnets": [
                {"id": f"n{number}s{at}", "cidr": f"10.{number}.{at}.0/24", "ip_version": 4}
                for at in range(4)
            ],
        }
        for number in range(servers // 20)
    ]
    return {
        "shareNetworks": networks,
        "shareServers": [
            {
                "id": f"server-{number}",
                "host": "h@b#p",
                "status": "active",
                "share_network_id": f"n{number // 20}",
                "share_network_subnet_ids": [
                    f"n{number // 20}s{at}" for at in range(1 + number % 4)
                ],
            }
            for number in range(servers)
        ],
        "shares": [
            {
                "id": f"share-{number}-{at}",
                "name": f"share-{number}-{at}",
                "status": "available",
                "share_network_id": f"n{number // 20}",
                "share_server_id": f"server-{number}",
            }
            for number in range(servers)
            for at in range(2)
        ],
    }
