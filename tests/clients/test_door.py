"""The API's front door against a real server process: what strangers send over raw sockets, and
what an honest client sees meanwhile."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Event
from uuid import uuid4

import bcrypt
import psutil
import pytest
import sqlalchemy as sa

from abaca.db.session import begin, create_engine, utcnow
from abaca.db.tables import share_instances, share_types, shares
from tests.api_process import Server, serving
from tests.databases import Databases
from tests.raw_http import Answer, Connection, basic, request, unverified
from tests.stack import initialise, wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("walls that are time limits are waited for"),
    pytest.mark.timeout(300),
]

ROOT, ALICE = basic("root", "pw"), basic("alice", "pw")
TYPES = request("GET", "/v2/types", credentials=ROOT)
NETWORK = json.dumps(
    {"share_network": {"name": "n", "neutron_net_id": "a", "neutron_subnet_id": "b"}}
).encode()
LARGE = b'{"share_network": {"name": "' + b"x" * 120_000 + b'"}}'
HALF_A_BODY = b"POST /v2/types HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(**{"api.workers": 1, "api.threads": 2}) as made:
        made.start()
        yield made


def exchange(server: Server, data: bytes) -> list[Answer]:
    """All answers to what is sent, until the connection ends or nothing more comes for a while."""
    with Connection(server.port) as connection:
        connection.send(data)
        answers = []
        try:
            while (answer := connection.answer()) is not None:
                answers.append(answer)
                connection.socket.settimeout(2)
        except TimeoutError:
            pass
        return answers


def statuses(server: Server, data: bytes) -> list[int]:
    return [answer.status for answer in exchange(server, data)]


def honest(server: Server) -> None:
    """A client with remembered credentials asks twenty times, on new connections, and is answered
    each time, soon."""
    for _ in range(20):
        began = time.monotonic()
        assert server.ask("GET", "/v2/types")[0] == 200
        assert time.monotonic() - began < 5


# What is answered, and how


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            request("POST", "/v2/share-networks", body=NETWORK, credentials=ALICE) + TYPES,
            [200, 200],
            id="pipelined",
        ),
        pytest.param(
            request("POST", "/v2/types", body=b"{}") + TYPES,
            [401, 200],
            id="401 with a body, then another request",
        ),
        pytest.param(
            request("POST", "/v2/types", body=b"{}", credentials=ALICE) + TYPES,
            [403, 200],
            id="403 with a body",
        ),
        pytest.param(
            request("POST", "/v2/types", body=b"\xff\xfe", credentials=ALICE) + TYPES,
            [403, 200],
            id="raw bytes as a body",
        ),
        pytest.param(
            request("POST", "/v2/types", body=LARGE, credentials=ROOT) + TYPES,
            [413],
            id="too large, closed",
        ),
        pytest.param(
            request("GET", "/v2/types", body=b"{}", credentials=ROOT) + TYPES,
            [200, 200],
            id="GET with a body",
        ),
        pytest.param(TYPES.replace(b"Host: x\r\n", b"") + TYPES, [400, 200], id="no Host"),
        pytest.param(
            TYPES.replace(b"Host: x\r\n", b"Host: x\r\nHost: y\r\n") + TYPES,
            [400, 200],
            id="two Hosts",
        ),
        pytest.param(
            TYPES.replace(b"Host: x\r\n", b"Host: " + b"x" * 300 + b"\r\n"), [400], id="a long Host"
        ),
        pytest.param(
            TYPES.replace(b"Host: x\r\n", b"Host: x/y\r\n"), [400], id="a Host that is none"
        ),
        pytest.param(
            TYPES.replace(b"HTTP/1.1\r\nHost: x", b"HTTP/1.0"), [200], id="HTTP/1.0 without Host"
        ),
        pytest.param(request("GET", "/v2/%FF", credentials=ROOT), [404], id="no UTF-8 in the path"),
        pytest.param(
            request("GET", "/v2/types?x=%FF", credentials=ROOT), [200], id="no UTF-8 in the query"
        ),
        pytest.param(
            request("GET", "/v2/types", "X-Unknown: \xff\xfe", credentials=ROOT),
            [200],
            id="raw bytes in a header",
        ),
        pytest.param(
            request("GET", "/v2/types", f"X-Unknown: {'x' * 100_000}", credentials=ROOT),
            [431],
            id="a large head",
        ),
        pytest.param(
            request("GET", f"/{'x' * 100_000}", credentials=ROOT), [431], id="a long path"
        ),
        pytest.param(
            request(
                "GET", "/v2/types", *(f"X-{number}: 1" for number in range(200)), credentials=ROOT
            ),
            [431],
            id="many headers",
        ),
        pytest.param(
            request("NONE", "/v2/types", credentials=ROOT), [400], id="a method that is none"
        ),
        pytest.param(
            request("POST", "/v2/types", "Content-Length: 3", body=b"{}"), [400], id="two lengths"
        ),
        pytest.param(
            request("POST", "/v2/types", "Content-Length: +2") + b"{}",
            [400],
            id="a length with a sign",
        ),
        pytest.param(
            request("POST", "/v2/types", "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
            [400],
            id="an unknown coding",
        ),
        pytest.param(
            request("GET", "/v2/types", "X: a", " folded: b"), [400], id="a folded header"
        ),
        pytest.param(request("GET", "/v2/types", "X: a\x00b"), [400], id="NUL in a header"),
    ],
)
def test_manners(server: Server, data: bytes, expected: list[int]) -> None:
    assert statuses(server, data) == expected


def test_every_refusal_names_its_request(server: Server) -> None:
    (answer,) = exchange(server, request("POST", "/v2/types", body=LARGE))
    assert answer.status == 413 and answer.headers["connection"] == "close"
    assert (
        json.loads(answer.body)["overLimit"]["message"]
        == "The request body has more than 114688 bytes."
    )
    assert (
        answer.headers["x-openstack-request-id"].startswith("req-")
        and answer.headers["retry-after"] == "0"
    )


def test_a_header_with_an_underscore_is_not_taken_for_one_with_a_hyphen(server: Server) -> None:
    (answer,) = exchange(
        server,
        request("GET", "/v2/types", "X_OpenStack_Manila_API_Version: 9.99", credentials=ROOT),
    )
    assert answer.status == 200


def test_continue_is_sent_for_what_will_be_read_only(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(
            request(
                "POST",
                "/v2/share-networks",
                "Expect: 100-continue",
                f"Content-Length: {len(NETWORK)}",
                credentials=ALICE,
            )
        )
        first = connection.answer()
        connection.send(NETWORK)
        second = connection.answer()
        assert (
            first is not None and second is not None and (first.status, second.status) == (100, 200)
        )
    assert statuses(
        server,
        request(
            "POST", "/v2/types", "Expect: 100-continue", "Content-Length: 200000", credentials=ROOT
        ),
    ) == [413]


@pytest.mark.parametrize("size", [0, 1, 60_000])
def test_chunked_bodies_are_read_whole(server: Server, size: int) -> None:
    name = b'{"share_network": {"name": "' + b"x" * size + b'"}}'
    chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in (name[:7], name[7:]))
    head = request(
        "POST",
        "/v2/share-networks",
        "Transfer-Encoding: chunked",
        "Content-Type: application/json",
        credentials=ALICE,
    )
    assert statuses(server, head + chunks + b"0\r\n\r\n" + TYPES) == [
        200 if size < 256 else 400,
        200,
    ]


@pytest.mark.parametrize(
    ("coding", "end"),
    [
        ("gzip, chunked", b""),
        ("chunked, chunked", b""),
        ("chunked\r\nTransfer-Encoding: chunked", b""),
        ("chunked", b"Host: y\r\n"),
    ],
)
def test_codings_and_trailers_that_are_not_understood_are_refused(
    server: Server, coding: str, end: bytes
) -> None:
    head = request(
        "POST",
        "/v2/share-networks",
        f"Transfer-Encoding: {coding}",
        "Content-Type: application/json",
        credentials=ALICE,
    )
    (answer,) = exchange(
        server, head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(NETWORK), NETWORK, end) + TYPES
    )
    assert (answer.status, answer.headers["connection"]) == (400, "close"), (
        "what follows may be part of it to a proxy in front"
    )


def test_a_chunked_body_without_end_is_too_large(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(
            request("POST", "/v2/types", "Transfer-Encoding: chunked", credentials=ROOT)
        )
        connection.send(
            b"4000\r\n" + b"x" * 0x4000 + b"\r\n" + b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        )
        for _ in range(6):
            connection.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        answer = connection.answer()
        assert answer is not None and answer.status == 413


def test_methods_that_are_none_are_counted_as_one(server: Server) -> None:
    """Each label of a metric is kept for good: strangers must not make them."""
    for number in range(3):
        statuses(server, request(f"X{number}", "/v2/types", credentials=ROOT))
    metrics = server.ask("GET", "/metrics")[1].decode()
    assert 'method="other"' in metrics and 'method="X1"' not in metrics


# Walls


def test_http_2_is_not_spoken(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        began = time.monotonic()
        connection.ends()
        assert time.monotonic() - began < 5


def test_half_bodies_take_no_thread_and_end(server: Server) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(Connection(server.port)) for _ in range(100)]
        for connection in slow:
            connection.send(HALF_A_BODY)
        honest(server)
        answers = [connection.answer() for connection in slow]
        assert {answer and answer.status for answer in answers} == {408}
        assert all(connection.ends() for connection in slow)


def test_one_client_has_so_many_bodies_at_once_and_no_more(server: Server) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(Connection(server.port)) for _ in range(140)]
        for connection in slow:
            connection.send(HALF_A_BODY)
        late = [connection.answer() for connection in slow]
        found = [answer.status for answer in late if answer is not None]
        assert found.count(503) == 12 and found.count(408) == 128


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (f"Content-Length: {len(NETWORK) + 5}", NETWORK),
        ("Transfer-Encoding: chunked", b"%x\r\n%s" % (len(NETWORK), NETWORK)),
        ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(NETWORK), NETWORK)),
        ("Transfer-Encoding: chunked", b"%x\r\n%sXX0\r\n\r\n" % (len(NETWORK), NETWORK)),
        ("Transfer-Encoding: chunked", b"%x\r\n%s\r\nzz\r\n" % (len(NETWORK), NETWORK)),
    ],
    ids=["length", "in a chunk", "after a chunk", "no end of a chunk", "no size of a chunk"],
)
def test_a_body_that_breaks_off_does_nothing(server: Server, header: str, body: bytes) -> None:
    before = server.ask("GET", "/v2/share-networks", user="alice")[1]
    with Connection(server.port) as connection:
        connection.send(
            request(
                "POST",
                "/v2/share-networks",
                header,
                "Content-Type: application/json",
                credentials=ALICE,
            )
            + body
        )
        connection.socket.shutdown(socket.SHUT_WR)
        connection.ends()
    honest(server)
    assert server.ask("GET", "/v2/share-networks", user="alice")[1] == before


def test_silent_connections_end_and_keep_nobody_out(server: Server) -> None:
    """More than one client may have are ended at once, the others in time."""
    with ExitStack() as stack:
        silent = [stack.enter_context(Connection(server.port)) for _ in range(1100)]
        wait_for(lambda: server.ask("GET", "/healthcheck")[0] == 200, 5)
        honest(server)
        assert all(connection.ends() for connection in silent)


def test_a_connection_that_brings_no_whole_head_ends_however_it_drips(server: Server) -> None:
    with Connection(server.port) as connection:
        began = time.monotonic()

        def is_over() -> bool:
            try:
                connection.send(b"G" if time.monotonic() - began > 100 else b"\r\n")
            except OSError:
                return True
            return False

        wait_for(is_over, 25)


def test_answers_that_nobody_takes_end_with_their_connection(server: Server) -> None:
    with Connection(server.port, 60) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.socket.settimeout(1)
        try:
            for _ in range(200):
                connection.send(request("GET", "/openapi.json", credentials=ROOT))
        except TimeoutError:
            pass
        honest(server)
        wait_for(lambda: not _is_connected(connection.socket), 50)
    honest(server)


def test_a_list_of_many_rows_is_sent_in_parts_and_waits_for_no_reader_in_a_thread() -> None:
    with serving(**{"api.workers": 1, "api.threads": 2}) as server:
        made = _make_shares(server, 6000)
        server.start()
        slow = [_slow_reader(server) for _ in range(6)]
        honest(server)
        status, answer = server.ask("GET", "/v2/shares/detail")
        assert status == 200 and [share["id"] for share in answer["shares"]] == made
        for connection in slow:
            connection.socket.close()
        honest(server)


def test_of_long_lists_that_are_read_slowly_only_the_beginning_is_made() -> None:
    """20 lists of 11 MB each, of which nobody reads more than that."""
    with serving(**{"api.workers": 1, "api.threads": 2}) as server:
        _make_shares(server, 12_000)
        server.start()
        slow = [_slow_reader(server) for _ in range(20)]
        Event().wait(3)
        before = _resident(server)
        Event().wait(6)  # more is made meanwhile, or is not
        assert _resident(server) - before < 10e6
        for connection in slow:
            connection.socket.close()
        honest(server)


def test_large_answers_that_are_read_slowly_are_bounded_in_bytes() -> None:
    """Each of 18 MB, which Granian keeps until it is taken: a client may have three of them under
    way."""
    with serving(**{"api.workers": 1, "api.threads": 2}) as server:
        _make_shares(server, 300, metadata={f"key-{number}": "v" * 1000 for number in range(60)})
        server.start()
        with ExitStack() as stack:
            slow = [stack.enter_context(Connection(server.port, 60)) for _ in range(8)]
            heads = []
            for connection in slow:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.send(request("GET", "/v2/shares/detail?limit=1000", credentials=ROOT))
                heads.append(connection.socket.recv(12))
            assert sorted(heads) == [b"HTTP/1.1 200"] * 3 + [b"HTTP/1.1 503"] * 5
            honest(server)

        def is_answered() -> bool:
            status, answer = server.ask("GET", "/v2/shares/detail?limit=1000")
            return status == 200 and len(answer["shares"]) == 300

        wait_for(is_answered, 60)


@pytest.mark.parametrize("has_body", [True, False])
def test_what_can_wait_takes_no_thread_of_what_cannot(server: Server, has_body: bool) -> None:
    """Four such requests wait for a lock of the database; the others have two threads."""
    what = (
        ("POST", "/v2/share-networks") if has_body else ("DELETE", f"/v2/share-networks/{uuid4()}")
    )
    waits = request(*what, "Priority: u=6", body=NETWORK if has_body else b"", credentials=ROOT)
    engine = create_engine(f"sqlite:///{server.folder}/db/abaca.sqlite")
    honest(server)  # who are known from now on
    with ExitStack() as stack:
        with begin(engine):
            waiting = [stack.enter_context(Connection(server.port, 60)) for _ in range(4)]
            for connection in waiting:
                connection.send(waits)
            Event().wait(0.5)
            honest(server)
            waiting[0].socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                waiting[0].socket.recv(1)
            waiting[0].socket.settimeout(60)
        answers = [connection.answer() for connection in waiting]
    engine.dispose()
    expected = 200 if has_body else 404
    assert [answer and answer.status for answer in answers] == [expected] * 4


def test_nor_do_the_later_parts_of_its_long_lists(postgresql_databases: Databases) -> None:
    """Those of four lists wait for a lock of the database; the others have two threads."""
    url = postgresql_databases.create_from(initialise)
    with serving(url, **{"api.workers": 1, "api.threads": 2}) as server, ExitStack() as stack:
        made = _make_shares(server, 2000, url=url)
        server.start()
        honest(server)
        slow = [stack.enter_context(_slow_reader(server, "Priority: u=6")) for _ in range(4)]
        engine = create_engine(url)
        with begin(engine) as conn, ThreadPoolExecutor(4) as readers:
            conn.execute(sa.text("LOCK TABLE shares IN ACCESS EXCLUSIVE MODE"))
            whole = [readers.submit(_rest, connection) for connection in slow]
            waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            wait_for(lambda: conn.scalar(waiting) > 0, 20)
            Event().wait(1)
            honest(server)
            assert not any(each.done() for each in whole)
            conn.rollback()
            assert all(made[-1].encode() in each.result(60) for each in whole)
        engine.dispose()


def _rest(connection: Connection) -> bytes:
    """What comes until the end of a chunked answer."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    found = b""
    while not found.endswith(b"0\r\n\r\n"):
        part = connection.socket.recv(65536)
        assert part, "cut off"
        found += part
    return found


