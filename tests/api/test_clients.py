"""Who is connected to a share and to a share server. Nobody works here: what a back end would say
is put in by hand; that it is asked is in tests/operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.api.pending import waiting_slots
from abaca.db.session import begin, read, utcnow
from abaca.db.tables import (
    client_inquiries,
    network_allocations,
    services,
    share_instances,
    share_network_subnets,
    share_servers,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import client_inquiries as inquiries
from abaca.domain.network_changes.client_inquiries import Answer
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.values import Client, Clients, OpenFiles
from abaca.workflow.queue import unfinished
from tests.api.conftest import ADMIN, ALICE, BACKEND, BOB, READER, UNKNOWN, Api, BackEnd, new_id
from tests.api.test_statements import counted
from tests.stack import wait_for

KEYS = {
    "address",
    "is_address_masked",
    "server_address",
    "share_network_subnet_id",
    "is_routed",
    "protocol",
    "protocol_version",
    "connections",
    "last_active_at",
    "open_files",
    "locks",
}
NETWORK = "neutron-network"
SERVER = "10.0.0.5"
CHECK: dict[str, Any] = {"share_network_subnet_delete_check": {}}
AT = datetime(2026, 11, 29, 12, 0, 0, 250000)


def client(address: str = "10.0.0.20", server_address: str = SERVER, **more: Any) -> Client:
    return Client(address=address, server_address=server_address, protocol="NFS", **more)


class Site:
    """A share of Alice's on a server with the address SERVER, and another share beside it."""

    def __init__(self, api: Api, back_end: BackEnd) -> None:
        self.api = api
        self.engine = back_end.engine
        api.share_type()
        network = api.share_network(neutron_net_id=NETWORK, neutron_subnet_id=new_id())["id"]
        self.share, self.other = (api.share(network)["id"] for _ in range(2))
        for share in (self.share, self.other):
            back_end.settle(share, f"{SERVER}:/shares/{share}")
        back_end.resolve(network)
        self.server = str(api("GET", f"/shares/{self.share}")["share"]["share_server_id"])
        with begin(self.engine) as conn:
            self.subnet = conn.scalars(sa.select(share_network_subnets.c.id)).one()
            conn.execute(
                sa.insert(network_allocations).values(
                    id=new_id(),
                    share_server_id=self.server,
                    share_network_subnet_id=self.subnet,
                    position=0,
                    neutron_subnet_id="s",
                    ip_address=SERVER,
                    mac_address="fa:16:3e:00:00:01",
                    created_at=utcnow(),
                )
            )

    def instance(self, share: str) -> str:
        of_share = sa.select(share_instances.c.id).where(share_instances.c.share_id == share)
        with read(self.engine) as conn:
            return str(conn.scalars(of_share).one())

    def allow(self, access_to: str, share: str | None = None) -> None:
        rule = {"allow_access": {"access_type": "ip", "access_to": access_to}}
        self.api("POST", f"/shares/{share or self.share}/action", rule, who=ALICE)

    def connect(
        self, *clients: Client, owner: str | None = "red", is_complete: bool = True
    ) -> None:
        """The back end says so, for as long as the test takes."""
        owners = {} if owner is None else {NETWORK: owner}
        said = Clients(listed=list(clients), is_complete=is_complete)
        self.say(Answer(clients=said, at=AT, owners=owners))

    def say(self, answer: Answer | None) -> None:
        """`answer`; None: it could not be asked."""
        with begin(self.engine) as conn:
            conn.execute(sa.delete(client_inquiries))
            pending = inquiries.ask(conn, "red", [self.server])
            assert isinstance(pending, PendingCheck)
            inquiries.answer(
                conn, pending.id, BACKEND, {} if answer is None else {self.server: answer}
            )
            lasting = utcnow() + timedelta(hours=1)
            conn.execute(sa.update(client_inquiries).values(expires_at=lasting))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """The back end answers soon whatever it is asked: one client is connected."""
        over = Event()

        def back_end() -> None:
            while not over.wait(0.02):
                with begin(self.engine) as conn:
                    for id_ in conn.scalars(sa.select(client_inquiries.c.id)).all():
                        if inquiries.is_pending(conn, id_):
                            said = Answer(clients=Clients(listed=[client()]), at=AT)
                            inquiries.answer(conn, id_, BACKEND, {self.server: said})

        answering = Thread(target=back_end)
        answering.start()
        try:
            yield
        finally:
            over.set()
            answering.join()

    def asked(self) -> list[str]:
        """The work that asks the back end about it."""
        with read(self.engine) as conn:
            ids = conn.scalars(sa.select(client_inquiries.c.id)).all()
        return [work for work in unfinished(self.engine) if any(id_ in work for id_ in ids)]

    def answers(self, headers: dict[str, str]) -> int:
        path = f"/v2/shares/{self.share}/clients"
        return self.api.send("GET", path, who=ALICE, headers=headers).status_code

    def shown(self, share: str | None = None, who: str = ALICE) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.api(
            "GET", f"/shares/{share or self.share}/clients", who=who
        )["clients"]
        return listed


