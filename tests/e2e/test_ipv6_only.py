"""The demonstration where there is no IPv4 at all: neither for the API, nor for shares, nor on the
machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from abaca.admin import demo
from tests.service import PATIENCE

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("the demonstration as a user sees it, commands included"),
    pytest.mark.timeout(600),
]

# A network namespace of its own, whose loopback has ::1 only.
WITHOUT_IPV4 = (
    'ip link set lo up && ip address del 127.0.0.1/8 dev lo && test -z "$(ip -4 address show)" '
    '&& exec "$@"'
)


def test_the_demonstration_plays_without_ipv4() -> None:
    if lacking := demo.lacks():
        pytest.skip("; ".join(lacking))
    command = [sys.executable, "-m", "abaca.admin.cli", "demo", "--ipv6-only"]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", WITHOUT_IPV4, "sh", *command],
        capture_output=True,
        text=True,
        timeout=500 * PATIENCE,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "Everything worked" in done.stdout
    assert "one export location for each address, IPv6" in done.stdout