def _resident(server: Server) -> int:
    """Bytes of memory that the server's processes have."""
    return sum(psutil.Process(pid).memory_info().rss for pid in server.pids())


def _slow_reader(server: Server, *lines: str) -> Connection:
    """It asks for all, and reads the beginning only."""
    connection = Connection(server.port, 60)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.send(request("GET", "/v2/shares/detail", *lines, credentials=ROOT))
    assert connection.socket.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def _make_shares(
    server: Server, number: int, metadata: dict[str, str] | None = None, url: str | None = None
) -> list[str]:
    """So many rows; their ids, the newest first."""
    engine = create_engine(url or f"sqlite:///{server.folder}/db/abaca.sqlite")
    now = utcnow()
    rows = [
        {"id": str(uuid4()), "project_id": "red", "user_id": "root", "display_name": f"share {n}",
         "size": 1, "share_proto": "NFS",
         "is_public": False, "metadata": metadata or {},
          "created_at": now + timedelta(seconds=n)} for n in range(number)
    ]  # fmt: skip
    of_all = {
        "share_type_id": "t",
        "status": "error",
        "access_rules_status": "active",
        "created_at": now,
    }
    instances = [{"id": str(uuid4()), "share_id": row["id"], **of_all} for row in rows]
    with begin(engine) as conn:
        conn.execute(
            sa.insert(share_types), {"id": "t", "name": "t", "is_public": True, "created_at": now}
        )
        conn.execute(sa.insert(shares), rows)
        conn.execute(sa.insert(share_instances), instances)
    engine.dispose()
    return [str(row["id"]) for row in reversed(rows)]


