"""The driver that the driver guide shows, as its reader would install it: with its annotations, or
without any. No tests here."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path

from abaca.drivers.interface import ShareDriver

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "driver-guide.md"
NAME = "memory"


class _Bare(ast.NodeTransformer):
    """Takes every annotation away."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign:
        assert node.value is not None
        return ast.Assign([node.target], node.value, lineno=node.lineno)


def source(*, annotated: bool = True) -> str:
    """The module of the guide's first driver."""
    (text,) = (
        block
        for block in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
        if "class MemoryDriver" in block
    )
    return text if annotated else ast.unparse(_Bare().visit(ast.parse(text)))


@contextmanager
def installed(folder: Path, text: str) -> Iterator[Callable[[str, Mapping[str, str]], ShareDriver]]:
    """While it is entered: a package with that driver as `share_driver = memory`, as pip leaves it;
    the driver's class."""
    module = f"driver_of_{folder.name}".replace("-", "_")
    site = folder / "site"
    distribution = site / "memory_driver-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: memory-driver\nVersion: 1.0\n"
    )
    (distribution / "entry_points.txt").write_text(
        f"[abaca.share_drivers]\n{NAME} = {module}:MemoryDriver\n"
    )
    (site / f"{module}.py").write_text(text)
    sys.path.insert(0, str(site))
    invalidate_caches()
    try:
        yield import_module(module).MemoryDriver
    finally:
        sys.path.remove(str(site))
        sys.modules.pop(module, None)
