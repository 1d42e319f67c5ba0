"""Ask a back end who is connected to its share servers on one host. Changes nothing but the
answer.

What it finds are addresses of clients, which no record of this work may hold. So the step that asks
gives nothing: it fills a list, and the next step stores that where it is deleted seconds later. The
journal writes what the first one gave together with the second (`workflow.journal`), so a run after
a crash that finds the first step done finds the second done, too.
"""

from __future__ import annotations

import logging

from abaca.db.session import utcnow
from abaca.domain.network_changes import client_inquiries
from abaca.domain.network_changes.client_inquiries import Answer
from abaca.domain.share_servers import server_hosts
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.values import ShareServer
from abaca.workflow.steps import effect, read_within, tx, workflow

_LOG = logging.getLogger(__name__)
_MOST_OWNERS = 4096

_owners: dict[str, str] = {}
"""Of networks, by Neutron network id: they never change."""


@workflow(on_failure=client_inquiries.give_up, is_check=True)
def share_server_clients(inquiry_id: str, place: str) -> None:
    answers: dict[str, Answer] = {}
    effect(find_clients, inquiry_id, place, answers)
    tx(client_inquiries.answer, inquiry_id, place, answers)


def find_clients(inquiry_id: str, place: str, answers: dict[str, Answer]) -> None:
    """Put what the driver says of each server into `answers`; of one that it cannot be asked about
    now, nothing."""
    worker = serving.current()
    for server in read_within(worker.engine, client_inquiries.asked, inquiry_id, place):
        try:
            clients = worker.driver(server_hosts.service_at(place)).get_clients(server)
        except BackendError as error:
            _LOG.warning("clients of share server %s are not known: %s", server.id, error.message)
        else:
            answers[server.id] = Answer(clients=clients, at=utcnow(), owners=_owners_of(server))


def _owners_of(server: ShareServer) -> dict[str, str]:
    """The owners of a server's networks, as far as they are known. A network service that does not
    answer spoils no answer: addresses are then shown to fewer people."""
    networks = {info.subnet.neutron_net_id for info in server.network_info}
    known = {id_: _owners[id_] for id_ in networks if id_ in _owners}
    try:
        for network_id in sorted(networks - known.keys()):
            owner = serving.current().networks.owner(network_id)
            if owner is not None:
                known[network_id] = owner
                if len(_owners) < _MOST_OWNERS:
                    _owners[network_id] = owner
    except BackendError as error:
        _LOG.warning("the owner of a network is not known: %s", error.message)
    return known
