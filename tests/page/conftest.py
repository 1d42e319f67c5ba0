"""One service with the fake back end for all tests of the page, one browser for each module; each
test has a browser context of its own, which shares nothing with others.

The browser is Debian's Chromium, headless, driven by Playwright. It loads nothing from elsewhere:
whatever is not the service fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.page.tenant import Tenant, add_users
from tests.service import FAKE_BACKEND, PATIENCE, Installation, installation

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
WAIT_MILLISECONDS = 20_000 * PATIENCE
THEMES = ("light", "dark")
WIDTHS = (360, 768, 1280)
SCREENSHOTS = "ABACA_SCREENSHOTS"  # a folder, to look at what tests saw
PICTURES = "ABACA_PICTURES"  # a folder: the pictures of the documentation
PICTURE_SIZE: ViewportSize = {"width": 960, "height": 640}


@pytest.fixture(scope="session")
def service() -> Iterator[Installation]:
    # what one test leaves is in no other's way
    quota = "[quota]\nshare_networks = 1000\nshares = 1000\ngigabytes = 10000\nsnapshots = 1000\n"
    with installation(config_text=f"{quota}{FAKE_BACKEND}pools = fake:10000\n") as made:
        made.start()
        add_users(made)
        yield made


@pytest.fixture(scope="session")
def root(service: Installation) -> Tenant:
    """The administrator, who has made the share type `default`."""
    made = Tenant(service.url, "root")
    specs = {"driver_handles_share_servers": "True"}
    made("POST", "/v2/types", {"share_type": {"name": "default", "extra_specs": specs}})
    return made


@pytest.fixture(scope="session")
def alice(service: Installation, root: Tenant) -> Tenant:
    return Tenant(service.url, "alice")


# Not for the session: Playwright's event loop runs as long as it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is missing (Debian: chromium)")
    expect.set_options(timeout=WAIT_MILLISECONDS)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=os.geteuid() != 0
        )
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, service: Installation) -> Iterator[Page]:
    """A page at the login form. At the end it has loaded nothing from elsewhere, and no script of
    its has failed."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-GB", color_scheme="light"
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    elsewhere: list[str] = []
    failures: list[str] = []

    def only_ours(route: Route) -> None:
        if route.request.url.startswith(f"{service.url}/"):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    context.route("**", only_ours)
    made = context.new_page()
    made.on("pageerror", lambda error: failures.append(str(error)))
    made.goto(f"{service.url}/ui/")
    yield made
    made.unroute_all(behavior="wait")  # what a test answers in place of the service
    context.close()
    assert (elsewhere, failures) == ([], [])


def log_in(page: Page, user: str = "alice", password: str = "pw") -> None:
    """By the form."""
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def look(page: Page, name: str) -> None:
    """A picture for people, if they ask for it."""
    if folder := os.environ.get(SCREENSHOTS):
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


def picture(page: Page, name: str, top: Locator) -> None:
    """A picture of the documentation, if it is wanted, from `top` downwards."""
    if PICTURES not in os.environ:
        return
    before = page.viewport_size
    page.set_viewport_size(PICTURE_SIZE)
    top.evaluate("(element) => element.scrollIntoView({block: 'start'})")
    page.mouse.move(PICTURE_SIZE["width"] - 1, PICTURE_SIZE["height"] - 1)
    end = page.locator("main > :last-child").evaluate("(it) => it.getBoundingClientRect().bottom")
    height = min(PICTURE_SIZE["height"], end + 16)
    page.screenshot(
        path=Path(os.environ[PICTURES], f"{name}.png"),
        clip={"x": 0, "y": 0, "width": PICTURE_SIZE["width"], "height": height},
    )
    assert before is not None
    page.set_viewport_size(before)


def look_at_all_widths(page: Page, name: str) -> None:
    """Pictures in both themes at three widths, if people ask for them; then as it was."""
    if SCREENSHOTS not in os.environ:
        return
    for theme in THEMES:
        page.get_by_label("Theme").select_option(theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            look(page, f"{name}-{theme}-{width}")
    page.get_by_label("Theme").select_option("auto")
    page.set_viewport_size({"width": 1280, "height": 800})
