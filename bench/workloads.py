"""What is asked of a service, whichever it is, and how long that took. All through the API, all
bounded."""

from __future__ import annotations

import http.client
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench import conditions
from bench.client import Client, Failed, Measured, load
from bench.service import Service, share, share_network

CLIENTS = 8
PATIENCE = 600.0
# between two questions whether something has ended, so times are right to about that much
_LOOK = 0.02


class Read(NamedTuple):
    """A request that changes nothing. `path` holds `{id}` where one share after the other is
    meant."""

    name: str
    path: str
    expect: int = 200


def reads(shares: int) -> list[Read]:
    """The requests measured with so many shares present."""
    return [
        Read("`GET /`", "/", 300),
        Read("one share", "/v2/shares/{id}"),
        Read("shares/detail, limit 100", "/v2/shares/detail?limit=100"),
        Read("shares/detail, limit 1000", "/v2/shares/detail?limit=1000"),
        Read("shares, limit 1000", "/v2/shares?limit=1000"),
        Read("detail by name", "/v2/shares/detail?name=share-000777"),
        Read("detail by status, limit 100", "/v2/shares/detail?status=inactive&limit=100"),
        Read(
            "detail by share network, limit 100",
            "/v2/shares/detail?share_network_id={network}&limit=100",
        ),
        Read("detail by part of the name, limit 100", "/v2/shares/detail?name~=777&limit=100"),
        Read(
            "detail by metadata, limit 100",
            "/v2/shares/detail?metadata=%7B%27group%27%3A%277%27%7D&limit=100",
        ),
        Read(
            "detail sorted by size, limit 100",
            "/v2/shares/detail?sort_key=size&sort_dir=asc&limit=100",
        ),
        Read(
            "detail sorted by name, limit 100",
            "/v2/shares/detail?sort_key=display_name&sort_dir=asc&limit=100",
        ),
        Read(
            f"deep page (offset {shares * 9 // 10:,}), limit 100",
            f"/v2/shares/detail?limit=100&offset={shares * 9 // 10}",
        ),
        Read("detail with_count, limit 100", "/v2/shares/detail?limit=100&with_count=true"),
    ]


class WholeList(NamedTuple):
    """One list without a limit: seconds until its first and its last byte, bytes, and by how much
    the API's processes grew meanwhile (MB)."""

    first: float
    last: float
    bytes: int
    grown: float


def whole_list(service: Service, path: str = "/v2/shares/detail") -> WholeList:
    """Read a list whole, as a client does that follows no links."""
    before, began = service.usage()["API"].rss, time.monotonic()
    connection = http.client.HTTPConnection(
        service.target.host, service.target.port, timeout=PATIENCE
    )
    connection.request("GET", path, headers=dict(service.target.headers))
    answer = connection.getresponse()
    received, first, largest = len(answer.read(1)), time.monotonic() - began, before
    while part := answer.read(1 << 20):
        received += len(part)
        largest = max(largest, service.usage()["API"].rss)
    connection.close()
    if answer.status != 200:
        raise Failed(f"GET {path}: {answer.status}")
    return WholeList(first, time.monotonic() - began, received, largest - before)


PEER_READS = ("`GET /`", "one share", "shares/detail, limit 100", "shares/detail, limit 1000")