def _is_connected(one: socket.socket) -> bool:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


def test_clients_that_reset_at_once_leave_nothing(server: Server) -> None:
    for _ in range(1000):
        with Connection(server.port, source="127.0.0.2") as connection:
            connection.send(TYPES)
            connection.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
    honest(server)


def test_many_honest_clients_at_once_are_all_answered(server: Server) -> None:
    """More than there are threads: those that wait go through the event loop, the others do not,
    and none is lost between the two."""

    def ask_often(_: int) -> list[int]:
        with Connection(server.port) as connection:
            found = []
            for number in range(100):
                connection.send(
                    request("POST", "/v2/share-networks", body=b"{}", credentials=ALICE)
                    if number % 3 == 0
                    else TYPES
                )
                answer = connection.answer()
                found.append(answer.status if answer else 0)
            return found

    with ThreadPoolExecutor(24) as clients:
        found = {status for each in clients.map(ask_often, range(24)) for status in each}
    assert found == {200, 422}


# TLS


def test_over_tls_walls_are_the_same_and_nothing_older_than_1_3_is_spoken() -> None:
    """TLS 1.3 has no renegotiation, by which a client could have a server do the costly part of a
    handshake again and again."""
    with serving(**{"api.workers": 1, "api.threads": 2}) as server:
        server.use_tls()
        server.start()
        older = unverified()
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        with Connection(server.port) as plain, pytest.raises(ssl.SSLError):
            older.wrap_socket(plain.socket)
        with Connection(server.port, tls=True) as connection:
            connection.send(
                request(
                    "GET",
                    "/v2/types",
                    *(f"X-{number}: 1" for number in range(200)),
                    credentials=ROOT,
                )
            )
            answer = connection.answer()
        assert answer is not None and answer.status == 431
        with Connection(server.port, 60) as stalled, Connection(server.port, 60) as clear:
            stalled.send(bytes.fromhex("1603010200010001fc0303"))
            clear.send(TYPES)
            honest(server)
            clear.ends()
            assert stalled.ends()


