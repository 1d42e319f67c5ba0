"""Route by role: docs/reference/api-access.md is what is answered, by requests to every route. With
Keystone's tokens: `test_keystone`."""

from __future__ import annotations

import pytest

from abaca.api.access import answers, rules_in_code
from abaca.api.reference import persona
from abaca.api.routing import ROUTES
from tests.api.called_routes import note
from tests.api.calls import CALLS
from tests.api.conftest import ADMIN, ALICE, NOBODY, READER, UNKNOWN, Api
from tests.api.test_isolation import body_of, every_route, filled

MANAGER = "mona:red:manager,member,reader"
ROLES = {
    "admin": ADMIN,
    "manager": MANAGER,
    "member": ALICE,
    "reader": READER,
    "another role": NOBODY,
}
LET_IN = {
    "admin": ["admin"],
    "member": ["admin", "manager", "member"],
    "reader": ["admin", "manager", "member", "reader"],
    "any role": list(ROLES),
}
IDS = dict.fromkeys(
    ("type_id", "local_network_id", "local_subnet_id", "security_service_id", "share_network_id",
     "subnet_id", "share_id", "instance_id",
     "policy_id",
     "share_server_id", "access_id", "export_location_id", "snapshot_id", "message_id", "lock_id",
     "backup_id", "share_group_id", "share_group_type_id", "share_group_snapshot_id",
     "transfer_id", "operation_id"),
    UNKNOWN,
)  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_each_route_lets_in_whom_the_reference_and_the_matrix_name(api: Api, role: str) -> None:
    """About things that are not there, so that what is let in changes nothing."""
    wrong, policy = [], rules_in_code()
    for route, version in every_route():
        answer = api.send(
            route.method, filled(route, IDS), body_of(route, IDS), who=ROLES[role], version=version
        )
        expected = answers(policy, route)[role]
        assert (expected == 403) is not (role in LET_IN[persona(route)])
        if answer.status_code == expected == 403:
            note(CALLS, route.method, route.path, body_of(route, IDS), version, 403)
        if (answer.status_code == 403) is not (expected == 403):
            wrong.append(
                f"{route.method} {route.path} {route.action or ''} at {version}: "
                f"{answer.status_code}, not {expected}"
            )
    assert wrong == []
    assert len(every_route()) > 150


def test_without_credentials_only_open_routes_answer(api: Api) -> None:
    policy = rules_in_code()
    for route in ROUTES:
        status = api.send(
            route.method, filled(route, IDS), body_of(route, IDS), who=None, version=None
        ).status_code
        assert (
            (status == 401)
            is (route.policy is not None)
            is (answers(policy, route)["no credentials"] == 401)
        ), route.name
