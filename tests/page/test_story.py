"""The demonstration's story by clicks, on the Linux back end, over IPv4 and IPv6: networks, a
share, clients by real NFS, a subnet for a network in use, and one that goes again.

`make page-pictures` has it write the pictures of the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from abaca.admin import clouds_file, demo
from abaca.admin.demo_scene import Scene
from abaca.admin.demo_steps import CLIENTS, RULES, SUBNETS
from tests.page.conftest import log_in, look_at_all_widths, picture
from tests.page.test_networks import SUBNET, insist

pytestmark = [
    pytest.mark.play,
    pytest.mark.root,
    pytest.mark.slow("the story of the demonstration, by clicks"),
    pytest.mark.timeout(600),
    pytest.mark.sampled_file(4),
]

FREE = {4: 99 - 10, 6: 0xFFFF - 0x10}  # of the pools in SUBNETS; the share server has one of each
BLUE = CLIENTS["blue-client"][0].partition("/")[0]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    lacking = demo.lacks()
    if lacking:
        pytest.skip("; ".join(lacking))
    made = Scene(print)
    try:
        made.start()
        specs = {"driver_handles_share_servers": "True", "snapshot_support": "True"}
        made.post("/v2/types", {"share_type": {"name": "default", "extra_specs": specs}})
        yield made
    finally:
        print(made.log_tail())
        # in a thread of its own: Playwright's event loop still runs in this one
        with ThreadPoolExecutor(1) as beside:
            beside.submit(made.remove).result()
            left = beside.submit(made.leftovers).result()
    assert not any(left.values())


@pytest.fixture(scope="module")
def page(browser: Browser, scene: Scene) -> Iterator[Page]:
    """One page for the whole story, as a person has it."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-GB", color_scheme="light"
    )
    made = context.new_page()
    made.set_default_timeout(60_000)
    made.goto(scene.page_url)
    cloud = msgspec.yaml.decode(clouds_file.path_of(scene.conf).read_bytes())["clouds"]
    auth = cloud[clouds_file.CLOUD]["auth"]
    log_in(made, auth["username"], auth["password"])
    yield made
    context.close()


def test_networks_and_a_share_are_made(page: Page, scene: Scene) -> None:
    for network in ("blue", "green"):
        page.get_by_role("link", name="Networks", exact=True).click()
        form = _form(page, "Create a network")
        form.get_by_label("Name").fill(network)
        _submit(form)
        page.get_by_role("link", name=network, exact=True).click()
        for version in (4, 6):
            cidr, pool = SUBNETS[network, version]
            start, end = (part.partition("=")[2] for part in pool.split(","))
            form = _form(page, "Create a subnet", f"Create a subnet on {network}")
            form.get_by_label("Name").fill(f"{network}-v{version}")
            form.get_by_label("Range").fill(cidr)
            form.get_by_label("First address").fill(start)
            form.get_by_label("Last address").fill(end)
            _submit(form)
            expect(page.get_by_role("row", name=cidr)).to_be_visible()
    page.get_by_role("link", name="Networks", exact=True).click()
    form = _form(page, "Create a share network")
    form.get_by_label("Name").fill("office")
    form.get_by_label(SUBNET).select_option(label=f"blue: {SUBNETS['blue', 4][0]} (IPv4)")
    _submit(form)
    page.get_by_role("link", name="office", exact=True).click()
    _add(page, f"blue: {SUBNETS['blue', 6][0]} (IPv6)")
    page.get_by_role("link", name="Shares", exact=True).click()
    form = _form(page, "Create a share")
    form.get_by_label("Name").fill("docs")
    _submit(form)
    expect(page.get_by_role("row", name="docs")).to_contain_text("available")
    page.get_by_role("link", name="docs", exact=True).click()
    for rule in (*RULES["blue"], *RULES["green"]):
        form = _form(page, "Add a rule")
        form.get_by_label("Address or subnet").fill(rule)
        _submit(form)
        expect(page.get_by_role("row", name=rule)).to_contain_text("active")
    look_at_all_widths(page, "page-share")
    picture(page, "page-share", page.get_by_role("banner"))


def test_a_client_mounts_by_what_is_shown_and_is_named(page: Page, scene: Scene) -> None:
    network = _id(scene, "/network/v2.0/networks", "networks", "blue")
    client = scene.add_client("page-a", "blue", network, *CLIENTS["blue-client"])
    for label in ("Mount over IPv4", "Mount over IPv6"):
        command = page.get_by_label(label).inner_text()
        assert command.startswith("mount -t nfs4 ") and command.endswith(" /mnt")
        location = command.removeprefix("mount -t nfs4 ").removesuffix(" /mnt").strip("'")
        assert scene.nfs(client, "write", location, f"{label[-4:]}.txt", "hello")["ok"]
    page.get_by_label("Client address").fill(BLUE)
    expect(page.get_by_text("Yes, directly.")).to_be_visible()
    with scene.working_client(client, _location(page, "Mount over IPv4")):
        page.get_by_role("button", name="Who is connected?").click()
        expect(page.get_by_role("row", name=BLUE)).to_be_visible()
        picture(page, "page-reach", page.get_by_role("heading", name="Connected clients"))
        page.get_by_role("link", name="Topology", exact=True).click()
        page.get_by_role("button", name="Count clients").click()
        row = page.get_by_role("listitem").filter(has_text="docs")
        expect(row).to_contain_text("clients: 1")
        for version in (4, 6):
            subnet = page.get_by_role("listitem").filter(has_text=SUBNETS["blue", version][0])
            expect(subnet).to_contain_text(f"{FREE[version]} free")


