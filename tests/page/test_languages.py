"""The main views in German: no text of theirs is English, on the screen or for screen readers."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page.tenant import Tenant

pytestmark = [pytest.mark.timeout(300), pytest.mark.sampled_file(8)]
# what the page says, apart from what things are called and from what the API says of them
SAID = """async () => {
  const { TEXTS } = await import("./text.js");
  const said = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) said.add(walk.currentNode.textContent.trim());
  for (const element of document.querySelectorAll("[aria-label], [placeholder], [title]")) {
    for (const name of ["aria-label", "placeholder", "title"]) {
      said.add(element.getAttribute(name)?.trim() ?? "");
    }
  }
  return { said: [...said], english: TEXTS.en, german: TEXTS.de };
}"""
VIEWS = ("Shares", "Netze", "Topologie", "Verwaltung")


def test_the_main_views_in_german(page: Page, alice: Tenant, root: Tenant) -> None:
    share = alice.share("zeichnungen", alice.share_network("werkstatt", "10.49.0.0/24"))
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
    require_german(page, "login")
    page.get_by_label("Benutzer").fill("root")
    page.get_by_label("Passwort").fill("pw")
    page.get_by_role("button", name="Anmelden").click()
    for view in VIEWS:
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.get_by_role("heading", name=view, exact=True)).to_be_visible()
        require_german(page, view)
    base = page.url.partition("#")[0]
    page.goto(f"{base}#/share/{share}")
    expect(page.get_by_role("heading", name="zeichnungen")).to_be_visible()
    for button in ("Größe ändern", "Share löschen", "Regel hinzufügen", "Schnappschuss erstellen"):
        page.get_by_role("button", name=button, exact=True).click()
        require_german(page, button)
        page.keyboard.press("Escape")
    network = alice("GET", f"/v2/shares/{share}")["share"]["share_network_id"]
    page.goto(f"{base}#/network/{network}")
    expect(page.get_by_role("heading", name="werkstatt")).to_be_visible()
    require_german(page, "network")


def require_german(page: Page, view: str) -> None:
    told = page.evaluate(SAID)
    english, german = told["english"], told["german"]
    known = set(german.values())
    foreign = {
        name: ".+".join(map(re.escape, re.split(r"\{\w+\}", text)))
        for name, text in english.items()
        if text != german[name] and name != "default"  # the name of a share type here, too
    }
    for said in filter(None, told["said"]):
        assert said not in english or "_" not in said, f"{view}: the name of a text: {said}"
        found = [name for name, pattern in foreign.items() if re.fullmatch(pattern, said)]
        assert said in known or not found, f"{view}: English ({found}): {said}"
