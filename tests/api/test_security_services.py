"""Security services, and the actions of share networks about them. What drivers make of them:
tests/operations/test_security_services.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.db.encryption import Cipher
from abaca.db.session import begin, read, utcnow
from abaca.db.tables import security_services, share_network_checks, share_servers
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd
from tests.stack import write_key

SUMMARY = {"id", "name", "type", "status"}
ALWAYS = SUMMARY | {
    "project_id",
    "description",
    "created_at",
    "updated_at",
    "dns_ip",
    "server",
    "domain",
    "user",
    "password",
}
# as in the corpus
LDAP = {
    "type": "ldap",
    "name": "l",
    "dns_ip": "10.1.1.1",
    "server": "s",
    "user": "u",
    "password": "p",
    "ou": "o",
}
PATH = "/security-services"


@pytest.fixture(autouse=True)
def key(conf: cfg.ConfigOpts) -> Iterator[Cipher]:
    write_key(config.key_file(conf))
    yield Cipher(config.key_file(conf))


def make(api: Api, who: str = ALICE, version: str = "2.78", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = api(
        "POST", PATH, {"security_service": {"type": "ldap", **fields}}, who=who, version=version
    )["security_service"]
    return made


def act(
    api: Api,
    network_id: str,
    action: str,
    status: int = 200,
    who: str = ALICE,
    version: str = "2.70",
    **arguments: Any,
) -> Any:
    return api(
        "POST",
        f"/share-networks/{network_id}/action",
        {action: arguments},
        status=status,
        who=who,
        version=version,
    )


def deny(
    api: Api,
    network_id: str,
    action: str,
    status: int,
    who: str = ALICE,
    version: str = "2.70",
    **arguments: Any,
) -> str:
    return api.fault(
        "POST",
        f"/share-networks/{network_id}/action",
        {action: arguments},
        status,
        who=who,
        version=version,
    )


def used_network(api: Api, back_end: BackEnd, supports: bool = True, *attach: str) -> str:
    """A share network with an available share on an active server."""
    api.share_type()
    network_id = str(api.share_network()["id"])
    for service_id in attach:
        act(api, network_id, "add_security_service", security_service_id=service_id)
    back_end.settle(api.share(network_id)["id"], "10.0.0.5:/shares/1")
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(share_servers).values(security_service_update_support=supports))
    return network_id


def answer_check(engine: Engine, host: str = "host1@alpha", verdict: bool = True) -> None:
    """What a worker would do."""
    with begin(engine) as conn:
        reasons = {} if verdict else {host: "no bind"}
        conn.execute(
            sa.update(share_network_checks).values(
                hosts={host: verdict}, reasons=reasons, updated_at=utcnow()
            )
        )


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("2.0", set()),
        ("2.43", set()),
        ("2.44", {"ou"}),
        ("2.75", {"ou"}),
        ("2.76", {"ou", "default_ad_site"}),
    ],
)
def test_fields_by_version(api: Api, version: str, more: set[str]) -> None:
    """security_services.create, security_services.show, security_services.detail,
    security_services.index"""
    body = {
        "security_service": {
            **LDAP,
            "description": "d",
            "domain": "x",
            "id": "mine",
            "status": "error",
            "project_id": "blue",
        }
    }
    made = api("POST", PATH, body, who=ALICE, version=version)
    service = made["security_service"]
    assert set(service) == ALWAYS | more
    assert service["id"] != "mine" and service["updated_at"] is None
    shown = {
        name: service[name]
        for name in (*LDAP, "description", "domain", "status", "project_id")
        if name in service
    }
    assert shown == {**(LDAP if "ou" in more else {k: v for k, v in LDAP.items() if k != "ou"}),
     "description": "d", "domain": "x",
                     "status": "new", "project_id": "red"}  # fmt: skip
    assert api("GET", f"{PATH}/{service['id']}", who=ALICE, version=version) == made
    listed = api("GET", f"{PATH}/detail", who=ALICE, version=version)["security_services"]
    assert listed == [{**service, "share_networks": []}]
    assert api("GET", PATH, who=ALICE, version=version)["security_services"] == [
        {name: service[name] for name in SUMMARY}
    ]
    newest = api("GET", f"{PATH}/{service['id']}", who=ALICE, version="2.78")["security_service"]
    assert newest["ou"] == ("o" if "ou" in more else None), (
        "what a version does not know it does not set"
    )


@pytest.mark.parametrize(
    ("fields", "version", "status"),
    [
        ({"type": "nis"}, "2.0", 400),
        ({"type": None}, "2.0", 400),
        ({"type": 5}, "2.0", 400),
        ({"name": "x" * 256}, "2.0", 400),
        ({"password": ["p"]}, "2.0", 400),
        ({"server": "s", "default_ad_site": "d"}, "2.76", 400),
        ({"server": "s", "default_ad_site": "d"}, "2.75", 200),
        ({"type": "kerberos"}, "2.0", 200),
        ({"type": "active_directory", "default_ad_site": "d"}, "2.76", 200),
    ],
)
def test_what_may_be_made(api: Api, fields: dict[str, Any], version: str, status: int) -> None:
    api(
        "POST",
        PATH,
        {"security_service": {"type": "ldap", **fields}},
        status=status,
        version=version,
        who=ALICE,
    )
    assert len(api("GET", PATH, who=ALICE)["security_services"]) == (status == 200)


def test_bodies_without_a_security_service(api: Api) -> None:
    service_id = make(api)["id"]
    body: Any
    for body in ({}, {"security_service": None}, {"security_services": {}}, []):
        api.fault("POST", PATH, body, 422, who=ALICE)
        api.fault("PUT", f"{PATH}/{service_id}", body, 422, who=ALICE)
    assert "Valid types are ldap,kerberos,active_directory" in api.fault(
        "POST", PATH, {"security_service": {}}, 400, who=ALICE
    )


def test_update(api: Api) -> None:
    """security_services.update"""
    path = f"{PATH}/{make(api, **{**LDAP, 'type': 'ldap'})['id']}"
    changes = {"name": "new", "password": "q", "server": None, "project_id": "blue"}
    changed = api("PUT", path, {"security_service": changes}, who=ALICE, version="2.78")
    assert {name: changed["security_service"][name] for name in ("name", "password", "server",
     "user", "project_id")} == {
        "name": "new", "password": "q", "server": None, "user": "u", "project_id": "red",
    }  # fmt: skip
    assert changed["security_service"]["updated_at"] is not None
    assert (
        api("PUT", path, {"security_service": {"default_ad_site": "d"}}, who=ALICE, version="2.76")[
            "security_service"
        ]["default_ad_site"]
        == "d"
    )
    api.fault("PUT", path, {"security_service": {"server": "s"}}, 400, who=ALICE, version="2.76")
    api.fault("PUT", path, {"security_service": {"type": "nis"}}, 400, who=ALICE)
    assert (
        api("PUT", path, {"security_service": {"password": None}}, who=ALICE)["security_service"][
            "password"
        ]
        is None
    )


def test_delete(api: Api) -> None:
    """security_services.delete"""
    path = f"{PATH}/{make(api)['id']}"
    assert api("DELETE", path, who=ALICE, status=202) is None
    api.fault("GET", path, None, 404, who=ALICE)
    api.fault("DELETE", path, None, 404, who=ALICE)


def test_whom_the_password_is_shown_to(api: Api, engine: Engine, key: Cipher) -> None:
    service = make(api, password="p")
    path = f"{PATH}/{service['id']}"
    for who, shown in ((ALICE, "p"), (ADMIN, "p"), (READER, "******")):
        assert api("GET", path, who=who)["security_service"]["password"] == shown
        query = "?all_tenants=1" if who == ADMIN else ""
        assert [
            one["password"]
            for one in api("GET", f"{PATH}/detail{query}", who=who)["security_services"]
        ] == [shown]
    with read(engine) as conn:
        token = conn.scalar(sa.select(security_services.c.encrypted_password)) or ""
    assert key.decrypt(token) == "p" and token != "p"
    without = make(api)
    assert api("GET", f"{PATH}/{without['id']}", who=READER)["security_service"]["password"] is None


def test_without_the_key_nothing_is_stored(api: Api, conf: cfg.ConfigOpts) -> None:
    config.key_file(conf).unlink()
    api.fault("POST", PATH, {"security_service": LDAP}, 500, who=ALICE)
    assert api("GET", PATH, who=ALICE)["security_services"] == []


def test_other_projects_learn_nothing(api: Api) -> None:
    service_id, theirs = make(api)["id"], make(api, who=BOB)["id"]
    for method, body in (
        ("GET", None),
        ("PUT", {"security_service": {"name": "x"}}),
        ("DELETE", None),
    ):
        told = api.fault(method, f"{PATH}/{service_id}", body, 404, who=BOB)
        assert told == api.fault(method, f"{PATH}/{UNKNOWN}", body, 404, who=BOB).replace(
            UNKNOWN, service_id
        )
    api.fault("POST", PATH, {"security_service": LDAP}, 403, who=READER)
    api.fault("PUT", f"{PATH}/{service_id}", {"security_service": {}}, 403, who=READER)
    api.fault("DELETE", f"{PATH}/{service_id}", None, 403, who=READER)
    network_id = api.share_network()["id"]
    deny(api, network_id, "add_security_service", 404, security_service_id=theirs)
    deny(api, network_id, "add_security_service_check", 400, security_service_id=theirs)
    deny(api, network_id, "add_security_service", 400, who=ADMIN, security_service_id=theirs)
    deny(api, network_id, "add_security_service", 404, who=BOB, security_service_id=theirs)
    for action in ("add_security_service", "remove_security_service", "add_security_service_check"):
        deny(api, network_id, action, 403, who=READER, security_service_id=service_id)
    for action in ("update_security_service", "update_security_service_check"):
        deny(
            api,
            network_id,
            action,
            403,
            who=READER,
            current_service_id=service_id,
            new_service_id=service_id,
        )


@pytest.mark.parametrize(
    ("query", "who", "found"),
    [
        ("", ALICE, {"one", "two"}),
        ("", ADMIN, set()),
        ("all_tenants=1", ADMIN, {"one", "two", "three"}),
        ("all_tenants=1&project_id=blue", ADMIN, {"three"}),
        ("all_tenants=1&colour=red", ADMIN, set()),
        ("colour=red", ALICE, {"one", "two"}),
        ("project_id=blue", ALICE, {"one", "two"}),
        ("name=one", ALICE, {"one"}),
        ("type=kerberos", ALICE, {"two"}),
        ("user=u1&server=s1&dns_ip=d1&domain=x1", ALICE, {"one"}),
        ("user=u1&server=s2", ALICE, set()),
        # every one is new; the field has no such filter any more
        ("status=error", ALICE, {"one", "two"}),
        ("limit=1", ALICE, {"two"}),
        ("limit=1&offset=1", ALICE, {"one"}),
    ],
)
def test_filters(api: Api, query: str, who: str, found: set[str]) -> None:
    make(api, name="one", user="u1", server="s1", dns_ip="d1", domain="x1")
    make(api, name="two", type="kerberos", user="u2", server="s2")
    make(api, who=BOB, name="three")
    for path in (PATH, f"{PATH}/detail"):
        assert {
            one["name"] for one in api("GET", f"{path}?{query}", who=who)["security_services"]
        } == found


def test_by_share_network_and_back(api: Api) -> None:
    service_id, other = make(api)["id"], make(api)["id"]
    network_id, second = api.share_network()["id"], api.share_network()["id"]
    act(api, network_id, "add_security_service", security_service_id=service_id)
    listed = api("GET", f"{PATH}/detail?share_network_id={network_id}", who=READER)[
        "security_services"
    ]
    assert [(one["id"], one["share_networks"]) for one in listed] == [(service_id, [network_id])]
    assert api("GET", f"{PATH}?share_network_id={second}", who=ALICE)["security_services"] == []
    api.fault("GET", f"{PATH}?share_network_id={network_id}", None, 404, who=BOB)
    for given, found in ((service_id, [network_id]), (other, [])):
        networks = api("GET", f"/share-networks?security_service_id={given}", who=ALICE)[
            "share_networks"
        ]
        assert [one["id"] for one in networks] == found
    assert api("GET", f"{PATH}?all_tenants=1", who=BOB)["security_services"] == []


def test_attaching(api: Api) -> None:
    """share_network_security_services.add, share_network_security_services.remove"""
    service_id, same, other = make(api)["id"], make(api)["id"], make(api, type="kerberos")["id"]
    network = api.share_network()
    network_id = network["id"]
    for version in ("2.0", "2.62", "2.63", "2.78"):
        shown = api("GET", f"/share-networks/{network_id}", who=ALICE, version=version)
        assert (
            act(
                api,
                network_id,
                "add_security_service",
                version=version,
                security_service_id=service_id,
            )
            == shown
        )
        assert deny(
            api, network_id, "add_security_service", 409, version=version, security_service_id=same
        )
        assert deny(
            api,
            network_id,
            "add_security_service",
            409,
            version=version,
            security_service_id=service_id,
        )
        api.fault("DELETE", f"{PATH}/{service_id}", None, 403, who=ALICE, version=version)
        assert deny(
            api,
            network_id,
            "remove_security_service",
            400,
            version=version,
            security_service_id=other,
        )
        assert (
            act(
                api,
                network_id,
                "remove_security_service",
                version=version,
                security_service_id=service_id,
            )
            == shown
        )
        assert deny(
            api,
            network_id,
            "remove_security_service",
            400,
            version=version,
            security_service_id=service_id,
        )
    for action in ("add_security_service", "remove_security_service"):
        deny(api, network_id, action, 404, security_service_id=UNKNOWN)
        deny(api, network_id, action, 400)
        deny(api, network_id, action, 400, security_service_id=None)
        deny(api, UNKNOWN, action, 404, security_service_id=service_id)
    act(api, network_id, "add_security_service", security_service_id=service_id)
    api("DELETE", f"/share-networks/{network_id}", who=ALICE, status=202)
    api("DELETE", f"{PATH}/{service_id}", who=ALICE, status=202)


def test_exchanging_on_a_network_without_servers(api: Api) -> None:
    """share_network_security_services.update, since 2.63."""
    first, second, other = make(api)["id"], make(api)["id"], make(api, type="kerberos")["id"]
    network_id = api.share_network()["id"]
    act(api, network_id, "add_security_service", security_service_id=first)
    both = {"current_service_id": first, "new_service_id": second}
    assert deny(api, network_id, "update_security_service", 404, version="2.62", **both)
    changed = act(api, network_id, "update_security_service", 202, **both)["share_network"]
    assert changed["status"] == "active"
    assert [
        one["id"]
        for one in api("GET", f"{PATH}?share_network_id={network_id}", who=ALICE)[
            "security_services"
        ]
    ] == [second]
    for status, arguments in [
        (400, {}),
        (400, {"current_service_id": second}),
        (400, {"current_service_id": second, "new_service_id": UNKNOWN}),
        (400, {"current_service_id": UNKNOWN, "new_service_id": first}),
        (409, {"current_service_id": second, "new_service_id": other}),
        (409, {"current_service_id": first, "new_service_id": second}),
        (409, {"current_service_id": other, "new_service_id": first}),
    ]:
        deny(api, network_id, "update_security_service", status, **arguments)
        deny(api, network_id, "update_security_service_check", status, **arguments)


def test_in_use(api: Api, back_end: BackEnd, engine: Engine) -> None:
    first, second = make(api)["id"], make(api)["id"]
    network_id = used_network(api, back_end, True, first)
    deny(api, network_id, "remove_security_service", 403, security_service_id=first)
    deny(
        api,
        network_id,
        "add_security_service",
        403,
        version="2.62",
        security_service_id=make(api, type="kerberos")["id"],
    )
    for changes in ({"password": "x"}, {"type": "kerberos"}, {"name": "n", "dns_ip": None}):
        api.fault("PUT", f"{PATH}/{first}", {"security_service": changes}, 403, who=ALICE)
    api(
        "PUT", f"{PATH}/{first}", {"security_service": {"name": "n", "description": "d"}}, who=ALICE
    )
    exchange = {"current_service_id": first, "new_service_id": second}
    assert "check pending" in deny(api, network_id, "update_security_service", 400, **exchange)
    answer_check(engine)
    assert (
        act(api, network_id, "update_security_service", 202, **exchange)["share_network"]["status"]
        == "network_change"
    )
    assert "network_change" in deny(api, network_id, "update_security_service", 409, **exchange)
    for action in ("add_security_service", "remove_security_service", "add_security_service_check"):
        assert "network_change" in deny(api, network_id, action, 409, security_service_id=first)


def test_in_use_without_support(api: Api, back_end: BackEnd) -> None:
    first, other = make(api)["id"], make(api, type="kerberos")["id"]
    network_id = used_network(api, back_end, False, first)
    for action in ("add_security_service", "add_security_service_check"):
        assert "security_service_update_support" in deny(
            api, network_id, action, 400, security_service_id=other
        )


def test_a_denial_is_told(api: Api, back_end: BackEnd, engine: Engine) -> None:
    network_id, service_id = used_network(api, back_end), make(api)["id"]
    act(api, network_id, "add_security_service_check", 202, security_service_id=service_id)
    answer_check(engine, verdict=False)
    assert "no bind" in deny(
        api, network_id, "add_security_service", 400, security_service_id=service_id
    )


@pytest.mark.parametrize("operation", ["add_security_service", "update_security_service"])
def test_checks(api: Api, back_end: BackEnd, engine: Engine, operation: str) -> None:
    """share_network_security_services.add_check, share_network_security_services.update_check,
    since 2.63."""
    first, second = make(api)["id"], make(api)["id"]
    exchanges = operation.startswith("update")
    network_id = used_network(api, back_end, True, *([first] if exchanges else []))
    arguments = (
        {"current_service_id": first, "new_service_id": second}
        if exchanges
        else {"security_service_id": second}
    )
    asked = {
        "operation": operation,
        "current_security_service": first if exchanges else None,
        "new_security_service": second,
    }
    action = f"{operation}_check"
    assert act(api, network_id, action, 202, **arguments) == {
        "compatible": None,
        "requested_operation": asked,
    }
    answer_check(engine)
    done = {
        "compatible": True,
        "requested_operation": asked,
        "hosts_check_result": {"host1@alpha": True},
    }
    assert act(api, network_id, action, 202, who=ADMIN, **arguments) == done
    assert (
        act(api, network_id, action, 202, reset_operation="True", **arguments)["compatible"] is None
    )
    deny(api, network_id, action, 404, version="2.62", **arguments)
    deny(api, UNKNOWN, action, 404, **arguments)
    deny(api, network_id, action, 400)
    unused = api.share_network()["id"]
    if not exchanges:
        answer = {"compatible": True, "requested_operation": asked, "hosts_check_result": {}}
        assert act(api, unused, action, 202, who=ADMIN, **arguments) == answer


def test_the_corpus(api: Api) -> None:
    """What a recorded Manila answered: secsvc create, show and 404, but for what differs from run
    to run."""
    made = api("POST", PATH, {"security_service": LDAP}, who="demo:demo:member", version="2.78")[
        "security_service"
    ]
    recorded = {
        "created_at": "<ts>", "default_ad_site": None, "description": None, "dns_ip": "10.1.1.1",
         "domain": None, "id": "<uuid>", "name": "l",
        "ou": "o", "password": "p", "project_id": "demo", "server": "s", "status": "new",
         "type": "ldap", "updated_at": None, "user": "u",
    }  # fmt: skip
    assert {**made, "created_at": "<ts>", "id": "<uuid>"} == recorded
    api.fault("GET", f"{PATH}/{UNKNOWN}", None, 404)
