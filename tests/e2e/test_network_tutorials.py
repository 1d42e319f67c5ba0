"""The tutorials about real networks, command by command as their pages say. The network is played:
two switches in user space with a tagged cable between them. The reader's box is at the first, the
clients are at the second, in the VLANs of the page.

Left out is what installs Abaca, the blocks by which a reader without such a network plays one (they
are tried by themselves), and of two forms the other one.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.wires.links import find
from tests.contracts.drivers.test_linux_wires import has_kind
from tests.contracts.drivers.wired_hosts import Machine
from tests.e2e.tutorial_pages import (
    FIRST_LINES,
    Blocks,
    Reader,
    a_reader,
    blocks_of,
    marked,
    output_of,
)
from tests.vlan_switch import Switch

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("all commands of three tutorials"),
    pytest.mark.timeout(1200),
]

FLAT_PAGE, VLAN_PAGE = "one-flat-network.md", "two-vlans.md"
BOX_PAGE = "nfs-for-one-box.md"
INSTALLS, PLAYS, SERVES = "apt install", "ip netns add", "abaca serve"
PLAYED = "ip netns delete"
OFFICE, LAB = 110, 120


class Form(NamedTuple):
    """How VLANs reach the box. `other`: by what its blocks are known that belong to the other
    form."""

    other: Sequence[str]
    access: Mapping[str, int] = {}
    trunk: str = ""


FORMS = {
    "with tags at the box": Form(
        other=("office:eth1, lab:eth2", "physical-network lab lab"), trunk="eth1"
    ),
    "without": Form(
        other=("trunk:eth1", "physical-network trunk"), access={"eth1": OFFICE, "eth2": LAB}
    ),
}
FLAT = Form(other=(), access={"eth1": OFFICE})
CLIENTS = {"desk": (OFFICE, "192.0.2.30/24"), "bench": (LAB, "198.51.100.30/24")}


@contextmanager
def played(reader: Reader, form: Form) -> Iterator[None]:
    """The box and the clients on their switches."""
    near, far = Switch(), Switch()
    box = Machine(f"t{reader.namespace[5:]}-box")
    reader.machine = box.namespace
    machines = [box]
    try:
        near.cable(far, "cable", (OFFICE, LAB))
        for interface, vlan in form.access.items():
            near.access(box.namespace, interface, vlan)
        if form.trunk:
            near.trunk(box.namespace, form.trunk, (OFFICE, LAB))
        for name, own_name in reader.clients.items():
            machines.append(Machine(own_name))
            vlan, address = CLIENTS[name]
            far.access(own_name, "eth0", vlan)
            machines[-1].configure("eth0", address)
        yield
        tags = {tag for port, tag in far.carried if port == "cable"}
        assert tags == {CLIENTS[name][0] for name in reader.clients}
    finally:
        near.stop()
        far.stop()
        for machine in machines:
            machine.remove()


def is_left_out(text: str, form: Form) -> bool:
    return text.startswith((INSTALLS, PLAYS, SERVES, PLAYED)) or any(
        words in text for words in form.other
    )


def as_script(blocks: Blocks, form: Form, first: int = 0, end: int | None = None) -> str:
    """One script of these blocks, as far as they are of that form. The first failing command ends
    it."""
    kept = [
        marked(number) + ("" if is_left_out(text, form) else text)
        for number, text in [*enumerate(blocks.commands)][first:end]
    ]
    return FIRST_LINES + "".join(kept)


def follow(reader: Reader, page: str, form: Form) -> None:
    blocks = blocks_of(page)
    (serve,) = [text for text in blocks.commands if text.startswith(SERVES)]
    number = blocks.commands.index(serve)
    with played(reader, form):
        reader.follows(as_script(blocks, form, end=number))
        with reader.serving(serve) as log:
            said = reader.follows(as_script(blocks, form, first=number), log)
    for number, text in blocks.printed.items():
        assert text.strip() in output_of(said, number), said


@pytest.fixture
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    with a_reader(*request.param) as somebody:
        yield somebody


@pytest.mark.parametrize("reader", [["desk"]], indirect=True, ids=["desk"])
def test_the_page_about_a_flat_network_does_what_it_says(reader: Reader) -> None:
    follow(reader, FLAT_PAGE, FLAT)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", [["desk", "bench"]], indirect=True, ids=["desk and bench"])
def test_the_page_about_vlans_does_what_it_says(reader: Reader, form: str) -> None:
    if FORMS[form].trunk and not has_kind("vlan"):
        pytest.skip("this kernel has no VLAN interfaces (CONFIG_VLAN_8021Q)")
    follow(reader, VLAN_PAGE, FORMS[form])


@pytest.mark.parametrize("reader", [["desk"]], indirect=True, ids=["desk"])
def test_the_page_about_one_box_does_what_it_says(reader: Reader) -> None:
    follow(reader, BOX_PAGE, FLAT)


@pytest.mark.parametrize("page", [FLAT_PAGE, BOX_PAGE, VLAN_PAGE])
def test_without_such_a_network_the_page_plays_one(page: str) -> None:
    """Its cables have a carrier at the box, and the clients have their addresses."""
    commands = blocks_of(page).commands
    (plays,) = [text for text in commands if text.startswith(PLAYS)]
    (ends,) = [text for text in commands if text.startswith(PLAYED)]
    names = [name for name in CLIENTS if f"add {name}" in plays]
    own = {name: f"t-{name}-{page[:3]}" for name in names}

    def run(box: Machine, text: str) -> None:
        for name, own_name in own.items():
            text = re.sub(rf"\b{name}\b", own_name, text)
        inside = ["nsenter", f"--net=/run/netns/{box.namespace}", "bash", "-ec", text]
        subprocess.run(inside, check=True)

    box = Machine(f"t-box-{page[:3]}")
    try:
        run(box, plays)
        for number, name in enumerate(names, start=1):
            box.configure(f"eth{number}")
            address = CLIENTS[name][1].partition("/")[0]
            assert address in namespaces.inside(
                own[name], lambda links: [each.get("IFA_ADDRESS") for each in links.get_addr()]
            )
            assert has_carrier(box, f"eth{number}")
        run(box, ends)
        assert not any(map(namespaces.exists, own.values()))
    finally:
        box.remove()
        for own_name in own.values():
            namespaces.remove(own_name)


def has_carrier(box: Machine, interface: str) -> bool:
    return namespaces.inside(
        box.namespace, lambda links: bool(find(links, interface).get("carrier"))
    )


@pytest.mark.parametrize(
    ("page", "forms"),
    [(FLAT_PAGE, [FLAT]), (BOX_PAGE, [FLAT]), (VLAN_PAGE, [*FORMS.values()])],
    ids=["flat", "one box", "VLANs"],
)
def test_nothing_else_is_left_out(page: str, forms: list[Form]) -> None:
    """Each block of two forms belongs to exactly one."""
    blocks = blocks_of(page)
    for form in forms:
        script = as_script(blocks, form)
        left_out = [text for text in blocks.commands if text not in script]
        beginnings = (INSTALLS, PLAYS, SERVES, PLAYED)
        of_the_other_form = [text for text in left_out if not text.startswith(beginnings)]
        assert len(left_out) - len(of_the_other_form) == len(beginnings)
        assert len(of_the_other_form) == len(form.other)
