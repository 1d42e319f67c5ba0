"""Ten additions of a subnet at once while the driver hangs in its check: those that find no place
to wait are told so, and all other requests are answered while the rest still waits. The real
service, with as few threads as it can have."""

from __future__ import annotations

import base64
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from abaca.drivers.fake.faults import Fault, write_plan
from tests.clients.test_serve import password_in_clouds_file
from tests.service import FAKE_BACKEND, Installation, installation, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a call that hangs is waited for until it is given up"),
    pytest.mark.timeout(300),
]

WAIT_SECONDS = 2.0  # what an addition that finds a place waits
CHECK = "check_update_share_server_network_allocations"
OTHERS = (
    "/v2/shares/detail",
    "/v2/share-networks/detail",
    "/v2/share-servers",
    "/v2/types",
    "/v2/messages",
)


class Client:
    """The administrator over HTTP: `client(method, path, body)` → (status, answer)."""

    def __init__(self, made: Installation) -> None:
        self._url = made.url
        token = base64.b64encode(f"admin:{password_in_clouds_file(made)}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {token}",
            "X-OpenStack-Manila-API-Version": "2.78",
            "Content-Type": "application/json",
        }

    def made(self, path: str, body: Any) -> Any:
        """What a POST has made, without its outermost key."""
        status, answer = self("POST", path, body)
        assert status in (200, 201, 202), answer
        return next(iter(answer.values()))

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(f"{self._url}{path}", data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, msgspec.json.decode(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            return refusal.code, msgspec.json.decode(refusal.read())


@pytest.fixture(scope="module", params=[2, 4], ids=["2-threads", "4-threads"])
def service(request: pytest.FixtureRequest) -> Iterator[Installation]:
    with installation() as made:
        plan = made.folder / "faults"
        config = (
            f"{FAKE_BACKEND}fault_plan = {plan}\n[api]\nworkers = 1\nthreads = {request.param}\n"
        )
        (made.folder / "abaca.conf").write_text(config)
        made.start()
        yield made
        write_plan(plan, [])


def test_nobody_else_waits(service: Installation) -> None:
    client = Client(service)
    network = share_network_in_use(client)
    write_plan(Path(service.folder, "faults"), [Fault(method=CHECK, error="hang")])
    body = {
        "share-network-subnet": {
            "neutron_net_id": network["net"],
            "neutron_subnet_id": network["subnet"],
        }
    }

    def add(_number: int) -> float:
        """Seconds until it is refused."""
        began = time.monotonic()
        status, answer = client("POST", f"/v2/share-networks/{network['id']}/subnets", body)
        assert status == 409 and "check pending" in answer["conflictingRequest"]["message"]
        return time.monotonic() - began

    # the wait is bounded: a machine that is too slow for this order of events is given further
    # chances
    for _ in range(5):
        with ThreadPoolExecutor(10) as threads:
            additions = [threads.submit(add, number) for number in range(10)]
            wait_until(lambda: any(each.running() for each in additions), "the additions")  # noqa: B023
            assert [client("GET", other)[0] for other in OTHERS] == [200] * len(OTHERS)
            assert (
                client("POST", "/v2/share-networks", {"share_network": {"name": "meanwhile"}})[0]
                == 200
            )
            ended = [each for each in additions if each.done()]
        if len(ended) < len(additions) and all(each.result() < WAIT_SECONDS for each in ended):
            return
    raise AssertionError("the other requests were answered only after additions that waited")


def share_network_in_use(client: Client) -> dict[str, str]:
    """A share network with an available share on it: id, net, subnet."""
    specs = {"driver_handles_share_servers": "True"}
    assert (
        client("POST", "/v2/types", {"share_type": {"name": "default", "extra_specs": specs}})[0]
        == 200
    )
    net = client("POST", "/network/v2.0/networks", {"network": {"name": "net"}})[1]["network"]["id"]
    subnet = client(
        "POST",
        "/network/v2.0/subnets",
        {"subnet": {"network_id": net, "cidr": "10.1.0.0/24", "ip_version": 4}},
    )[1]["subnet"]["id"]
    wanted = {"neutron_net_id": net, "neutron_subnet_id": subnet}
    network = client("POST", "/v2/share-networks", {"share_network": wanted})[1]["share_network"][
        "id"
    ]
    status, answer = client(
        "POST",
        "/v2/shares",
        {
            "share": {
                "share_proto": "NFS",
                "size": 1,
                "share_type": "default",
                "share_network_id": network,
            }
        },
    )
    assert status == 200, answer
    share = f"/v2/shares/{answer['share']['id']}"
    wait_until(lambda: client("GET", share)[1]["share"]["status"] != "creating", "the share")
    assert client("GET", share)[1]["share"]["status"] == "available", client("GET", "/v2/messages")
    return {"id": network, "net": net, "subnet": subnet}