# Passwords


@pytest.fixture(scope="module")
def costly() -> Iterator[Server]:
    """Passwords whose check takes a quarter of a second."""
    with serving(
        **{"api.workers": 1, "api.threads": 2, "api.trusted_proxies": ["127.0.0.1"]}
    ) as made:
        hashed = bcrypt.hashpw(b"pw", bcrypt.gensalt(12)).decode()
        cheap = bcrypt.hashpw(b"pw", bcrypt.gensalt(4)).decode()
        lines = [
            f"{name}:{hashed}:red:admin" for name in ("root", "alice", "mary", "late", "own")
        ] + [f"cheap:{cheap}:red:member"]
        (made.folder / "users").write_text("\n".join(lines))
        made.start()
        assert made.ask("GET", "/v2/types")[0] == 200
        yield made


def from_address(address: str, name: str, password: str) -> bytes:
    return request(
        "GET", "/v2/types", f"X-Forwarded-For: {address}", credentials=basic(name, password)
    )


def test_a_flood_of_wrong_passwords_delays_no_known_user_and_a_first_login_little(
    costly: Server,
) -> None:
    with ExitStack() as stack:
        for number in range(200):
            wrong = stack.enter_context(Connection(costly.port))
            name = ("nobody", "root", "alice", "mary")[number % 4]
            wrong.send(from_address("192.0.2.1", name, f"wrong-{number}"))
        honest(costly)
        assert costly.ask("GET", "/healthcheck")[0] == 200
        began = time.monotonic()
        with Connection(costly.port) as connection:
            connection.send(from_address("192.0.2.2", "late", "pw"))
            answer = connection.answer()
        assert answer is not None and answer.status == 200
        # 50 checks of the flood wait; the first place is hers all the same
        assert time.monotonic() - began < 10


