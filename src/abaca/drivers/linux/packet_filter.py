"""nftables of the network namespace that the caller is in: whole tables, replaced and deleted at
one stroke.

Go into a namespace with `namespaces.inside`. A table is replaced in one transaction of the
kernel's: no packet meets half of its chains, and none passes between the old ones and the new ones.
Sets of intervals are the exception: for a moment nothing is found in one whose content is exchanged
(see `admission.py`). The program `nft` does it (docs/adr/0038-port-security.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import struct
from typing import Any

from abaca.drivers.linux.programs import run
from abaca.errors import OutcomeUnknown

SECONDS = 30.0
_NETFILTER = 12  # the netlink family; nfnetlink's numbers follow
_SUBSYSTEM, _NEW_GENERATION, _GET_GENERATION, _GENERATION_ID, _REQUEST = 10, 15, 16, 1, 1
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def replace_table(family: str, name: str, body: str) -> None:
    """Make the table `name` of a family (`inet`, `bridge`) hold exactly `body`, in nft's language:
    chains, sets and their elements.

    Raises OutcomeUnknown with what nft says when it refuses the body; the table is then as it was.
    Raises Unavailable without nft.
    """
    table = _table(family, name)
    apply(f"table {table}\ndelete table {table}\ntable {table} {{\n{body}\n}}\n")


def ensure_table(family: str, name: str, body: str) -> None:
    """As `replace_table`, but a table that this made of the same body stays, with its counters and
    what its sets have learned."""
    noted = f'comment "{hashlib.sha256(body.encode()).hexdigest()}"'
    if (family, name) not in tables() or noted not in run(
        "nft", "--terse", "list", "table", family, name, timeout=SECONDS
    ):
        replace_table(family, name, f"{noted}\n{body}")


def apply(text: str) -> None:
    """Have all of a text in nft's language take effect, or nothing. Raises as `replace_table`."""
    run("nft", "-f", "-", timeout=SECONDS, given=text)


def delete_table(family: str, name: str) -> None:
    """Take a table away. Nothing there is success, as for an ordinary user, who has none."""
    if os.geteuid() != 0:
        return
    table = _table(family, name)
    apply(f"table {table}\ndelete table {table}\n")


def tables() -> set[tuple[str, str]]:
    """(family, name) of every table; none for an ordinary user, who can have made none and is shown
    none."""
    if os.geteuid() != 0:
        return set()
    listed = (line.split() for line in run("nft", "list", "tables", timeout=SECONDS).splitlines())
    return {(family, name) for _, family, name in listed}


def sets(family: str, name: str) -> dict[str, list[Any]]:
    """The elements of each set of a table, as nft writes them in JSON. Raises OutcomeUnknown when
    there is no such table."""
    listed = json.loads(run("nft", "--json", "list", "table", family, name, timeout=SECONDS))[
        "nftables"
    ]
    found = [entry["set"] for entry in listed if "set" in entry]
    return {each["name"]: each.get("elem", []) for each in found}


def chains(family: str, name: str) -> list[str]:
    """The names of the chains of a table; empty when there is no such table."""
    if (family, name) not in tables():
        return []
    listed = run("nft", "--terse", "list", "table", family, name, timeout=SECONDS)
    return re.findall(r"^\tchain (\S+) \{$", listed, re.MULTILINE)


def generation() -> int:
    """A number that is another one after every change of any table, whoever made it: with the same
    one, all is as it was."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as kernel:
        kernel.settimeout(SECONDS)
        kernel.send(
            struct.pack(
                "=IHHIIBBH",
                20,
                _SUBSYSTEM << 8 | _GET_GENERATION,
                _REQUEST,
                1,
                0,
                socket.AF_UNSPEC,
                0,
                0,
            )
        )
        answer = kernel.recv(4096)
    # A netlink header, nfnetlink's, then attributes, of which the first is the number.
    kind, (length, attribute) = (
        struct.unpack_from("=H", answer, 4)[0],
        struct.unpack_from("=HH", answer, 20),
    )
    if (kind & 0xFF, length, attribute) != (_NEW_GENERATION, 8, _GENERATION_ID):
        raise OutcomeUnknown(f"nftables did not report its generation: {answer.hex()}")
    return int.from_bytes(answer[24:28], "big")


def _table(family: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' cannot be the name of a table")
    return f"{family} {name}"
