"""Where the NFS servers' library is built."""

from __future__ import annotations

import os
from pathlib import Path

from abaca.drivers.linux.file_services.nfs.cell import library


def test_everybody_may_look_at_it_whatever_the_umask(tmp_path: Path) -> None:
    """`abaca serve` lets nobody else read what it makes; another user's back end looks for the
    library, too."""
    before = os.umask(0o077)
    try:
        built = library.build(tmp_path / "made")
    finally:
        os.umask(before)
    assert built.parent.stat().st_mode & 0o777 == 0o755
    assert built.stat().st_mode & 0o777 == 0o644