@pytest.fixture
def site(api: Api, back_end: BackEnd) -> Site:
    return Site(api, back_end)


def test_a_member_sees_the_clients_of_a_share(api: Api, site: Site) -> None:
    """clients.of_share"""
    site.allow("10.0.0.0/25")
    files = {site.instance(site.share): OpenFiles(files=3, locks=1), "another": OpenFiles(files=9)}
    site.connect(
        client(protocol_version="4.1", connections=2, idle_seconds=2, open_files=files),
        client("10.0.0.21"),
    )
    answer = api("GET", f"/shares/{site.share}/clients", who=ALICE)
    assert set(answer) == {"clients", "is_complete", "as_of"}
    assert answer["is_complete"] is True and answer["as_of"] == "2026-11-29T12:00:00.250000"
    first, second = answer["clients"]
    assert set(first) == KEYS
    assert first == {
        "address": "10.0.0.20",
        "is_address_masked": False,
        "server_address": SERVER,
        "share_network_subnet_id": site.subnet,
        "is_routed": False,
        "protocol": "NFS",
        "protocol_version": "4.1",
        "connections": 2,
        "last_active_at": "2026-11-29T11:59:58.250000",
        "open_files": 3,
        "locks": 1,
    }
    unknown = ("protocol_version", "last_active_at", "open_files", "locks")
    assert [second[name] for name in unknown] == [None] * 4


def test_a_share_has_those_whom_it_admits_and_those_who_have_it_open(site: Site) -> None:
    site.allow("10.0.0.20")
    site.allow("10.0.0.128/25", share=site.other)
    mine, others = site.instance(site.share), site.instance(site.other)
    site.connect(
        client("10.0.0.20", open_files={}),
        client("10.0.0.21", open_files={mine: OpenFiles(files=1, locks=None)}),
        client("10.0.0.200", open_files={others: OpenFiles(files=2, locks=2)}),
    )
    assert {each["address"]: (each["open_files"], each["locks"]) for each in site.shown()} == {
        "10.0.0.20": (0, 0),
        "10.0.0.21": (1, None),  # its rule went, the file is still open
    }
    assert [each["address"] for each in site.shown(site.other)] == ["10.0.0.200"]


def test_a_server_has_all_of_them(api: Api, site: Site) -> None:
    """clients.of_share_server"""
    mine, others = site.instance(site.share), site.instance(site.other)
    both = {mine: OpenFiles(files=1, locks=2), others: OpenFiles(files=3, locks=4)}
    uncounted = {mine: OpenFiles(files=1), others: OpenFiles(files=1, locks=1)}
    site.connect(
        client("10.0.0.20", open_files=both),
        client("10.0.0.21", open_files=uncounted),
        client("10.0.0.22"),
        is_complete=False,
    )
    answer = api("GET", f"/share-servers/{site.server}/clients")
    assert [(each["open_files"], each["locks"]) for each in answer["clients"]] == [
        (4, 6),
        (2, None),
        (None, None),
    ]
    assert answer["is_complete"] is False
    for who in (ALICE, READER):
        api.fault("GET", f"/share-servers/{site.server}/clients", None, 403, who=who)
    api.fault("GET", f"/share-servers/{UNKNOWN}/clients", None, 404)


