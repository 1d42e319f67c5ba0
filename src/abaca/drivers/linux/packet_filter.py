"""nftables of the network namespace that the caller is in: whole tables, replaced and deleted at one stroke.

Go into a namespace with `namespaces.inside`. A table is replaced in one transaction of the kernel's: no packet meets half of it, and
none passes between the old one and the new one. The program `nft` does it.
"""

from __future__ import annotations

import hashlib
import re

from abaca.drivers.linux.programs import run

SECONDS = 30.0
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def replace_table(family: str, name: str, body: str) -> None:
    """Make the table `name` of a family (`inet`, `bridge`) hold exactly `body`, in nft's language: chains, sets and their elements.

    Raises OutcomeUnknown with what nft says when it refuses the body; the table is then as it was. Raises Unavailable without nft.
    """
    table = _table(family, name)
    _load(f"table {table}\ndelete table {table}\ntable {table} {{\n{body}\n}}\n")


def ensure_table(family: str, name: str, body: str) -> None:
    """As `replace_table`, but a table that this made of the same body stays, with its counters and what its sets have learned."""
    noted = f'comment "{hashlib.sha256(body.encode()).hexdigest()}"'
    if (family, name) not in tables() or noted not in run("nft", "--terse", "list", "table", family, name, timeout=SECONDS):
        replace_table(family, name, f"{noted}\n{body}")


def delete_table(family: str, name: str) -> None:
    """Take a table away. Nothing there is success."""
    table = _table(family, name)
    _load(f"table {table}\ndelete table {table}\n")


def tables() -> set[tuple[str, str]]:
    """(family, name) of every table."""
    listed = (line.split() for line in run("nft", "list", "tables", timeout=SECONDS).splitlines())
    return {(family, name) for _, family, name in listed}


def chains(family: str, name: str) -> list[str]:
    """The names of the chains of a table; empty when there is no such table."""
    if (family, name) not in tables():
        return []
    listed = run("nft", "--terse", "list", "table", family, name, timeout=SECONDS)
    return re.findall(r"^\tchain (\S+) \{$", listed, re.MULTILINE)


def _table(family: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' cannot be the name of a table")
    return f"{family} {name}"


def _load(text: str) -> None:
    run("nft", "-f", "-", timeout=SECONDS, given=text)
