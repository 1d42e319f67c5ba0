"""Logging in: what is asked for, what is kept, and what the browser does not do by itself."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page, Request, expect

from tests.page.conftest import log_in
from tests.page.tenant import TOKEN, TOKEN_SECRET, Tenant
from tests.service import Installation


def test_a_wrong_password_is_told_by_the_page_and_not_by_a_dialog(
    browser: Browser, service: Installation
) -> None:
    """Chromium asks its debugger whether to show the dialog, if it would."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{service.url}/ui/")
    asked: list[str] = []
    session = context.new_cdp_session(page)
    session.on("Fetch.authRequired", lambda event: answer(event, "authRequired"))
    session.on("Fetch.requestPaused", lambda event: answer(event, "requestPaused"))

    def answer(event: dict[str, Any], kind: str) -> None:
        named = {"requestId": event["requestId"]}
        if kind == "authRequired":
            asked.append(event["request"]["url"])
            refusal = {"response": "CancelAuth"}
            session.send("Fetch.continueWithAuth", {**named, "authChallengeResponse": refusal})
        else:
            session.send("Fetch.continueRequest", named)

    session.send("Fetch.enable", {"handleAuthRequests": True})
    log_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_have_text("Wrong user name or password.")
    context.close()
    assert asked == []


def test_credentials_are_nowhere_but_in_memory(page: Page, alice: Tenant) -> None:
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert "pw" not in page.url
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert kept == '[{},{},""]'
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_no_request_goes_without_credentials_after_logging_out(page: Page, alice: Tenant) -> None:
    log_in(page)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate("location.hash = '#/shares/'")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert [request.url for request in sent if "/ui/" not in request.url] == []


def test_an_application_token_logs_in(page: Page, alice: Tenant) -> None:
    log_in(page, TOKEN.login, TOKEN_SECRET)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_policy_stops_scripts_and_styles_of_others(page: Page) -> None:
    """What would be run if markup got in after all."""
    refused = page.evaluate(
        """async () => {
            const refused = [];
            addEventListener("securitypolicyviolation", (event) =>
                refused.push(event.effectiveDirective));
            const attempts = [
                () => document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=alert()>"),
                () => { document.createElement("div").innerHTML = "<b>"; },
                () => eval("1"),
                () => new Function("1"),
                () => document.body.append(Object.assign(
                    document.createElement("script"), {src: "https://elsewhere.example/x.js"})),
                () => document.body.append(Object.assign(
                    document.createElement("img"), {src: "https://elsewhere.example/x.png"})),
                () => fetch("https://elsewhere.example/").catch(() => {}),
            ];
            for (const attempt of attempts) {
                try { await attempt(); } catch {}
            }
            await new Promise((resolve) => setTimeout(resolve, 0));
            return refused;
        }"""
    )
    assert {"require-trusted-types-for", "img-src", "connect-src"} <= set(refused)
    assert page.title() == "Abaca"


def test_german(page: Page, alice: Tenant) -> None:
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "de"
    page.reload()
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
