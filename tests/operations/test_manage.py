"""`abaca-manage share_server …` and `operations …` on an installation: what they say, what they do,
what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abaca import config
from abaca.admin.manage import main
from abaca.domain.share_servers import share_servers
from tests.operations.conftest import Install
from tests.operations.scene import all_servers, available_share, failing, network, plan, share, told
from tests.stack import Stack


def manage(stack: Stack, *arguments: str) -> Result:
    """Run `abaca-manage` on the installation."""
    file = Path(stack.conf.state_dir, "database.conf")
    file.write_text(
        f"[DEFAULT]\nstate_dir = {stack.conf.state_dir}\n[database]\nconnection = "
        f"{config.database_url(stack.conf)}\n"
    )
    return CliRunner().invoke(main, [*arguments, "--config-file", str(file)])


@pytest.fixture
def stack(install: Install) -> Iterator[Stack]:
    """One back end without security_service_update_support, and a running worker."""
    stack = install({"alpha": {"security_service_update_support": "false"}})
    with stack.working():
        yield stack


@pytest.fixture
def server(stack: Stack) -> str:
    available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    return str(all_servers(stack)[0].id)


def set_capability(stack: Stack, servers: str, capability: str, *value: str) -> Result:
    return manage(
        stack,
        "share_server",
        "update_share_server_capabilities",
        "--share_servers",
        servers,
        "--capabilities",
        capability,
        *value,
    )


def test_false_means_false(stack: Stack, server: str) -> None:
    answer = set_capability(stack, server, "network_allocation_update_support", "--value", "False")
    assert answer.exit_code == 0, answer.output
    assert stack.ask(share_servers.get, server)["network_allocation_update_support"] is False
    answer = set_capability(
        stack, server, "network_allocation_update_support", "--value", "true", "--check-driver"
    )
    assert answer.exit_code == 0, answer.output
    assert stack.ask(share_servers.get, server)["network_allocation_update_support"] is True
    assert server in manage(stack, "share_server", "list").output


@pytest.mark.parametrize(
    ("servers", "capability", "value"),
    [
        ("SERVER", "network_allocation_update_support", ()),
        ("SERVER", "network_allocation_update_support", ("--value", "perhaps")),
        ("SERVER,nobody", "network_allocation_update_support", ("--value", "false")),
        ("SERVER", "network_allocation_update_support,flying", ("--value", "false")),
        ("SERVER", "security_service_update_support", ("--value", "true", "--check-driver")),
        ("", "network_allocation_update_support", ("--value", "false")),
    ],
)
def test_what_is_wrong_changes_nothing(
    stack: Stack, server: str, servers: str, capability: str, value: tuple[str, ...]
) -> None:
    before = stack.ask(share_servers.get, server)
    answer = set_capability(stack, servers.replace("SERVER", server), capability, *value)
    assert answer.exit_code != 0
    assert "Error" in answer.output
    assert stack.ask(share_servers.get, server) == before


def test_the_two_ways_out_of_a_failed_addition(stack: Stack, server: str) -> None:
    share_network = str(all_servers(stack)[0].share_network_id)
    plan(stack, failing("update_share_server_network_allocations", "Refused"))
    stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(share_network) == "active"
    assert "the reason that the driver gave" in manage(stack, "share_server", "list").output
    plan(stack)
    assert manage(stack, "share_server", "retry_network_update", server).exit_code == 0
    assert stack.settled_network(share_network) == "active"
    assert all_servers(stack)[0].status == "active"
    for verb in ("retry_network_update", "abandon_network_update"):
        refused = manage(stack, "share_server", verb, server)
        assert refused.exit_code == 1 and "no failed addition" in refused.output
    plan(stack, failing("update_share_server_network_allocations", "Refused"))
    stack.add_subnet(share_network, stack.network("10.3.0.0/24")[0])
    assert stack.settled_network(share_network) == "active"
    plan(stack)
    assert manage(stack, "share_server", "abandon_network_update", server).exit_code == 0
    assert stack.settled_network(share_network) == "active"
    assert (
        all_servers(stack)[0].status,
        len(stack.ask(share_servers.get, server)["share_network_subnet_ids"]),
    ) == ("active", 2)


def test_work_that_hangs_is_shown_and_given_up(stack: Stack) -> None:
    plan(stack, failing("create_share", "hang"))
    hanging = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
    stack.wait(lambda _: "share_create" in manage(stack, "operations", "list").output)
    stack.wait(
        lambda _: "setup_server" in manage(stack, "operations", "show", _operation(stack)).output
    )
    answer = manage(stack, "operations", "abandon", _operation(stack))
    assert answer.exit_code == 0, answer.output
    assert share(stack, hanging)["status"] == "error"
    assert "The administrator has given the operation up." in told(stack)
    plan(stack)
    assert "given up" in manage(stack, "operations", "list").output
    assert share(stack, hanging)["status"] == "error"
    answer = manage(stack, "operations", "resume", _operation(stack))
    assert answer.exit_code == 0, answer.output
    assert stack.settled_share(hanging) == "available"
    stack.wait(lambda _: "share_create" not in manage(stack, "operations", "list").output)
    for verb in ("show", "resume"):
        assert manage(stack, "operations", verb, "nothing").exit_code == 1


def test_parked_work_says_why(install: Install) -> None:
    stack = install()
    with stack.working():
        plan(stack, failing("create_share", "bug"))
        parked = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
        assert stack.settled_share(parked) == "error"
        stack.wait(lambda _: "parked" in manage(stack, "operations", "list").output)
        assert manage(stack, "operations", "abandon", _operation(stack)).exit_code == 1
        assert network(stack, share(stack, parked)["share_network_id"])["status"] == "active"


def _operation(stack: Stack) -> str:
    lines = manage(stack, "operations", "list").output.splitlines()
    return next(line.split()[0] for line in lines if line.startswith("share_create:"))