def test_checks_that_nobody_waits_for_any_more_are_not_begun(costly: Server) -> None:
    for number in range(100):
        with Connection(costly.port) as gone:
            gone.send(from_address(f"192.0.2.{number}", "root", f"gone-{number}"))
    began = time.monotonic()
    with Connection(costly.port) as connection:
        connection.send(from_address("198.51.100.9", "root", "again"))
        answer = connection.answer()
    assert answer is not None and answer.status == 401
    assert time.monotonic() - began < 10  # of a hundred checks of a quarter of a second


def test_who_fills_a_lane_is_refused_before_any_work_and_only_he(costly: Server) -> None:
    with ExitStack() as stack:
        wrong = [stack.enter_context(Connection(costly.port)) for _ in range(40)]
        for number, connection in enumerate(wrong):
            connection.send(from_address("192.0.2.7", "own", f"lane-{number}"))
        refused = [
            answer
            for connection in wrong
            if (answer := connection.answer()) is not None and answer.status == 503
        ]
        assert len(refused) >= 20 and refused[0].headers["retry-after"] == "1"
        with Connection(costly.port) as elsewhere:
            elsewhere.send(from_address("192.0.2.8", "own", "pw"))
            answer = elsewhere.answer()
        assert answer is not None and answer.status == 200


