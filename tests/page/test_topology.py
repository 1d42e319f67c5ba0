"""The picture of networks, subnets, share servers and shares: of a real service, and of 500 servers
that the browser is given."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant

pytestmark = pytest.mark.sampled_file(4)

MANY = 500
ZONE = "nova"  # which the service's back end is in
LONGEST_SECONDS = 1.0
DRAW = """async ({ free, zones, isAdmin, ...lists }) => {
    const { change } = await import("./store.js");
    Object.assign(lists, { free: new Map(free), zones: new Map(zones) });
    const began = performance.now();
    change({ isLoggedIn: true, isAdmin, lists, route: { view: "topology", id: null } });
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
    page.get_by_role("link", name="Administration").click()  # which loads servers, too
    expect(page.get_by_role("heading", name="Share servers")).to_be_visible()
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("lab")
    row = page.get_by_role("listitem").filter(has_text=server["id"][:8])
    expect(row).to_contain_text("results")
    expect(row).to_contain_text("raw")
    expect(row.get_by_title("Zone")).to_have_text(ZONE)
    assert row.locator("circle").count() == len(server["share_network_subnet_ids"]) == 3
    expect(page.get_by_role("listitem").filter(has_text="fd00:22::/64")).to_have_count(1)
    subnets = page.get_by_role("listitem")
    expect(subnets.filter(has_text="10.22.0.0/24")).to_contain_text("252 free")
    expect(subnets.filter(has_text="fd00:22::/64")).to_contain_text("more than a million free")
    expect(page.get_by_text("Free addresses are shown")).to_have_count(0)
    page.get_by_role("button", name="Count clients").click()
    expect(row).to_contain_text("clients: 0")
    look(page, "topology")
    row.get_by_role("link", name="results").click()
    expect(page.get_by_role("heading", name="results")).to_be_visible()


def test_members_see_their_networks_without_servers(page: Page, share_network: str) -> None:
    log_in(page)
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("10.23.0.0")
    row = page.get_by_role("listitem").filter(has_text="results")
    expect(row.get_by_title("Zone")).to_have_text(ZONE)
    assert row.locator("circle").count() == 3
    expect(page.get_by_text("servers:")).to_have_count(0)


def test_clients_are_counted_at_shares_and_servers(
    page: Page, root: Tenant, share_network: str
) -> None:
    """The browser is given who is connected: a fake back end has no clients."""
    named = {"10.22.0.7": 2, "10.23.0.7": 1}
    clients = [
        {"address": address, "server_address": f"s{at}"}
        for address, times in named.items()
        for at in range(times)
    ]
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(json={"clients": [*clients, {"address": None, "server_address": "s"}]})

    page.route("**/clients", answer)
    log_in(page)
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("lab")
    button = page.get_by_role("button", name="Count clients")
    button.click()
    row = page.get_by_role("listitem").filter(has_text="results")
    expect(row.get_by_text("clients: 3")).to_have_count(2)
    assert len(asked) == 2 and all("/v2/shares/" in url for url in asked)
    button.click()
    expect(row.get_by_text("clients: 3")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    page.unroute("**/clients")
    page.route("**/clients", lambda route: route.fulfill(status=503, json={"e": {"message": "m"}}))
    log_in(page, "root")
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("lab")
    button.click()
    expect(row).to_contain_text("clients: not known")


def test_export_locations_are_drawn_on_their_subnets(
    page: Page, alice: Tenant, share_network: str
) -> None:
    (raw,) = [one for one in alice("GET", "/v2/shares")["shares"] if one["name"] == "raw"]
    told = alice("GET", f"/v2/shares/{raw['id']}/export_locations")["export_locations"]
    paths = [location["path"] for location in told]
    log_in(page)
    page.get_by_role("link", name="Topology").click()
    page.get_by_role("searchbox").fill("lab")
    button = page.get_by_role("button", name="Show export locations")
    button.click()
    at = set()
    for path in paths:
        line = page.get_by_role("listitem").filter(has=page.get_by_text(path, exact=True))
        expect(line).to_contain_text("raw")
        at.add(line.locator("circle").get_attribute("cx"))
    assert len(at) == len(paths) == 3, "each on the column of its subnet"
    look(page, "topology-locations")
    button.click()
    expect(page.get_by_text(paths[0], exact=True)).to_have_count(0)


def test_each_zone_stands_on_its_own_subnets_or_on_the_default_ones(page: Page) -> None:
    subnets = [("10.1.0.0/24", None), ("10.2.0.0/24", "west"), ("fd00:2::/64", "west")]
    network = {
        "id": "n",
        "name": "two zones",
        "status": "active",
        "share_network_subnets": [
            {"id": cidr, "neutron_subnet_id": cidr, "cidr": cidr, "availability_zone": zone}
            for cidr, zone in subnets
        ],
    }
    shares = [
        {
            "id": f"{zone}-1",
            "name": f"of-{zone}",
            "status": "available",
            "share_network_id": "n",
            "availability_zone": zone,
        }
        for zone in ("east", "west")
    ]
    drawn = {"free": [], "zones": [], "shareNetworks": [network], "shareServers": []}
    page.evaluate(DRAW, drawn | {"shares": shares, "isAdmin": False})
    rows = page.get_by_role("listitem")
    for name, columns in (("east", 1), ("west", 2)):
        row = rows.filter(has_text=f"of-{name}")
        expect(row.get_by_title("Zone")).to_have_text(name)
        assert row.locator("circle").count() == columns
    page.get_by_role("searchbox").fill("west of")
    expect(rows.filter(has_text="of-east")).to_have_count(0)
    expect(rows.filter(has_text="of-west")).to_be_visible()


def test_who_may_not_ask_for_clients_is_told(page: Page, share_network: str) -> None:
    log_in(page, "rita")
    page.get_by_role("link", name="Topology").click()
    button = page.get_by_role("button", name="Count clients")
    button.click()
    expect(page.get_by_text("share_client:index")).to_be_visible()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_addresses_of_others_networks_are_not_told(page: Page, share_network: str) -> None:
    """Where Neutron keeps the networks, its subnets are not among the local ones."""
    page.route(
        "**/network-ip-availabilities",
        lambda route: route.fulfill(json={"network_ip_availabilities": []}),
    )
    log_in(page)
    page.get_by_role("link", name="Topology").click()
    expect(page.get_by_text("Free addresses are shown of Abaca's own subnets")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="10.22.0.0/24")).not_to_contain_text("free")


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
    clock = Clock(page)
    page.evaluate(DRAW, _many(MANY))
    expect(page.get_by_text(f"share servers: {MANY}")).to_be_visible()
    expect(page.get_by_role("listitem")).to_have_count(0)
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(json={"clients": []})

    page.route("**/clients", answer)
    page.get_by_role("button", name="Open all").click()
    expect(page.get_by_role("listitem")).to_have_count(MANY + 4 * 25)
    expect(page.get_by_role("listitem").filter(has_text="200 free")).to_have_count(4 * 25)
    took = clock.seconds()
    print(f"{took:.2f} s of CPU of the main thread")
    assert took < LONGEST_SECONDS
    clock = Clock(page)
    page.get_by_role("button", name="Count clients").click()
    expect(page.get_by_text("clients: 0")).to_have_count(40)
    expect(page.get_by_text("of the first 40 that are drawn")).to_be_visible()
    took = clock.seconds()
    print(f"{took:.2f} s more for the clients of 40 of them")
    assert took < LONGEST_SECONDS
    assert len(asked) == 40
    page.get_by_role("searchbox").fill("share-77-1")
    expect(page.get_by_role("listitem")).to_have_count(4 + 1)


class Clock:
    """What the page's main thread uses from now on, whatever else the machine does."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        # it counts while it is enabled
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._began = self._now()

    def seconds(self) -> float:
        """Of CPU since the clock was made. Tasks that were too short to be counted make up less
        than any that was: nothing at all means that nothing was counted."""
        took = self._now() - self._began
        assert took > 0
        return took

    def _now(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def _many(servers: int) -> dict[str, Any]:
    """Twenty share servers in each share network, each with two shares, on four subnets."""
    networks = [
        {
            "id": f"n{number}",
            "name": f"network {number}",
            "status": "active",
            "share_network_subnets": [
                {
                    "id": f"n{number}s{at}",
                    "neutron_subnet_id": f"l{number}s{at}",
                    "cidr": f"10.{number}.{at}.0/24",
                    "ip_version": 4,
                }
                for at in range(4)
            ],
        }
        for number in range(servers // 20)
    ]
    return {
        "isAdmin": True,
        "zones": [["h@b", "west"]],
        "free": [[f"l{number}s{at}", 200] for number in range(servers // 20) for at in range(4)],
        "shareNetworks": networks,
        "shareServers": [
            {
                "id": f"server-{number}",
                "host": "h@b",
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
