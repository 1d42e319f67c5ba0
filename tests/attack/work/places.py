"""Work that never ends: it takes its project's places, and nobody else's."""

from __future__ import annotations

from threading import Event

from abaca.drivers.fake.faults import Fault, write_plan
from tests.attack.registry import Force, Seen
from tests.attack.work import on_each_database
from tests.attack.work_stage import Stage

CHECK = "check_update_share_server_security_service"
NETWORKS = 10


@on_each_database("checks that never answer", waits=True)
def checks_that_never_answer(stage: Stage, force: Force) -> Seen:
    """A hundred of them, on ten share networks: with an LDAP server that says nothing they held all
    places of a worker."""
    attacker = stage.attacker
    networks = [attacker.share_network(f"10.3.{number}.0/24") for number in range(NETWORKS)]
    for network in networks:
        attacker.until(attacker.share(network), "available")
    write_plan(stage.plan, [Fault(method=CHECK, error="hang")])
    asked = 0
    for number in range(10):
        service = attacker.made(
            "/v2/security-services", {"security_service": {"type": "ldap", "name": str(number)}}
        )["id"]
        for network in networks:
            body = {"add_security_service_check": {"security_service_id": service}}
            asked += attacker("POST", f"/v2/share-networks/{network}/action", body)[0] == 202
    Event().wait(force.seconds)
    write_plan(stage.plan, [])
    return Seen(asked == 10 * NETWORKS, f"{asked} checks asked for")


@on_each_database("more work than there are places", waits=True)
def more_work_than_there_are_places(stage: Stage, force: Force) -> Seen:
    """Shares whose making hangs in the driver, on as many share servers as it takes to fill a
    worker."""
    attacker, instances = stage.attacker, []
    networks = [attacker.share_network(f"10.4.{number}.0/24") for number in range(NETWORKS)]
    for network in networks:
        attacker.until(attacker.share(network), "available")
    servers = {
        server["id"] for server in stage.admin("GET", "/v2/share-servers")[1]["share_servers"]
    } - {stage.honest_server()}
    write_plan(
        stage.plan, [Fault(method="create_share", match=server, error="hang") for server in servers]
    )
    for network in networks * 6:
        instances.append(attacker.share(network))
    Event().wait(force.seconds)
    waiting = sum(attacker.status(share) == "creating" for share in instances)
    write_plan(stage.plan, [])
    return Seen(
        waiting == len(instances),
        f"{waiting} of {len(instances)} shares hang in the making or wait",
    )
