"""Shares in the browser: the list, one share, and what there is to copy."""

from __future__ import annotations

import json
import subprocess
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import log_in, look
from tests.page.tenant import Tenant

pytestmark = pytest.mark.sampled_file(4)

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><b>$(touch /tmp/x)`id`';\u202e"


@pytest.fixture(scope="module")
def share_network(alice: Tenant) -> str:
    return alice.share_network("office", "10.20.0.0/24", "fd00:20::/64")


@pytest.fixture(scope="module")
def share(alice: Tenant, share_network: str) -> str:
    made = alice.share("plans", share_network, description="Drawings")
    alice.allow(made, "10.20.0.7")
    alice.allow(made, "fd00:20::/64", "ro")
    return made


def test_the_list_shows_each_share_and_is_filtered(
    page: Page, alice: Tenant, share: str, share_network: str
) -> None:
    alice.share("archive", share_network)
    log_in(page)
    row = page.get_by_role("row", name="plans")
    expect(row).to_contain_text("available")
    expect(row).to_contain_text("1 GiB")
    expect(row).to_contain_text("office")
    page.get_by_role("searchbox").fill("ARCH")
    expect(row).to_have_count(0)
    expect(page.get_by_role("row", name="archive")).to_be_visible()
    page.get_by_role("searchbox").fill("nothing has this")
    expect(page.get_by_text("Nothing matches the filter.")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    look(page, "shares")


def test_a_share_shows_its_locations_rules_and_mount_commands(
    page: Page, alice: Tenant, share: str
) -> None:
    log_in(page)
    page.get_by_role("link", name="plans").click()
    shown = alice("GET", f"/v2/shares/{share}/export_locations")["export_locations"]
    assert len(shown) == 2
    for location in shown:
        expect(page.get_by_role("row", name=location["path"])).to_be_visible()
        expect(page.get_by_text(location["path"], exact=False).first).to_be_visible()
    v4 = next(one["path"] for one in shown if not one["path"].startswith("["))
    v6 = next(one["path"] for one in shown if one["path"].startswith("["))
    expect(page.get_by_role("row", name=v4)).to_contain_text("10.20.0.0/24")
    expect(page.get_by_role("row", name=v6)).to_contain_text("fd00:20::/64")
    expect(page.get_by_label("Mount over IPv4")).to_have_text(f"mount -t nfs4 {v4} /mnt")
    expect(page.get_by_label("Mount over IPv6")).to_have_text(f"mount -t nfs4 '{v6}' /mnt")
    for family, path in ((4, v4), (6, v6)):
        server, _, folder = path.rpartition(":")
        line = f"{path} /mnt nfs4 _netdev,nofail 0 0"
        expect(page.get_by_label(f"Line of /etc/fstab, over IPv{family}")).to_have_text(line)
        volume = page.get_by_label(f"Kubernetes volume, over IPv{family}")
        expect(volume).to_contain_text(f'path: "{folder}"')
        expect(volume).to_contain_text(f'server: "{server.strip("[]")}"')
    expect(page.get_by_label("Line of /etc/fstab, over IPv6")).to_be_hidden()
    page.get_by_text("/etc/fstab and Kubernetes, over IPv6").click()
    expect(page.get_by_label("Line of /etc/fstab, over IPv6")).to_be_visible()
    expect(page.get_by_role("row", name="10.20.0.7 rw")).to_contain_text("active")
    expect(page.get_by_role("row", name="fd00:20::/64 ro")).to_contain_text("active")
    look(page, "share")


def test_each_client_network_has_its_own_lines(page: Page, alice: Tenant) -> None:
    cidrs = ("10.38.0.0/24", "10.39.0.0/24", "fd00:38::/64")
    share = alice.share("wide", alice.share_network("several", *cidrs))
    log_in(page)
    page.get_by_role("link", name="wide", exact=True).click()
    paths = [
        one["path"]
        for one in alice("GET", f"/v2/shares/{share}/export_locations")["export_locations"]
    ]
    assert len(paths) == 3
    for way, start in (
        ("over IPv4 from 10.38.0.0/24", "10.38.0."),
        ("over IPv4 from 10.39.0.0/24", "10.39.0."),
        ("over IPv6", "[fd00:38::"),
    ):
        (path,) = [one for one in paths if one.startswith(start)]
        expect(page.get_by_label(f"Mount {way}", exact=True)).to_contain_text(path)
        expect(page.get_by_label(f"Line of /etc/fstab, {way}", exact=True)).to_contain_text(path)
        volume = page.get_by_label(f"Kubernetes volume, {way}", exact=True)
        expect(volume).to_contain_text(start.strip("["))


def test_names_and_metadata_are_text_whatever_they_hold(
    page: Page, alice: Tenant, share_network: str
) -> None:
    name = f"{HOSTILE}{uuid4().hex}"
    made = alice.share(name, share_network, metadata={"<script>": HOSTILE}, description=HOSTILE)
    log_in(page)
    link = page.get_by_role("link", name=name)
    expect(link).to_be_visible()
    # the id beside a name that turns the direction of writing is still written from left to right
    assert link.locator("xpath=../code").evaluate(
        """(code) => {
          const [first, last] = [0, 7].map((at) => {
            const range = document.createRange();
            range.setStart(code.firstChild, at);
            range.setEnd(code.firstChild, at + 1);
            return range.getBoundingClientRect().left;
          });
          return first < last;
        }"""
    )
    page.goto(f"{page.url.partition('#')[0]}#/share/{made}")
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("<script>")
    assert page.locator("main img, main b, main script").count() == 0
    assert page.title() == "Abaca"


def test_a_shell_takes_what_is_copied_for_one_word(page: Page) -> None:
    words = ["plain", "", "a b", "it's", "$(id)`id`", "a\\b", "-n", "*", "~", "é ü", "';--\"'"]
    line = page.evaluate(
        "async (words) => (await import('./commands.js')).commandLine('printf', '%s|', ...words)",
        words,
    )
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"{word}|" for word in words)


def test_what_no_terminal_shows_is_not_copied(page: Page) -> None:
    line = page.evaluate(
        "async (word) => (await import('./commands.js')).commandLine(word)",
        "a\nb\x1b[2K\u202e\u2066c\x7f",
    )
    assert line == "'ab[2Kc'"


def test_a_kubernetes_volume_is_the_json_of_its_strings(page: Page) -> None:
    text = page.evaluate(
        "async ([share, path]) => (await import('./commands.js')).kubernetesVolume(share, path)",
        [{"id": "a", "size": 3}, '[fd00::5]:/shares/"x'],
    )
    found = dict(line.strip().split(": ", 1) for line in text.splitlines() if '"' in line)
    assert {name: json.loads(value) for name, value in found.items()} == {
        "name": "share-a",
        "storage": "3Gi",
        "server": "fd00::5",
        "path": '/shares/"x',
    }


def test_a_share_that_is_gone_is_told(page: Page, share: str) -> None:
    log_in(page)
    expect(page.get_by_role("link", name="plans")).to_be_visible()
    page.goto(f"{page.url.partition('#')[0]}#/share/{uuid4()}")
    expect(page.get_by_text("There is no such share")).to_be_visible()
    page.get_by_role("link", name="All shares").click()
    expect(page.get_by_role("link", name="plans")).to_be_visible()
