"""Logging in to a real Keystone by the page's form, and by a token."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, expect

from tests.openstack.keystone import PASSWORD, Keystone, section
from tests.page.conftest import WAIT_MILLISECONDS
from tests.service import FAKE_BACKEND, Installation, installation

pytestmark = [
    pytest.mark.slow("a real Keystone, and a service of its own"),
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(4),
]


@pytest.fixture(scope="module")
def service_with_keystone(keystone: Keystone) -> Iterator[Installation]:
    options = keystone.service_user(f"abaca-{uuid4().hex[:8]}")
    text = f"{FAKE_BACKEND}[api]\nauth_strategy = keystone\n{section(options)}"
    with installation(config_text=text) as made:
        made.start()
        yield made


def test_user_password_and_project_or_a_token_log_in(
    browser: Browser, service_with_keystone: Installation, keystone: Keystone
) -> None:
    mark = uuid4().hex[:8]
    project = keystone.project(f"red-{mark}")
    keystone.user(f"alice-{mark}", "member", project_id=project)
    context = browser.new_context(locale="en-GB")
    context.set_default_timeout(WAIT_MILLISECONDS)
    page = context.new_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(f"{service_with_keystone.url}/ui/")
    page.get_by_label("User", exact=True).fill(f"alice-{mark}")
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("Project", exact=True).fill(f"red-{mark}")
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Wrong user name or password.")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert page.evaluate("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"
    page.get_by_role("button", name="Log out").click()
    token = keystone.token(f"alice-{mark}", project_id=project)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in with the token").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert not any(token in url or PASSWORD in url for url in sent)
    context.close()
