"""The tests of the suite about security services. They are part of `DriverConformance`; each is
skipped without its capability."""

from __future__ import annotations

from contextlib import AbstractContextManager

import msgspec
import pytest

from abaca.drivers.conformance.stage import Stage, assert_well_formed, forgotten, need, twice
from abaca.drivers.interface import ShareDriver
from abaca.errors import Refused
from abaca.values import NetworkInfo, SecurityService, ShareServer


class SecurityServiceConformance:
    """What a driver that takes security services must do."""

    def directory(
        self, driver: ShareDriver, entry: NetworkInfo
    ) -> AbstractContextManager[list[SecurityService]]:
        """While it is entered: two security services of one type, with passwords, that a server
        with an address on the entry's subnet can join."""
        pytest.skip("the driver's author gives no security services to join")

    def test_a_server_that_joins_is_set_up_again(self, stage: Stage) -> None:
        server = stage.described()
        with self.directory(stage.driver, server.network_info[0]) as (service, _):
            joined = joining(server, service)
            details = twice(lambda: stage.driver.setup_server(server.id, joined.network_info))
            assert service.password and not any(
                service.password in text for text in (*details, *details.values())
            )
            twice(lambda: stage.driver.ensure_server(forgotten(joined), []))
            assert_well_formed(stage.share(joined).export_locations, joined)

    def test_what_cannot_be_joined_is_refused_and_leaves_nothing(self, stage: Stage) -> None:
        server = stage.described()
        senseless = SecurityService(
            id="2cd9a6d2-8a6a-4ff3-a20d-5e1e8d1e9f05",
            type="nis",
            server="10.0.0.1",
            password="never shown",
        )
        for _ in range(2):
            with pytest.raises(Refused) as refusal:
                stage.driver.setup_server(server.id, joining(server, senseless).network_info)
            assert "never shown" not in refusal.value.message
        stage.driver.teardown_server(server.id, {})
        stage.driver.setup_server(server.id, server.network_info)

    @pytest.mark.parametrize("exchanged", [False, True], ids=["added", "exchanged"])
    def test_a_server_in_use_changes_its_security_service(
        self, stage: Stage, exchanged: bool
    ) -> None:
        driver = stage.driver
        need(driver.capabilities.security_service_update_support, "security_service_update_support")
        described = stage.described()
        with self.directory(driver, described.network_info[0]) as (first, second):
            before = joining(described, first) if exchanged else described
            server = stage.now(
                msgspec.structs.replace(
                    before, backend_details=driver.setup_server(before.id, before.network_info)
                )
            )
            share = stage.share(server)
            wanted, current = joining(server, second), first if exchanged else None
            assert (
                twice(
                    lambda: driver.check_update_share_server_security_service(
                        wanted, [share], second, current
                    )
                )
                is True
            )
            details = twice(
                lambda: driver.update_share_server_security_service(
                    wanted, [share], second, current
                )
            )
            assert second.password and not any(second.password in text for text in details.values())
            # The one of before may be gone by now, and a crash may have lost everything that was
            # known.
            driver.update_share_server_security_service(forgotten(wanted), [share], second, None)
            driver.ensure_server(wanted, [share])
            assert driver.create_share(share, wanted) == share.export_locations

    def test_a_denied_change_leaves_everything_as_it_was(self, stage: Stage) -> None:
        driver = stage.driver
        need(driver.capabilities.security_service_update_support, "security_service_update_support")
        server = stage.server()
        share = stage.share(server)
        senseless = SecurityService(
            id="2cd9a6d2-8a6a-4ff3-a20d-5e1e8d1e9f05", type="nis", server="10.0.0.1"
        )
        wanted = joining(server, senseless)
        try:
            assert (
                driver.check_update_share_server_security_service(wanted, [share], senseless, None)
                is False
            )
        except Refused as refusal:
            assert refusal.message
        driver.ensure_server(server, [share])
        assert driver.create_share(share, server) == share.export_locations


def joining(server: ShareServer, *services: SecurityService) -> ShareServer:
    """The server as it shall be with these, and only these."""
    entries = [
        msgspec.structs.replace(entry, security_services=list(services))
        for entry in server.network_info
    ]
    return msgspec.structs.replace(server, network_info=entries)