def test_a_subnet_of_each_family_is_added_in_use(page: Page, scene: Scene) -> None:
    page.get_by_role("link", name="Networks", exact=True).click()
    page.get_by_role("link", name="office", exact=True).click()
    for version in (4, 6):
        cidr = SUBNETS["green", version][0]
        form = _form(page, "Add a subnet")
        form.get_by_label(SUBNET).select_option(label=f"green: {cidr} (IPv{version})")
        form.get_by_role("button", name="Check first").click()
        expect(form.get_by_text("Yes: it can be added.", exact=True)).to_be_visible()
        expect(form.get_by_text("Addresses needed: 1")).to_be_visible()
        if version == 6:
            look_at_all_widths(page, "page-check")
            picture(page, "page-check", form)
        form.get_by_role("button", name="Add a subnet").click()
        expect(page.get_by_role("row", name=cidr)).to_be_visible()
        steps = page.get_by_role("listitem")
        expect(steps.filter(has_text="active again")).to_contain_text("done")
        expect(steps.filter(has_text="an export location there")).to_contain_text("1 of 1")
    look_at_all_widths(page, "page-network")
    picture(page, "page-steps", page.get_by_role("banner"))
    page.get_by_role("link", name="docs", exact=True).click()
    network = _id(scene, "/network/v2.0/networks", "networks", "green")
    client = scene.add_client("page-b", "green", network, *CLIENTS["green-client"])
    for version in (4, 6):
        label = f"Mount over IPv{version} from {SUBNETS['green', version][0]}"
        location = _location(page, label)
        assert scene.nfs(client, "read", location, "IPv4.txt")["ok"]
    page.get_by_role("link", name="Topology", exact=True).click()
    with scene.working_client(client, location):
        page.get_by_role("button", name="Count clients").click()
        row = page.get_by_role("listitem").filter(has_text="docs")
        expect(row.get_by_text("clients: ")).to_be_visible()
        look_at_all_widths(page, "page-topology")
        picture(page, "page-topology", page.get_by_role("banner"))


def test_a_subnet_drains_and_goes(page: Page, scene: Scene) -> None:
    page.get_by_role("link", name="Networks", exact=True).click()
    page.get_by_role("link", name="office", exact=True).click()
    cidr = SUBNETS["green", 4][0]
    form = _form(page, f"Drain {cidr}")
    _submit(form)
    expect(page.get_by_role("heading", name=f"{cidr} drains")).to_be_visible()
    look_at_all_widths(page, "page-drain")
    picture(page, "page-drain", page.get_by_role("heading", name="Subnets"))
    insist(_form(page, f"Remove the subnet {cidr}"))
    expect(page.get_by_role("row", name=cidr)).to_have_count(0)
    expect(page.get_by_role("listitem").filter(has_text="active again")).to_contain_text("done")
    page.get_by_role("link", name="Topology", exact=True).click()
    expect(page.get_by_role("listitem").filter(has_text="docs")).to_be_visible()
    page.get_by_role("link", name="Administration", exact=True).click()
    expect(page.get_by_role("heading", name="Services")).to_be_visible()
    look_at_all_widths(page, "page-administration")
    picture(page, "page-administration", page.get_by_role("banner"))


def test_everything_is_deleted_again(page: Page, scene: Scene) -> None:
    page.get_by_role("link", name="Shares", exact=True).click()
    page.get_by_role("link", name="docs", exact=True).click()
    form = _form(page, "Delete the share")
    form.get_by_role("checkbox").press("Space")
    _submit(form)
    expect(page.get_by_text("There is no such share")).to_be_visible()
    page.get_by_role("link", name="Networks", exact=True).click()
    page.get_by_role("link", name="office", exact=True).click()
    for cidr in (SUBNETS["green", 6][0], SUBNETS["blue", 6][0]):  # a network goes with its last one
        insist(_form(page, f"Remove the subnet {cidr}"))
        expect(page.get_by_role("row", name=cidr)).to_have_count(0)
    form = _form(page, "Delete the share network")
    form.get_by_role("checkbox").press("Space")
    _submit(form)
    expect(page.get_by_text("There is no such network")).to_be_visible()
    scene.until(lambda: not scene.get("/v2/share-servers")["share_servers"], 120, "no server")
    scene.remove_clients()
    for network in ("blue", "green"):
        page.get_by_role("link", name="Networks", exact=True).click()
        page.get_by_role("link", name=network, exact=True).click()
        form = _form(page, "Delete the network", f"Delete the network {network}")
        form.get_by_role("checkbox").press("Space")
        _submit(form)
        expect(page.get_by_text("There is no such network")).to_be_visible()
    assert scene.get("/network/v2.0/networks")["networks"] == []


def _add(page: Page, subnet: str) -> None:
    form = _form(page, "Add a subnet")
    form.get_by_label(SUBNET).select_option(label=subnet)
    form.get_by_role("button", name="Check first").click()
    form.get_by_role("button", name="Add a subnet").click()
    expect(form).to_have_count(0)


def _location(page: Page, label: str) -> str:
    words = page.get_by_label(label).first.inner_text()
    return words.removeprefix("mount -t nfs4 ").removesuffix(" /mnt").strip("'")


def _id(scene: Scene, path: str, member: str, name: str) -> str:
    return str(next(one["id"] for one in scene.get(path)[member] if one["name"] == name))


def _form(page: Page, button: str, name: str = "") -> Locator:
    page.get_by_role("button", name=button, exact=True).click()
    return page.get_by_role("form", name=name or button, exact=True)


def _submit(form: Locator) -> None:
    form.locator("button:not([type])").click()
    try:
        expect(form).to_have_count(0)
    except AssertionError as refused:
        raise AssertionError(form.inner_text()) from refused