def test_readers_and_other_projects_see_none(api: Api, site: Site) -> None:
    site.allow("10.0.0.0/24")
    site.connect(client())
    path = f"/shares/{site.share}/clients"
    api.fault("GET", path, None, 403, who=READER)
    assert api.fault("GET", path, None, 404, who=BOB) == (f"Share {site.share} could not be found.")
    public = {"share": {"is_public": True}}
    api("PUT", f"/shares/{site.share}", public, who=ADMIN)
    api.fault("GET", path, None, 403, who=BOB)
    assert len(site.shown(who=ADMIN)) == 1


@pytest.mark.parametrize(
    ("owner", "address", "is_routed", "is_masked"),
    [
        ("red", "10.0.0.20", False, False),
        ("blue", "10.0.0.20", False, True),  # the network is only shared with this project
        (None, "10.0.0.20", False, True),  # nobody knows whose it is
        ("red", "192.0.2.7", True, True),  # behind a router: who knows on whose network
        ("red", "fd00::7", True, True),
        ("red", "fe80::7", False, False),
    ],
)
def test_addresses_on_networks_of_others_are_masked(
    site: Site, owner: str | None, address: str, is_routed: bool, is_masked: bool
) -> None:
    for network in ("0.0.0.0/0", "::/0"):
        site.allow(network)
    site.connect(client(address), owner=owner)
    (shown,) = site.shown()
    assert shown["is_routed"] is is_routed and shown["is_address_masked"] is is_masked
    assert shown["address"] == (None if is_masked else address)
    (all_of_it,) = site.shown(who=ADMIN)
    assert all_of_it["address"] == address and all_of_it["is_address_masked"] is False


def test_a_routed_client_on_another_subnet_of_the_project_is_not_masked(site: Site) -> None:
    site.allow("0.0.0.0/0")
    with begin(site.engine) as conn:
        (known,) = conn.execute(sa.select(share_network_subnets)).mappings().all()
        (port,) = conn.execute(sa.select(network_allocations)).mappings().all()
        second = {"id": new_id(), "cidr": "10.8.0.0/24"}
        conn.execute(sa.insert(share_network_subnets).values({**known, **second}))
        more = {"id": new_id(), "share_network_subnet_id": second["id"], "ip_address": "10.8.0.5"}
        conn.execute(sa.insert(network_allocations).values({**port, **more}))
    site.connect(client("10.8.0.20"), client("10.9.0.20"))
    assert [(each["address"], each["is_routed"]) for each in site.shown()] == [
        ("10.8.0.20", True),
        (None, True),
    ]


def test_a_client_by_an_address_that_the_service_did_not_give_is_on_no_subnet(site: Site) -> None:
    site.allow("10.0.0.0/24")
    site.connect(client(server_address="10.0.0.77"))
    (shown,) = site.shown()
    assert shown["share_network_subnet_id"] is None and shown["is_routed"] is None
    assert shown["address"] is None, "nobody knows on whose network it is"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Answer(clients=None, at=AT), 409, "cannot tell who is connected"),
        (None, 503, "try again in a moment"),
    ],
)
def test_what_cannot_be_known_is_said(
    api: Api, site: Site, answer: Answer | None, status: int, words: str
) -> None:
    site.say(answer)
    result = api.expect(status, "GET", f"/v2/shares/{site.share}/clients", who=ALICE)
    assert words in result.text


def test_a_back_end_that_is_down_is_not_asked(api: Api, site: Site) -> None:
    with begin(site.engine) as conn:
        conn.execute(sa.update(services).values(is_ready=False))
    api.expect(503, "GET", f"/v2/shares/{site.share}/clients", who=ALICE)
    assert site.asked() == []


def test_a_share_without_a_server_has_no_clients(api: Api, site: Site) -> None:
    with begin(site.engine) as conn:
        conn.execute(sa.update(share_instances).values(share_server_id=None))
    assert api("GET", f"/shares/{site.share}/clients", who=ALICE) == {
        "clients": [],
        "is_complete": True,
        "as_of": None,
    }


def removable(site: Site) -> str:
    """The path of the actions of the subnet, which is neither the last one nor its server's
    only one."""
    with begin(site.engine) as conn:
        (subnet,) = conn.execute(sa.select(share_network_subnets)).mappings().all()
        (mapping,) = conn.execute(sa.select(mappings)).mappings().all()
        second = {"id": new_id(), "cidr": "10.8.0.0/24"}
        conn.execute(sa.insert(share_network_subnets).values({**subnet, **second}))
        conn.execute(
            sa.insert(mappings).values({**mapping, "share_network_subnet_id": second["id"]})
        )
        conn.execute(sa.update(share_servers).values(share_server_subnet_removal_support=True))
    return f"/share-networks/{subnet['share_network_id']}/subnets/{site.subnet}/action"


