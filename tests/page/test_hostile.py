"""What attackers may try by way of the page's forms, its URL, and other sites."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import log_in
from tests.page.tenant import Tenant
from tests.page.test_shares import HOSTILE
from tests.service import Installation

pytestmark = [pytest.mark.timeout(300), pytest.mark.sampled_file(4)]
SCRIPT = "javascript:document.title='owned'"
ROUTES = (
    "#/share/<img src=x onerror=document.title='owned'>",
    "#/share/..%2f..%2fv3%2fauth%2ftokens",
    "#/network/%0d%0aX-Auth-Token:%20x",
    "#/constructor/x",
    "#/__proto__/x",
    "#/local/" + "x" * 9000,
    f"#{SCRIPT}",
)


@pytest.fixture(scope="module")
def other_site(service: Installation) -> Iterator[str]:
    """A page on another port, which shows ours in a frame."""
    text = f"<title>other</title><iframe src='{service.url}/ui/' name='ours'></iframe>"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_names_of_networks_and_services_are_text(page: Page, alice: Tenant) -> None:
    made = alice("POST", "/network/v2.0/networks", {"network": {"name": HOSTILE}})["network"]
    body = {"network_id": made["id"], "cidr": "10.36.0.0/24", "ip_version": 4, "name": SCRIPT}
    alice("POST", "/network/v2.0/subnets", {"subnet": body})
    service = {"type": "ldap", "name": HOSTILE, "password": "<b>secret</b>"}
    stored = alice("POST", "/v2/security-services", {"security_service": service})
    network = alice("POST", "/v2/share-networks", {"share_network": {"name": SCRIPT}})
    log_in(page)
    page.get_by_role("link", name="Networks").click()
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    expect(page.get_by_text("secret")).to_have_count(0)
    page.get_by_role("button", name="Create a share network").click()
    expect(page.get_by_role("form").get_by_label("Subnet")).to_contain_text("10.36.0.0/24")
    page.keyboard.press("Escape")
    page.get_by_role("link", name=SCRIPT).click()
    expect(page.get_by_role("heading", name=SCRIPT)).to_be_visible()
    page.get_by_role("button", name="Delete the share network").click()
    expect(page.get_by_role("form")).to_contain_text(SCRIPT)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="All networks").click()
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("cell", name=SCRIPT)).to_be_visible()
    assert _is_untouched(page)
    assert page.locator("main img, main b, main script, main iframe").count() == 0
    hrefs = page.locator("a").evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")
    assert all(href.startswith("#/") for href in hrefs)
    alice("DELETE", f"/v2/share-networks/{network['share_network']['id']}")
    alice("DELETE", f"/v2/security-services/{stored['security_service']['id']}")


def test_a_hostile_url_does_nothing(page: Page, service: Installation, alice: Tenant) -> None:
    """It names a view and an id, which become a path of the API and nothing else."""
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for route in ROUTES:
        page.evaluate("(hash) => { location.hash = hash; }", route)
        expect(page.get_by_role("main")).not_to_be_empty()
        page.wait_for_event("response")
        assert _is_untouched(page)
    page.get_by_role("link", name="Shares", exact=True).click()
    allowed = tuple(f"{service.url}/{part}" for part in ("v2/", "network/", "ui/"))
    assert all(url.startswith(allowed) for url in asked), asked


EVERY_ACTION = """async () => {
  const hostile = "\\u202e--os-auth-url=http://elsewhere.example/v3";
  const names = { id: hostile, host: hostile, binary: hostile, name: hostile };
  const thing = { ...names, cidr: "10.0.0.0/24", size: 1 };
  // what is chosen from a list of our own, or a number
  const OURS = /^(size|hours|level|then|type|is_public|driver_handles_share_servers|.*_support)$/;
  const values = new Proxy({}, { get: (_, name) => (OURS.test(name) ? "1" : hostile) });
  const modules = ["", "admin_", "network_", "quota_", "service_"];
  const { commandLine } = await import("./commands.js");
  const lines = {};
  for (const name of modules) {
    for (const [what, make] of Object.entries(await import(`./${name}actions.js`))) {
      if (typeof make !== "function") continue;
      try {
        const of = what.endsWith("Quotas") ? { project: hostile, user: hostile } : thing;
        const action = make(of, what === "setQuotas" ? { shares: 5 } : [thing], [thing]);
        for (const part of ["request", "check"]) {
          const words = action[part]?.(values).words;
          if (words) lines[`${what} ${part}`] = commandLine(...words);
        }
      } catch (error) {
        lines[`${what}: ${error}`] = "";
      }
    }
  }
  return lines;
}"""


def test_what_a_row_is_known_by_is_no_option_of_a_command_that_is_copied(page: Page) -> None:
    """`--os-auth-url` would have whoever copies it send his password elsewhere."""
    lines = page.evaluate(EVERY_ACTION)
    commands = {what: shlex.split(line) for what, line in lines.items() if line}
    assert len(commands) >= 25, lines
    for what, words in commands.items():
        end = words.index("--") if "--" in words else len(words)
        assert not any(word.startswith("--os-auth-url") for word in words[:end]), (what, words)
        # what comes after it is no option, either of ours
        assert sum(word.startswith("-") for word in words[end + 1 :]) <= 1, (what, words)


def test_no_other_site_shows_it_in_a_frame(browser: Browser, other_site: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(other_site)
    ours = page.frame(name="ours")
    assert ours is not None
    ours.wait_for_load_state()
    assert ours.locator("#page, form").count() == 0
    context.close()


def test_no_other_site_uses_a_password_that_the_browser_knows(
    browser: Browser, service: Installation, alice: Tenant, other_site: str
) -> None:
    """Who has opened the API itself, and typed a password into the browser's dialog."""
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"{service.url.replace('://', '://alice:pw@')}/v2/shares")
    assert answer is not None and answer.status == 200
    page.goto(other_site)
    forged = """async (url) => {
      const text = '{"share_network": {"name": "forged"}}';
      const more = { mode: "no-cors", credentials: "include", method: "POST" };
      await fetch(`${url}/v2/share-networks`, { ...more, body: new Blob([text]) });
    }"""
    page.evaluate(forged, service.url)
    names = [one["name"] for one in alice("GET", "/v2/share-networks")["share_networks"]]
    assert "forged" not in names
    context.close()


def test_what_one_logs_in_with_is_in_no_url_history_or_storage(page: Page, alice: Tenant) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    log_in(page)
    page.get_by_role("link", name="Networks").click()
    expect(page.get_by_role("heading", name="Share networks")).to_be_visible()
    page.get_by_role("button", name="Create a security service").click()
    form = page.get_by_role("form")
    form.get_by_label("Password").fill("a-secret-word")
    form.locator("button:not([type])").click()
    expect(form).to_have_count(0)
    kept = page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie, history.state, "
        "location.href, performance.getEntries().map((entry) => entry.name)])"
    )
    for secret in ("pw", "a-secret-word", "YWxpY2U6cHc="):
        assert secret not in kept
        assert not any(secret in url for url in sent)
    assert "indexedDB" not in kept
    assert page.evaluate("indexedDB.databases().then((all) => all.length)") == 0
    assert page.evaluate("caches.keys().then((all) => all.length)") == 0


def _is_untouched(page: Page) -> bool:
    return page.title() == "Abaca" and page.evaluate("window.owned === undefined")
