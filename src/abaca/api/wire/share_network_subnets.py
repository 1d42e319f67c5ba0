"""Bodies about share network subnets; how one is shown is beside the share networks that list
them."""

from __future__ import annotations

from abaca.api.wire.bodies import Body, Identifier


class SubnetCreate(Body):
    """`{"share-network-subnet": …}` of a new subnet."""

    neutron_net_id: Identifier | None = None
    neutron_subnet_id: Identifier | None = None
    availability_zone: Identifier | None = None
    metadata: dict[str, str] | None = None  # since 2.78


class SubnetCheck(Body):
    """Arguments of the action share_network_subnet_create_check."""

    neutron_net_id: Identifier | None = None
    neutron_subnet_id: Identifier | None = None
    availability_zone: Identifier | None = None
    reset_operation: bool | None = None


class DeleteCheck(Body):
    """Arguments of the action share_network_subnet_delete_check."""

    reset_operation: bool | None = None
