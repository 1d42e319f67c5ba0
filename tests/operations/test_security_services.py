"""Security services of share networks: who joins them and when, what happens when one is changed in
use, and where passwords are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca import config
from abaca.db.encryption import Cipher
from abaca.db.session import utcnow
from abaca.db.tables import services, share_network_checks, share_servers
from abaca.domain.network_changes import security_service_changes
from abaca.domain.network_changes.security_service_changes import ChangeRequest
from abaca.domain.network_changes.share_network_checks import PendingCheck, is_pending
from abaca.domain.share_networks import security_services, share_networks
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import shares
from abaca.errors import CallerError, Conflict, Forbidden, Invalid, Missing
from abaca.values import Caller
from tests.operations.conftest import Install
from tests.operations.scene import (
    FAILURES,
    WHY,
    all_servers,
    allow,
    available_share,
    enforced,
    failing,
    plan,
    reason,
    rules,
    server_of,
    settled_rules,
    share,
    struck,
    told,
    world,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)

PASSWORD = "clear-Passw0rd-never-at-rest"
CHECK = "check_update_share_server_security_service"
UPDATE = "update_share_server_security_service"
OTHER = Caller(user_id="other", project_id="other-project", roles=("member",))
TWO_ZONES = {"alpha": {"availability_zone": "zone-a"}, "beta": {"availability_zone": "zone-b"}}


@pytest.fixture
def two(install: Install) -> Iterator[Stack]:
    """Back ends in two availability zones, and a running worker."""
    stack = install(TWO_ZONES)
    with stack.working():
        yield stack


def service(stack: Stack, caller: Caller = MEMBER, **fields: str) -> str:
    """A new LDAP security service; its id."""
    cipher = Cipher(config.key_file(stack.conf))
    values = {
        "type": "ldap",
        "server": "10.0.0.2",
        "user": "reader",
        "encrypted_password": cipher.encrypt(PASSWORD),
        **fields,
    }
    return str(stack.do(security_services.create, caller, **values)["id"])


def change(
    stack: Stack, share_network: str, new: str, current: str | None = None, **how: Any
) -> dict[str, Any]:
    """As the API does: ask again while the check is pending."""
    wanted = ChangeRequest(new_id=new, current_id=current)
    while True:
        outcome = stack.do(security_service_changes.change, MEMBER, share_network, wanted, **how)
        if not isinstance(outcome, PendingCheck):
            return outcome
        stack.wait(lambda conn, check_id=outcome.id: not is_pending(conn, check_id))  # type: ignore[misc]


def check(
    stack: Stack, share_network: str, new: str, current: str | None = None, *, reset: bool = False
) -> dict[str, Any]:
    wanted = ChangeRequest(new_id=new, current_id=current)
    return stack.do(
        security_service_changes.check, MEMBER, share_network, wanted, reset_operation=reset
    )


def attached(stack: Stack, share_network: str) -> list[str]:
    return [row.id for row in stack.ask(security_services.attached, share_network)]


def joined(stack: Stack, backend: str = "alpha") -> list[list[tuple[str, str | None]]]:
    """Of each server in the fake back end: the ids and clear passwords of what it has joined."""
    held = world(stack, backend)["servers"].values()
    return [
        [(each["id"], each["password"]) for each in server["security_services"]] for server in held
    ]


def refused(
    stack: Stack,
    error: type[CallerError],
    text: str,
    share_network: str,
    new: str,
    current: str | None = None,
) -> None:
    before = (
        attached(stack, share_network),
        joined(stack),
        [row.status for row in all_servers(stack)],
    )
    with pytest.raises(error, match=text):
        change(stack, share_network, new, current)
    assert (
        attached(stack, share_network),
        joined(stack),
        [row.status for row in all_servers(stack)],
    ) == before
    assert stack.settled_network(share_network) == "active"


def used(stack: Stack, *attach: str) -> tuple[str, str]:
    """A share network with these services attached, and an available share on it, with a rule."""
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    for service_id in attach:
        change(stack, share_network, service_id)
    made = available_share(stack, share_network)
    allow(stack, made, "10.0.0.0/8")
    assert settled_rules(stack, made) == "active"
    return share_network, made


# --- success --------------------------------------------------------------------------------------


def test_a_server_joins_what_its_network_has(stack: Stack) -> None:
    one, other = service(stack), service(stack, type="active_directory", domain="example.org")
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    for service_id in (one, other):
        assert change(stack, share_network, service_id)["id"] == share_network
    assert [
        view["share_networks"] for view in (stack.ask(security_services.get, MEMBER, one),)
    ] == [[share_network]]
    available_share(stack, share_network)
    assert joined(stack) == [[(one, PASSWORD), (other, PASSWORD)]]
    for server in all_servers(stack):
        assert PASSWORD not in str(stack.ask(servers.get, server.id))


def test_all_servers_of_all_back_ends_change_and_clients_notice_nothing(two: Stack) -> None:
    first, second, another = service(two), service(two), service(two, type="kerberos", domain="E")
    share_network = two.share_network(*two.network("10.1.0.0/24"))
    change(two, share_network, first)
    ids = [
        available_share(two, share_network, availability_zone=zone) for zone in ("zone-a", "zone-b")
    ]
    allow(two, ids[0], "10.0.0.0/8")
    assert settled_rules(two, ids[0]) == "active"
    before = {id_: two.paths(id_) for id_ in ids}
    assert change(two, share_network, second, first)["status"] == "network_change"
    assert two.settled_network(share_network) == "active"
    assert [joined(two, name) for name in TWO_ZONES] == [[[(second, PASSWORD)]]] * 2
    change(two, share_network, another)
    assert two.settled_network(share_network) == "active"
    assert [joined(two, name) for name in TWO_ZONES] == [
        [[(second, PASSWORD), (another, PASSWORD)]]
    ] * 2
    assert {row.status for row in all_servers(two)} == {"active"}
    assert {id_: two.paths(id_) for id_ in ids} == before
    assert (rules(two, ids[0]), enforced(two, ids[0])) == ({"10.0.0.0/8": "active"}, {"10.0.0.0/8"})
    assert told(two) == []
    assert "share_network_checks" not in two.rows()


def test_a_new_subnet_comes_with_the_services(stack: Stack) -> None:
    one = service(stack)
    share_network, _ = used(stack, one)
    stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(share_network) == "active"
    assert joined(stack) == [[(one, PASSWORD)]]


def test_a_lost_server_joins_again(install: Install) -> None:
    stack = install()
    one = service(stack)
    with stack.working():
        used(stack, one)
    Path(stack.conf.state_dir, "worker", "alpha.json").unlink()
    with stack.working():
        wait_for(lambda: joined(stack) == [[(one, PASSWORD)]])


def test_passwords_are_nowhere_in_the_database(install: Install) -> None:
    """Neither in rows nor in the stored steps of workflows, arguments, results and errors, nor in
    user messages."""
    stack = install()
    first, second, third = service(stack), service(stack), service(stack)
    with stack.working():
        share_network, _ = used(stack, first)
        stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
        assert stack.settled_network(share_network) == "active"
        change(stack, share_network, second, first)
        assert stack.settled_network(share_network) == "active"
        plan(stack, failing(UPDATE, "Refused"))
        change(stack, share_network, third, second)
        assert stack.settled_network(share_network) == "active"
        assert joined(stack) == [[(second, PASSWORD)]], (
            "the driver had it, so it could have been stored"
        )
    stored = everything_stored(stack)
    assert "dbos" in stored and share_network in stored and first in stored, (
        "the search sees what is there"
    )
    assert PASSWORD not in stored


def all_rows(name: str, conn: Connection) -> Sequence[Any]:
    return conn.exec_driver_sql(f"SELECT * FROM {name}").all()


def everything_stored(stack: Stack) -> str:
    """Every row of every table in every schema, DBOS's included, as text; on SQLite the raw file,
    too."""
    found = []
    inspector = sa.inspect(stack.engine)
    for schema in inspector.get_schema_names():
        if schema in ("information_schema", "pg_catalog"):
            continue
        for table in inspector.get_table_names(schema=schema):
            name = f'"{schema}"."{table}"'
            rows = stack.ask(partial(all_rows, name))
            found.append(
                f"{name} dbos {rows}" if "operation_outputs" in table else f"{name} {rows}"
            )
    if stack.engine.dialect.name == "sqlite":
        path = str(stack.engine.url.database)
        found += [
            Path(path + end).read_bytes().decode("latin-1")
            for end in ("", "-wal")
            if Path(path + end).exists()
        ]
    return "\n".join(found)


# --- refusals -------------------------------------------------------------------------------------


def test_a_network_has_one_service_of_a_type(stack: Stack) -> None:
    one, same, other = service(stack), service(stack), service(stack, type="kerberos", domain="E")
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    change(stack, share_network, one)
    for again in (one, same):
        refused(stack, Conflict, "'ldap' type already added", share_network, again)
    refused(
        stack, Conflict, "cannot be replaced by one of type kerberos", share_network, other, one
    )
    refused(stack, Conflict, "is not associated", share_network, other, same)
    refused(stack, Conflict, "already added", share_network, one, one)
    change(stack, share_network, same, one)
    assert attached(stack, share_network) == [same]


def test_another_projects_service_is_never_attached(stack: Stack) -> None:
    mine, theirs = service(stack), service(stack, OTHER)
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    change(stack, share_network, mine)
    refused(stack, Missing, "could not be found", share_network, theirs)
    refused(stack, Invalid, "could not be found", share_network, theirs, mine)
    with pytest.raises(Invalid, match="could not be found"):
        check(stack, share_network, theirs)
    for wanted in (ChangeRequest(new_id=theirs), ChangeRequest(new_id=theirs, current_id=mine)):
        with pytest.raises(Invalid, match="belongs to another project"):
            stack.do(security_service_changes.change, ADMIN, share_network, wanted)
    with pytest.raises(Missing):
        stack.do(
            security_service_changes.change, OTHER, share_network, ChangeRequest(new_id=theirs)
        )
    with pytest.raises(Missing):
        stack.do(security_service_changes.remove, OTHER, share_network, mine)
    assert attached(stack, share_network) == [mine]


def test_in_use_it_stays_as_it_is(stack: Stack) -> None:
    one, other = service(stack), service(stack, type="kerberos", domain="E")
    share_network, made = used(stack, one)
    with pytest.raises(Forbidden, match="Share network is used"):
        stack.do(
            security_service_changes.change,
            MEMBER,
            share_network,
            ChangeRequest(new_id=other),
            in_use_allowed=False,
        )
    with pytest.raises(Forbidden, match="Share network is used"):
        stack.do(security_service_changes.remove, MEMBER, share_network, one)
    for changes in (
        {"server": "10.0.0.3"},
        {"name": "n", "user": "u"},
        {"encrypted_password": None},
    ):
        with pytest.raises(Forbidden, match="Only 'name' and 'description'"):
            stack.do(security_services.update, MEMBER, one, changes)
    assert (
        stack.do(security_services.update, MEMBER, one, {"name": "n", "description": "d"})["name"]
        == "n"
    )
    with pytest.raises(Forbidden, match="assigned to share network"):
        stack.do(security_services.delete, MEMBER, one)
    stack.do(shares.delete, MEMBER, made)
    assert stack.settled_share(made) == "gone"
    stack.do(share_networks.delete, MEMBER, share_network)
    stack.do(security_services.delete, MEMBER, one)


@pytest.mark.parametrize(
    ("table", "column", "value", "error", "text"),
    [
        ("share_servers", "status", "error", Invalid, "is not active but error"),
        (
            "share_servers",
            "security_service_update_support",
            False,
            Invalid,
            "does not support updates of its security services",
        ),
        ("share_networks", "status", "error", Invalid, "is not active but error"),
        ("share_networks", "status", "network_change", Conflict, "network_change"),
        ("share_instances", "status", "error", Invalid, "must be available"),
        ("share_instances", "access_rules_status", "error", Invalid, "must be available"),
        ("services", "expires_at", "long ago", Conflict, "is down"),
    ],
)
def test_what_is_not_healthy_is_not_changed(
    install: Install, table: str, column: str, value: Any, error: type[CallerError], text: str
) -> None:
    stack = install()
    new = service(stack)
    with stack.working():
        share_network, _ = used(stack)
    changed = share_servers.metadata.tables[table]
    stack.do(
        lambda conn: conn.execute(
            sa.update(changed).values({column: utcnow() if value == "long ago" else value})
        )
    )
    with pytest.raises(error, match=text):
        change(stack, share_network, new)
    with pytest.raises(error, match=text):
        check(stack, share_network, new)
    assert attached(stack, share_network) == []


def test_a_back_end_without_the_capability(install: Install) -> None:
    stack = install({"alpha": {"security_service_update_support": "false"}})
    one = service(stack)
    with stack.working():
        share_network, _ = used(stack)
        assert not stack.ask(share_networks.get, MEMBER, share_network)[
            "security_service_update_support"
        ]
        refused(stack, Invalid, "does not support", share_network, one)


# --- the check ------------------------------------------------------------------------------------


def test_the_check_alone(two: Stack) -> None:
    one = service(two)
    share_network = two.share_network(*two.network("10.1.0.0/24"))
    unasked = check(two, share_network, one)
    assert (unasked["compatible"], unasked["hosts_check_result"]) == (True, {})
    for zone in ("zone-a", "zone-b"):
        available_share(two, share_network, availability_zone=zone)
    assert check(two, share_network, one)["compatible"] is None
    wait_for(lambda: check(two, share_network, one)["compatible"] is not None)
    answer = check(two, share_network, one)
    assert answer["compatible"] is True
    assert answer["hosts_check_result"] == {"host1@alpha": True, "host1@beta": True}
    assert (attached(two, share_network), joined(two), joined(two, "beta")) == ([], [[]], [[]])
    other = service(two, type="kerberos", domain="E")
    assert check(two, share_network, other)["compatible"] is None, "another question"
    assert check(two, share_network, one)["compatible"] is True
    assert check(two, share_network, one, reset=True)["compatible"] is None


@pytest.mark.parametrize("error", [*FAILURES, "bug", "deny"])
def test_whatever_goes_wrong_in_a_check_is_a_denial(stack: Stack, error: str) -> None:
    one = service(stack)
    share_network, _ = used(stack)
    plan(stack, failing(CHECK, error))
    why = "refused without giving a reason" if error == "deny" else reason(error)
    refused(stack, Invalid, f"cannot be changed so: .*{why}", share_network, one)
    assert any(why in message for message in told(stack))
    assert struck(stack) >= 1
    plan(stack)
    stack.do(lambda conn: conn.execute(sa.delete(share_network_checks)))
    change(stack, share_network, one)
    assert stack.settled_network(share_network) == "active"


def test_what_the_driver_cannot_join_is_denied(stack: Stack) -> None:
    share_network, _ = used(stack)
    refused(stack, Invalid, "needs a domain", share_network, service(stack, type="kerberos"))


def test_a_service_that_is_gone_when_the_driver_is_asked(install: Install) -> None:
    stack = install()
    one = service(stack)
    with stack.working():
        share_network, _ = used(stack)
    check(stack, share_network, one)
    stack.do(security_services.delete, MEMBER, one)
    with stack.working():
        wait_for(lambda: any("refused without" in message for message in told(stack)))


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [*FAILURES, "bug"])
def test_a_failure_puts_server_and_rules_in_error_and_the_network_goes_on(
    stack: Stack, error: str
) -> None:
    first, second = service(stack), service(stack)
    share_network, made = used(stack, first)
    paths = stack.paths(made)
    plan(stack, failing(UPDATE, error))
    change(stack, share_network, second, first)
    assert stack.settled_network(share_network) == "active"
    (server,) = all_servers(stack)
    assert (
        server.status,
        share(stack, made)["status"],
        share(stack, made)["access_rules_status"],
    ) == ("error", "available", "error")
    assert rules(stack, made) == {"10.0.0.0/8": "error"}
    assert (enforced(stack, made), stack.paths(made)) == ({"10.0.0.0/8"}, paths), "still served"
    assert attached(stack, share_network) == [second]
    assert any(reason(error) in message and second in message for message in told(stack))
    assert joined(stack) == [[(first, PASSWORD)]]


def test_the_way_out_of_a_failure(stack: Stack) -> None:
    """The administrator resets the server and its rules are applied again; then the services are
    exchanged again."""
    first, second = service(stack), service(stack)
    share_network, made = used(stack, first)
    plan(stack, failing(UPDATE, "Refused"))
    change(stack, share_network, second, first)
    assert stack.settled_network(share_network) == "active"
    plan(stack)
    stack.do(servers.reset_status, server_of(stack, made), "active")
    allow(stack, made, "10.9.0.1")
    assert settled_rules(stack, made) == "active"
    change(stack, share_network, first, second)
    assert stack.settled_network(share_network) == "active"
    assert joined(stack) == [[(first, PASSWORD)]]
    assert rules(stack, made) == {"10.0.0.0/8": "active", "10.9.0.1": "active"}


def test_a_failure_that_passes_is_retried(stack: Stack) -> None:
    one = service(stack)
    share_network, _ = used(stack)
    plan(stack, failing(UPDATE, "Unavailable", times=1), failing(CHECK, "OutcomeUnknown", times=1))
    change(stack, share_network, one)
    assert stack.settled_network(share_network) == "active"
    assert ({row.status for row in all_servers(stack)}, struck(stack), joined(stack)) == (
        {"active"},
        2,
        [[(one, PASSWORD)]],
    )


def test_a_setup_that_cannot_join_leaves_nothing(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    change(stack, share_network, service(stack, type="kerberos"))
    made = stack.share(share_network)
    assert stack.settled_share(made) == "error"
    assert "needs a domain" in told(stack)[0]
    assert world(stack)["servers"] == {}
    assert stack.rows().get("network_allocations", 0) == 0


def test_without_its_key_a_server_is_not_set_up(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    change(stack, share_network, service(stack))
    config.key_file(stack.conf).rename(Path(stack.conf.state_dir, "lost"))
    made = stack.share(share_network)
    assert stack.settled_share(made) == "error"
    assert "key file" in told(stack)[0]
    assert WHY not in told(stack)[0] and world(stack)["servers"] == {}
    assert (
        stack.ask(lambda conn: conn.scalar(sa.select(sa.func.count()).select_from(services))) == 1
    )
