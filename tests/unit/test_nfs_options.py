"""What an operator says of NFS servers and makes no sense."""

from __future__ import annotations

import pytest

from abaca.drivers.linux.file_services.nfs.service import OPTIONS, NfsServices
from abaca.errors import Unavailable

DEFAULTS = {name: option.default for name, option in OPTIONS.items()}


@pytest.mark.parametrize("text", ["14", "181", "long", "nan", "inf", "-1"])
def test_a_grace_that_ends_before_the_lease_or_that_ganesha_would_cut_is_refused(text: str) -> None:
    with pytest.raises(Unavailable, match="option grace_seconds must be"):
        NfsServices({**DEFAULTS, "grace_seconds": text}, 1)


def test_the_longest_is_taken() -> None:
    assert NfsServices({**DEFAULTS, "grace_seconds": "180"}, 1)
