"""Ask one back end whether its share servers may be given one more subnet. Changes nothing but the
answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.engine import Connection

from abaca.domain.network_changes import subnet_additions
from abaca.domain.network_changes.subnet_additions import Inquiry
from abaca.errors import NoSpace, Refused
from abaca.operations import driver_calls, serving
from abaca.values import Subnet
from abaca.workflow.steps import effect, tx, workflow

T = TypeVar("T")
_AT_ONCE = 50  # servers asked about in one step: what a restart asks again at most


def fail(conn: Connection, check_id: str, service_host: str, reason: str) -> None:
    """Whatever goes wrong is a denial: a check is never left without an answer."""
    subnet_additions.answer(conn, check_id, service_host, reason, None)


@workflow(on_failure=fail, is_check=True)
def share_network_subnet_check(check_id: str, service_host: str) -> None:
    inquiry = tx(subnet_additions.inquiry, check_id, service_host)
    if inquiry is None:
        return
    subnet = effect(
        serving.current().networks.get_subnet,
        inquiry.project_id,
        inquiry.neutron_net_id,
        inquiry.neutron_subnet_id,
    )
    free = effect(count_free_addresses, inquiry, subnet)
    require_consent(driver_calls.server_without_subnet, service_host, inquiry.server_ids, subnet)
    tx(subnet_additions.answer, check_id, service_host, None, subnet, free)


def count_free_addresses(inquiry: Inquiry, subnet: Subnet) -> int | None:
    """How many there are, as far as that is known. NoSpace, with the numbers, when the subnet
    cannot give all servers their addresses."""
    free = serving.current().networks.free_addresses(subnet)
    if free is not None and free < inquiry.addresses:
        raise NoSpace(
            f"The subnet {subnet.neutron_subnet_id} ({subnet.cidr}) has {free} free addresses, "
            "the share servers of the network "
            f"need {inquiry.addresses}.",
            is_public=True,
        )
    return free


def require_consent(
    ask: Callable[[str, list[str], T], str | None],
    service_host: str,
    server_ids: list[str],
    about: T,
) -> None:
    """Refused when `ask(service host, some of the servers, about)` names a server: its driver
    denies, and has not said why."""
    for first in range(0, len(server_ids), _AT_ONCE):
        denied = effect(ask, service_host, server_ids[first : first + _AT_ONCE], about)
        if denied is not None:
            raise Refused(
                f"The back end of share server {denied} refused without giving a reason.",
                is_public=True,
            )
