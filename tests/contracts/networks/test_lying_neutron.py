"""A Neutron that hangs, drips, never ends or answers with nonsense: what the plug-in makes of it,
and within which time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("openstack")

from abaca.errors import BackendError
from abaca.networks.interface import AllocationRequest
from abaca.networks.neutron import NeutronNetworks
from abaca.values import Subnet
from tests.lying_services import NONSENSE, lying_service

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("answers are waited for until they are given up"),
    pytest.mark.timeout(180),
]

WITHOUT_END = ("hang", "drip", "endless", "bomb", "pages", "redirect")
SECONDS = 2  # for an answer
REQUEST = AllocationRequest(
    server_id="server",
    share_network_subnet_id="subnet",
    neutron_net_id="n",
    neutron_subnet_id="s",
    count=1,
    project_id="p",
)
ASKED = Subnet(neutron_net_id="n", neutron_subnet_id="s", cidr="10.0.0.0/24", ip_version=4)
CALLS: dict[str, Callable[[NeutronNetworks], object]] = {
    "get_subnet": lambda plugin: plugin.get_subnet("p", "n", "s"),
    "free_addresses": lambda plugin: plugin.free_addresses(ASKED),
    "allocate": lambda plugin: plugin.allocate([REQUEST]),
    "take_over": lambda plugin: plugin.take_over(REQUEST, ["10.0.0.5"]),
    "release": lambda plugin: plugin.release("server"),
}
TRUE = {("poison", "release")}  # an answer that this call needs no more of


@pytest.fixture(scope="module")
def liar() -> Iterator[str]:
    with lying_service() as url:
        yield url


@pytest.mark.parametrize("lie", [*NONSENSE, "garbage", *WITHOUT_END])
def test_every_lie_is_an_error_of_the_back_end_in_time(liar: str, lie: str) -> None:
    """Never a bug, which would be parked for a person; and nothing of the answer reaches a back
    end."""
    names = {
        "username": "u",
        "password": "p",
        "project_name": "s",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    plugin = NeutronNetworks(
        {
            "auth_url": f"{liar}/v3",
            "endpoint_override": f"{liar}/{lie}",
            "timeout": str(SECONDS),
            **names,
        }
    )
    for name, call in CALLS.items():
        if (lie, name) in TRUE:
            continue
        began = time.monotonic()
        with pytest.raises(BackendError) as told:
            call(plugin)
        # some requests, each within its time, on a busy machine
        assert time.monotonic() - began < 40, name
        assert "Neutron" in told.value.message and len(told.value.message) < 800