def read(
    service: Service,
    what: Read,
    ids: list[str],
    network_id: str,
    *,
    seconds: float,
    runs: int,
    clients: int = CLIENTS,
) -> Measured:
    """The median of several runs, by rate."""
    requests = _requests(service, what, ids, network_id)
    load(service.target, requests, clients=clients, seconds=0.2, expect=what.expect)  # warm-up
    measured = []
    for _ in range(runs):
        before = _cpu_seconds(service)
        loaded = load(
            service.target, requests, clients=clients, seconds=seconds, expect=what.expect
        )
        measured.append(
            loaded._replace(service_cpu=(_cpu_seconds(service) - before) / loaded.answers)
        )
    return sorted(measured)[len(measured) // 2]


def _cpu_seconds(service: Service) -> float:
    return sum(used.cpu for used in service.usage().values())


def _requests(service: Service, what: Read, ids: list[str], network_id: str) -> Iterator[bytes]:
    paths = [
        what.path.format(id=id_, network=network_id)
        for id_ in (ids if "{id}" in what.path else ids[:1])
    ]
    return itertools.cycle([service.target.request("GET", path) for path in paths])


class Creations(NamedTuple):
    """Seconds: of each POST, and of each from POST to available."""

    posts: list[float]
    wholes: list[float]


def create_one_after_other(service: Service, count: int) -> Creations:
    """Shares on one network whose share server is there already."""
    client = Client(service.target)
    network_id = share_network(client, service, 200)
    _until_available(client, share(client, network_id)["id"])
    posts, wholes = [], []
    for _ in range(count):
        began = time.perf_counter()
        share_id = share(client, network_id)["id"]
        posts.append(time.perf_counter() - began)
        _until_available(client, share_id)
        wholes.append(time.perf_counter() - began)
    client.close()
    return Creations(posts, wholes)


class Batch(NamedTuple):
    """Many creations at once: seconds until all POSTs were answered, seconds until all were
    available, and CPU seconds used by part."""

    posts: float
    whole: float
    cpu: dict[str, float]

    @property
    def cpu_seconds(self) -> float:
        """Of all parts together."""
        return sum(self.cpu.values())


def create_batches(service: Service, count: int, times: int, number: int = 0) -> list[Batch]:
    """So many shares from eight clients at once, several times in a row on one network."""
    client = Client(service.target)
    network_id = share_network(client, service, 210 + number)
    _until_available(client, share(client, network_id)["id"])
    return [
        _batch(service, network_id, [lambda worker: share(worker, network_id)["id"]] * count)
        for _ in range(times)
    ]


def create_networks(service: Service, count: int) -> Batch:
    """So many share networks, each with a share, and so with a share server of its own."""
    subnets = [service.subnet(number) for number in range(count)]

    def one(client: Client, subnet: dict[str, str]) -> str:
        network = client.must(
            "POST", "/v2/share-networks", {"share_network": {"name": "bench", **subnet}}
        )["share_network"]["id"]
        return str(share(client, network)["id"])

    return _batch(
        service,
        None,
        [lambda client, subnet=subnet: one(client, subnet) for subnet in subnets],  # type: ignore[misc]
    )


def _batch(service: Service, network_id: str | None, jobs: list[Callable[[Client], str]]) -> Batch:
    before = service.usage()
    began = time.perf_counter()
    ids = _at_once(service, jobs)
    posts = time.perf_counter() - began
    client = Client(service.target)
    path = "/v2/shares?status=creating&limit=1" + (
        f"&share_network_id={network_id}" if network_id else ""
    )
    _until(lambda: not client.must("GET", path)["shares"], 0.05)
    whole = time.perf_counter() - began
    cpu = {part: used.cpu - before[part].cpu for part, used in service.usage().items()}
    _until_available(client, ids[-1])
    failed = client.must("GET", path.replace("creating", "error"))["shares"]
    if failed:
        raise Failed(f"a share ended in error: {failed}")
    return Batch(posts, whole, cpu)


def _at_once(service: Service, jobs: list[Callable[[Client], str]]) -> list[str]:
    """Carry the jobs out by eight clients; what they return."""
    waiting = iter(jobs)
    lock = threading.Lock()
    done: list[str] = []
    errors: list[Exception] = []

    def work() -> None:
        client = Client(service.target)
        try:
            while True:
                with lock:
                    job = next(waiting, None)
                if job is None:
                    return
                done.append(job(client))
        except (Failed, OSError) as error:
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return done


class Addition(NamedTuple):
    """Seconds: of the check, from the POST after it to `active`, and the servers that grew."""

    check: float
    whole: float
    servers: int

    @property
    def each(self) -> float:
        """Seconds a server."""
        return self.whole / self.servers


def add_subnet(service: Service, share_network_id: str, servers: int, number: int) -> Addition:
    """A subnet added to a network in use: checked, then added, until the network is active
    again."""
    client = Client(service.target)
    wanted = service.subnet(number)
    began = time.perf_counter()
    action = {"share_network_subnet_create_check": wanted}
    path = f"/v2/share-networks/{share_network_id}"
    _until(lambda: _compatible(client.must("POST", f"{path}/action", action)), _LOOK)
    checked = time.perf_counter()
    client.must("POST", f"{path}/subnets", {"share-network-subnet": wanted})
    _until(lambda: client.must("GET", path)["share_network"]["status"] == "active", _LOOK)
    ended = time.perf_counter()
    client.close()
    return Addition(checked - began, ended - checked, servers)


def make_servers(service: Service, count: int, share_type: str) -> str:
    """A share network with so many servers, made by shares of a type that gives each its own. The
    network's id."""
    client = Client(service.target)
    network_id = share_network(client, service, 220)
    _batch(
        service, network_id, [lambda worker: share(worker, network_id, share_type)["id"]] * count
    )
    found = client.must("GET", f"/v2/share-servers?share_network_id={network_id}&status=active")[
        "share_servers"
    ]
    if len(found) != count:
        raise Failed(f"{len(found)} share servers instead of {count}")
    return network_id


def idle(service: Service, seconds: float) -> dict[str, tuple[float, float]]:
    """By part: resident MB and percent of a core while nothing is asked."""
    before = service.usage()
    began = time.perf_counter()
    conditions.wait(seconds)
    after = service.usage()
    elapsed = time.perf_counter() - began
    return {
        part: (used.rss, (used.cpu - before[part].cpu) / elapsed * 100)
        for part, used in after.items()
    }


def percentile(values: list[float], share_below: float) -> float:
    """The value that so large a share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share_below))]


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def _compatible(answer: dict[str, object]) -> bool:
    if answer["compatible"] is False:
        raise Failed(f"the check says no: {answer}")
    return bool(answer["compatible"])


def _until_available(client: Client, share_id: str) -> None:
    def settled() -> bool:
        status = client.must("GET", f"/v2/shares/{share_id}")["share"]["status"]
        if status == "error":
            raise Failed(f"share {share_id} ended in error")
        return bool(status == "available")

    _until(settled, _LOOK)


def _until(condition: Callable[[], bool], pause: float) -> None:
    deadline = time.perf_counter() + PATIENCE
    while not condition():
        if time.perf_counter() > deadline:
            raise Failed(f"not within {PATIENCE:g} s")
        conditions.wait(pause)
