"""Which security services share servers of a fake back end join."""

from __future__ import annotations

from collections.abc import Sequence

from abaca.errors import Refused
from abaca.values import NetworkInfo, SecurityService


def security_services(network_info: Sequence[NetworkInfo]) -> list[SecurityService]:
    """Each once. Raises Refused when one could not be joined."""
    services = {
        service.id: service for entry in network_info for service in entry.security_services
    }
    for service in services.values():
        if service.type not in ("ldap", "kerberos", "active_directory"):
            raise Refused(
                f"Security services of type {service.type} are not known.", is_public=True
            )
        if not (service.server or service.dns_ip):
            raise Refused(
                f"The security service {service.id} needs a server or a dns_ip.", is_public=True
            )
        if service.type != "ldap" and not service.domain:
            raise Refused(f"The security service {service.id} needs a domain.", is_public=True)
    return list(services.values())