def test_an_equal_wrong_password_is_checked_once(costly: Server) -> None:
    with ExitStack() as stack:
        many = [stack.enter_context(Connection(costly.port)) for _ in range(60)]
        for connection in many:
            connection.send(from_address("192.0.2.11", "root", "the same"))
        assert {
            answer.status for connection in many if (answer := connection.answer()) is not None
        } == {401}


def test_wrong_answers_take_as_long_for_every_name(costly: Server) -> None:
    """Known with a costly hash, known with a cheap one, unknown."""

    def seconds(name: str, number: int) -> float:
        with Connection(costly.port) as connection:
            began = time.monotonic()
            connection.send(from_address("192.0.2.12", name, f"timing-{number}"))
            answer = connection.answer()
            assert answer is not None and answer.status == 401
            return time.monotonic() - began

    medians = {
        name: sorted(seconds(name, number) for number in range(7))[3]
        for name in ("root", "cheap", "unknown")
    }
    assert max(medians.values()) < 2 * min(medians.values()), medians
    assert min(medians.values()) > 0.05


def test_the_first_failed_logins_of_a_minute_are_logged_and_all_are_counted(costly: Server) -> None:
    with ExitStack() as stack:
        wrong = [stack.enter_context(Connection(costly.port, 60)) for _ in range(15)]
        # at once: within a minute on a busy machine, too
        for number, connection in enumerate(wrong):
            connection.send(from_address("192.0.2.13", "cheap\n\x1b", f"log-{number}"))
        assert {
            answer and answer.status for answer in [connection.answer() for connection in wrong]
        } == {401}
    said = costly.said()
    # this one, and those of tests before
    full_minutes = said.count("more failed logins within this minute are only counted")
    assert full_minutes > 0 and 0 < said.count("failed login as ") <= 10 * (full_minutes + 1)
    assert "\x1b" not in said
    counted = re.search(
        r'abaca_failed_logins_total\{kind="password"\} (\S+)',
        costly.ask("GET", "/metrics")[1].decode(),
    )
    assert counted and float(counted[1]) >= 15


# Reverse proxies


def test_a_proxy_that_is_trusted_says_how_it_was_asked_and_others_do_not(
    costly: Server, server: Server
) -> None:
    forwarded = (
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shares.example.org",
        "X-Forwarded-For: 203.0.113.9",
    )
    found = [
        json.loads(exchange(asked, request("GET", "/", *forwarded))[0].body)["versions"][0]["links"]
        for asked in (costly, server)
    ]
    assert [links[1]["href"] for links in found] == [
        "https://shares.example.org/v2/",
        "http://x/v2/",
    ]
