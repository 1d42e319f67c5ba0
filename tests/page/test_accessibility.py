"""Every view with axe-core, in both themes, wide and narrow: nothing that it finds fault with."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant

pytestmark = [
    pytest.mark.slow("axe-core looks twenty times at a page"),
    pytest.mark.timeout(360),
    pytest.mark.sampled_file(4),
]


@pytest.fixture(scope="module")
def share(alice: Tenant) -> str:
    made = alice.share("drawings", alice.share_network("accessible", "10.21.0.0/24"))
    alice.allow(made, "10.21.0.0/24")
    return made


def test_everybody_can_use_it(page: Page, share: str) -> None:
    require_no_fault(page, "login")
    log_in(page)
    expect(page.get_by_role("link", name="drawings")).to_be_visible()
    require_no_fault(page, "shares")
    page.get_by_role("link", name="drawings").click()
    expect(page.get_by_label("Mount over IPv4")).to_be_visible()
    require_no_fault(page, "share")
    page.get_by_label("Client address").fill("10.21.0.9")
    expect(page.get_by_text("Yes, directly.")).to_be_visible()
    require_no_fault(page, "reach")
    page.get_by_role("link", name="Networks").click()
    expect(page.get_by_role("link", name="accessible")).to_be_visible()
    require_no_fault(page, "networks")
    page.get_by_role("link", name="accessible").click()
    expect(page.get_by_role("row", name="10.21.0.0/24")).to_be_visible()
    page.get_by_role("button", name="Add a subnet").click()
    require_no_fault(page, "network")
    page.get_by_role("link", name="Topology").click()
    expect(page.get_by_role("listitem").filter(has_text="drawings")).to_be_visible()
    require_no_fault(page, "topology")


def require_no_fault(page: Page, view: str) -> None:
    """Colours depend on the theme, and what is left out on the width: so not each with each."""
    for theme, width in (("light", 360), ("light", 768), ("light", 1280), ("dark", 1280)):
        page.get_by_label("Theme").select_option(theme)
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width != 768:
            found = Axe().run(page)
            assert found.violations_count == 0, f"{view}: {found.generate_report()}"
        look(page, f"{view}-{theme}-{width}")
