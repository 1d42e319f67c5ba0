"""Draws docs/pictures/*.svg from the text beside them (*.dot) with Debian's graphviz.

The drawings are kept, so that nobody needs graphviz to build the site or to read the files. Each
names the digest of its text, by which a test notices a drawing that is not of its text.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
HEAD = re.compile(r"\A.*?(?=<svg)", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
# In points, which browsers draw larger than text; the viewBox has the proportions.
SIZE = re.compile(r'<svg width="\d+pt" height="\d+pt"')


def draw(source: Path) -> str:
    """The SVG of a DOT file. Raises CalledProcessError when it cannot be read."""
    drawn = subprocess.run(
        ["dot", "-Tsvg", str(source)], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    svg = SIZE.sub("<svg", COMMENT.sub("", HEAD.sub("", drawn)), count=1)
    return f"<!-- {hashlib.sha256(source.read_bytes()).hexdigest()} -->\n{svg}"


def main() -> None:
    try:
        for source in sorted(PICTURES.glob("*.dot")):
            source.with_suffix(".svg").write_text(draw(source))
            print(f"pictures: {source.with_suffix('.svg').name}")
    except FileNotFoundError as error:
        sys.exit(f"pictures: {error.filename} is missing (Debian: graphviz)")
    except subprocess.CalledProcessError as error:
        sys.exit(f"pictures: dot ended with status {error.returncode}; what it said is above")


if __name__ == "__main__":
    main()
