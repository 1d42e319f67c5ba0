"""What local networks are on the wire: Neutron's provider attributes, by its rules. An
administrator may name the wire; all others get a free one of the configured ranges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Connection

from abaca.config import plugin_settings
from abaca.db.tables import local_networks
from abaca.errors import Conflict, Invalid, ServiceDown
from abaca.networks.segment_ranges import (
    ANY,
    FLAT,
    LOCAL,
    OPTIONS,
    PHYSICAL_NETWORK,
    TYPES,
    VLAN,
    VLAN_IDS,
    VNIS,
    VXLAN,
    ids,
)
from abaca.networks.segment_ranges import SegmentRanges as SegmentRanges  # for the API, too

DEFAULT_RANGES = SegmentRanges.of({})
_LOOKED_AT_FIRST = 16


class Segment(NamedTuple):
    """One wire, as rows have it."""

    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None


class Choice(NamedTuple):
    """Wires of which a network may get one: those with ids in `ranges`, or, without any, the only
    one of its kind."""

    network_type: str
    physical_network: str | None = None
    ranges: tuple[range, ...] = ()

    @property
    def named(self) -> Segment | None:
        """The wire, where there is only one to choose."""
        if sum(map(len, self.ranges)) > 1:
            return None
        return Segment(
            self.network_type, self.physical_network, self.ranges[0][0] if self.ranges else None
        )


def configured(conf: cfg.ConfigOpts) -> SegmentRanges:
    """The ranges that the section of the plug-in `local` says. Raises Unavailable for options that
    make no sense."""
    return SegmentRanges.of(plugin_settings(conf, "local", OPTIONS))


def choices(
    network_type: str | None,
    physical_network: str | None,
    segmentation_id: int | None,
    ranges: SegmentRanges,
) -> list[Choice]:
    """The wires that a request allows, the ones to take first first. Raises Invalid for provider
    attributes that do not go together."""
    if network_type is None:
        if physical_network is not None or segmentation_id is not None:
            raise Invalid(
                "provider:physical_network and provider:segmentation_id need provider:network_type."
            )
        return [choice for each in ranges.tenant_types for choice in _of_type(each, ranges)]
    if network_type not in TYPES:
        raise Invalid(
            f"provider:network_type '{network_type}' is not supported, only {', '.join(TYPES)}."
        )
    if physical_network is not None and not PHYSICAL_NETWORK.fullmatch(physical_network):
        raise Invalid(
            "provider:physical_network must have at most 64 letters, digits, '.', '-' and '_'."
        )
    if network_type == FLAT:
        return [_flat(physical_network, segmentation_id, ranges)]
    if network_type == VLAN:
        return _vlan(physical_network, segmentation_id, ranges)
    _refuse(network_type, "provider:physical_network", physical_network)
    if network_type == LOCAL:
        _refuse(LOCAL, "provider:segmentation_id", segmentation_id)
    elif segmentation_id is not None:
        return [Choice(VXLAN, None, (_only(segmentation_id, VNIS),))]
    return _of_type(network_type, ranges)


def free(conn: Connection, choice: Choice) -> Segment | None:
    """A wire of those that no network has, at random where there are several; None: there is
    none. Somebody else may get it before it is stored."""
    kind, physical_network, ranges = choice
    if kind == LOCAL:
        return Segment(LOCAL)
    taken = sa.select(local_networks.c.segmentation_id).where(
        local_networks.c.network_type == kind,
        local_networks.c.physical_network == physical_network,
    )
    if not ranges:
        return None if conn.execute(taken).first() else Segment(kind, physical_network)
    candidates = ids(ranges)
    first = list(islice(candidates, _LOOKED_AT_FIRST))
    used = set(conn.scalars(taken.where(local_networks.c.segmentation_id.in_(first))))
    found = next((each for each in first if each not in used), None)
    if found is None:  # nearly all are taken: look at all
        used = set(conn.scalars(taken))
        found = next((each for each in candidates if each not in used), None)
    return None if found is None else Segment(kind, physical_network, found)


def none_left(wanted: Sequence[Choice]) -> Conflict | ServiceDown:
    """What is said when all those wires are taken."""
    named = wanted[0].named if len(wanted) == 1 else None
    if named is None:
        return ServiceDown(
            "Unable to create the network: no segmentation id is free in the ranges that are "
            "configured for it."
        )
    if named.network_type == FLAT:
        what = f"physical network {named.physical_network} has a flat network already"
    elif named.network_type == VLAN:
        what = (
            f"VLAN {named.segmentation_id} of physical network {named.physical_network} is in use"
        )
    else:
        what = f"VXLAN id {named.segmentation_id} is in use"
    return Conflict(f"Unable to create the network: {what}.")


def _of_type(network_type: str, ranges: SegmentRanges) -> list[Choice]:
    if network_type == VLAN:
        return [Choice(VLAN, name, vlans) for name, vlans in ranges.vlan.items() if vlans]
    return [Choice(network_type, None, ranges.vni if network_type == VXLAN else ())]


def _flat(
    physical_network: str | None, segmentation_id: int | None, ranges: SegmentRanges
) -> Choice:
    _refuse(FLAT, "provider:segmentation_id", segmentation_id)
    if physical_network is None:
        raise Invalid("A flat network needs provider:physical_network.")
    if not ranges.flat & {physical_network, ANY}:
        raise Invalid(
            f"Physical network {physical_network} is not configured for flat networks "
            "(flat_networks)."
        )
    return Choice(FLAT, physical_network)


def _vlan(
    physical_network: str | None, segmentation_id: int | None, ranges: SegmentRanges
) -> list[Choice]:
    if physical_network is None:
        if segmentation_id is not None:
            raise Invalid("provider:segmentation_id of a VLAN needs provider:physical_network.")
        return _of_type(VLAN, ranges)
    if not ranges.vlan.keys() & {physical_network, ANY}:
        raise Invalid(
            f"Physical network {physical_network} is not configured for VLAN networks "
            "(network_vlan_ranges)."
        )
    if segmentation_id is not None:
        return [Choice(VLAN, physical_network, (_only(segmentation_id, VLAN_IDS),))]
    if not ranges.vlan.get(physical_network):
        raise Invalid(
            f"provider:segmentation_id is needed: no VLAN ids of physical network "
            f"{physical_network} are configured (network_vlan_ranges)."
        )
    return [Choice(VLAN, physical_network, ranges.vlan[physical_network])]


def _only(segmentation_id: int, within: range) -> range:
    if segmentation_id not in within:
        raise Invalid(
            f"provider:segmentation_id must be between {within[0]} and {within[-1]}, not "
            f"{segmentation_id}."
        )
    return range(segmentation_id, segmentation_id + 1)


def _refuse(network_type: str, attribute: str, value: object) -> None:
    if value is not None:
        raise Invalid(f"A {network_type} network has no {attribute}.")