def test_the_check_of_a_removal_names_whom_it_would_cut(api: Api, site: Site) -> None:
    """As the list of clients does, and on which share server each one is."""
    site.connect(client("10.0.0.20", connections=2, idle_seconds=2), client("10.0.0.21"))
    answer = api("POST", removable(site), CHECK, status=202)
    listed = api("GET", f"/share-servers/{site.server}/clients")["clients"]
    assert answer["clients"] == [{**each, "share_server_id": site.server} for each in listed]
    assert len(listed) == 2 and answer["all_clients"] is True


def test_it_waits_for_who_is_connected(api: Api, site: Site) -> None:
    """One who asks now and then finds no answer to a former request."""
    path = removable(site)

    def asked_for_the_first_time() -> Any:
        with begin(site.engine) as conn:
            conn.execute(sa.delete(client_inquiries))
        return api("POST", path, CHECK, status=202)["clients"]

    with site.answering():
        assert len(wait_for(asked_for_the_first_time)) == 1


def test_in_the_background_nobody_waits_for_an_answer(api: Api, site: Site) -> None:
    """It would hold the one thread that there is."""
    later = {"Priority": "u=6"}
    with site.answering():
        told = api.fault(
            "GET", f"/shares/{site.share}/clients", None, 409, who=ALICE, headers=later
        )
        assert "repeat the request" in told
        wait_for(lambda: site.answers(later) == 200)


def test_who_finds_no_place_to_wait_is_told_to_repeat(
    api: Api, site: Site, conf: cfg.ConfigOpts
) -> None:
    """All places for requests that wait are taken, so that the test need not wait itself."""
    places = waiting_slots(conf.api.threads)
    taken = 0
    while places.acquire(blocking=False):
        taken += 1
    try:
        for _ in range(3):
            told = api.fault("GET", f"/shares/{site.share}/clients", None, 409, who=ALICE)
            assert "repeat the request" in told
    finally:
        for _ in range(taken):
            places.release()
    assert len(site.asked()) == 1, "asked once, however often the request is repeated"


def test_answers_are_shared_for_seconds_and_deleted(api: Api, site: Site) -> None:
    site.allow("10.0.0.0/24")
    site.connect(client())
    assert len(site.shown()) == 1
    with begin(site.engine) as conn:
        conn.execute(sa.update(client_inquiries).values(expires_at=utcnow()))
        inquiries.delete_expired(conn)
        assert conn.scalar(sa.select(sa.func.count()).select_from(client_inquiries)) == 0


@pytest.mark.parametrize("path", ["/shares/{share}/clients", "/share-servers/{server}/clients"])
def test_many_clients_take_as_many_statements_as_one(api: Api, site: Site, path: str) -> None:
    site.allow("10.0.0.0/8")
    path = path.format(share=site.share, server=site.server)

    def statements(number: int) -> int:
        site.connect(*[client(f"10.0.{n // 250}.{n % 250}") for n in range(number)])
        with counted() as seen:
            assert len(api("GET", path)["clients"]) == number
        return len(seen)

    assert statements(1) == statements(1000)


def test_the_policy_may_let_readers_in_and_show_all(
    conf: cfg.ConfigOpts, site: Site, make_api: Callable[[str], Api]
) -> None:
    site.allow("10.0.0.0/24")
    site.connect(client(), owner="blue")
    api = make_api(
        '"share_client:index": "rule:reader"\n"share_client:show_masked_addresses": "rule:reader"\n'
    )
    (shown,) = api("GET", f"/shares/{site.share}/clients", who=READER)["clients"]
    assert shown["address"] == "10.0.0.20"


@pytest.fixture
def make_api(conf: cfg.ConfigOpts, engine: Engine) -> Callable[[str], Api]:
    """The API with a policy file that says so."""

    def make(policy: str) -> Api:
        Path(conf.state_dir, "policy.yaml").write_text(policy)
        return Api(create_app(conf, engine))

    return make
