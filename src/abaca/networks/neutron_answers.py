"""Neutron's answers, treated as untrusted input: its errors as our exceptions, bounded lists,
validated values.

What is in an answer becomes addresses of interfaces and lines of configuration in the worker, which
is root. Needs the extra `openstack`.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec
import requests
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import HttpException, SDKException
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.subnet import Subnet as NeutronSubnet

from abaca.errors import BackendError, Refused, Unavailable
from abaca.networks.interface import AllocationRequest
from abaca.values import NetworkAllocation, Subnet

_T = TypeVar("_T")

_MOST = 1000  # items of one list
_LONGEST = 500  # characters of what Neutron says, in a message
_NONSENSE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    msgspec.ValidationError,
)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_MTU = range(68, 65_536)


class Conflict(Refused):
    """Neutron's 409. `type` is its name for what is in the way."""

    def __init__(self, message: str, type_: str) -> None:
        super().__init__(message)
        self.type = type_


@contextmanager
def lost_as(lost: type[BackendError]) -> Iterator[None]:
    """Neutron's errors, and invalid answers, as our exceptions. `lost` is the class for those that
    leave open whether it was done: Unavailable when only a question was asked."""
    try:
        yield
    except BackendError:
        raise
    except HttpException as error:
        raise _told(error, lost) from error
    except (SDKException, ClientException, requests.RequestException) as error:
        raise lost(f"Neutron cannot be reached: {_short(error)}") from error
    except _NONSENSE as error:
        raise lost(
            f"Neutron's answer cannot be used: {type(error).__name__}: {_short(error)}"
        ) from error


def all_of(items: Iterable[_T], seconds: float) -> list[_T]:
    """A list that Neutron gives page by page. Raises ValueError when it has no end: too many items,
    or too long until the last one."""
    found: list[_T] = []
    deadline = time.monotonic() + seconds
    for item in items:
        found.append(item)
        if len(found) > _MOST:
            raise ValueError(f"a list of more than {_MOST} items")
        if time.monotonic() > deadline:
            raise ValueError(f"a list that takes more than {seconds:g} s")
    return found


def subnet(found: NeutronSubnet, network: Network) -> Subnet:
    """A subnet with its network. Raises ValueError or msgspec's ValidationError unless everything
    is as it should be."""
    made = msgspec.convert(
        {
            "neutron_net_id": network.id,
            "neutron_subnet_id": found.id,
            "cidr": found.cidr,
            "ip_version": found.ip_version,
            "gateway": found.gateway_ip,
            "mtu": network.mtu or 1500,
            "network_type": network.provider_network_type,
            "segmentation_id": network.provider_segmentation_id,
            "physical_network": network.provider_physical_network,
        },
        Subnet,
    )
    within = ipaddress.ip_network(made.cidr)
    if within.version != made.ip_version or (
        made.gateway and ipaddress.ip_address(made.gateway).version != made.ip_version
    ):
        raise ValueError("a subnet of two IP versions")
    for text in (made.neutron_net_id, made.neutron_subnet_id):
        _require(_ID, text, "an id")
    _require(_NAME, made.network_type, "a kind of network")
    if made.mtu not in _MTU:
        raise ValueError(f"an MTU of {made.mtu}")
    return made


def allocation(port: Port, request: AllocationRequest) -> NetworkAllocation:
    """The address that a port has on the subnet asked for. Raises Refused when it has none there;
    ValueError and others as `subnet` does."""
    for address in port.fixed_ips:
        if address["subnet_id"] == request.neutron_subnet_id:
            given = {
                "id": port.id,
                "ip_address": address["ip_address"],
                "mac_address": port.mac_address,
            }
            made = msgspec.convert(given, NetworkAllocation)
            _require(_ID, made.id, "an id")
            _require(_MAC, made.mac_address, "a MAC address")
            if "%" in made.ip_address:
                raise ValueError("an address with a zone")
            ipaddress.ip_address(made.ip_address)
            return made
    raise Refused(
        f"Share server {request.server_id} has port {port.id}, which is not on the subnet "
        f"{request.neutron_subnet_id}: release it first."
    )


def _require(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:64]!r} as {what}")


def _told(error: HttpException, lost: type[BackendError]) -> BackendError:
    status = error.status_code or 500
    message = f"Neutron answers {status}: {_short(error.details or error)}"
    if status == 409:
        return Conflict(message, _type(error))
    if status in (401, 429):  # refused before anything was done
        return Unavailable(message)
    if status == 408 or status >= 500:
        return lost(message)
    return Refused(message)


def _type(error: HttpException) -> str:
    try:
        return (
            str(error.response.json()["NeutronError"]["type"]) if error.response is not None else ""
        )
    except (ValueError, KeyError, TypeError):
        return ""


def _short(said: object) -> str:
    return str(said)[:_LONGEST]
