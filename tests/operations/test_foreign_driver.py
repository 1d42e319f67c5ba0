"""A driver from a package of its own in service: the driver guide's, whatever annotations its
author wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from abaca.domain.shares import shares
from tests.contracts.drivers.guide_driver import NAME, installed, source
from tests.operations.conftest import Install
from tests.operations.scene import allow, available_share, settled_rules
from tests.stack import MEMBER

_WRAPPED = """
def logged(method):
    def wrapper(*args, **kwargs):
        return method(*args, **kwargs)
    return wrapper


"""


def annotated_otherwise() -> str:
    """With names that only a type checker knows, and methods behind a decorator that does not pass
    their names on."""
    text = source()
    for theirs in ("list[ExportLocation]", "dict[str, str]"):
        text = text.replace(f"-> {theirs}:", "-> Nowhere:")
    return text.replace("class MemoryDriver", f"{_WRAPPED}class MemoryDriver").replace(
        "    def create_share(", "    @logged\n    def create_share("
    )


@pytest.mark.parametrize("written", ["annotated", "bare", "otherwise"])
def test_a_driver_serves_whatever_its_annotations(
    install: Install, tmp_path: Path, written: str
) -> None:
    text = (
        annotated_otherwise()
        if written == "otherwise"
        else source(annotated=written == "annotated")
    )
    with installed(tmp_path, text):
        stack = install({"one": {"share_driver": NAME, "total_gib": "10"}})
        with stack.working():
            share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
            assert stack.paths(share)
            allow(stack, share, "10.0.0.0/8")
            assert settled_rules(stack, share) == "active"
            stack.do(shares.extend, MEMBER, share, 2)
            assert stack.settled_share(share) == "available"
            stack.do(shares.delete, MEMBER, share)
            assert stack.settled_share(share) == "gone"
