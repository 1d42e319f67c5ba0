"""What is asked for when a share is made."""

from __future__ import annotations

from abaca.values import Value


class ShareRequest(Value):
    """A requested share. `size` in GiB; `share_type` and `availability_zone` by id or name, None:
    the default, any.

    With `snapshot_id`, omitted values are those of the snapshot's share.
    """

    share_proto: str
    size: int
    name: str | None = None
    description: str | None = None
    share_type: str | None = None
    share_network_id: str | None = None
    availability_zone: str | None = None
    is_public: bool = False
    metadata: dict[str, str] = {}
    snapshot_id: str | None = None
    goes_by_type_zones: bool = True
    """Whether the zones that the share type names matter."""
    share_group_id: str | None = None
    same_host: tuple[str, ...] = ()
    """Shares on whose host it is to be."""
    different_host: tuple[str, ...] = ()
    """Shares on whose host it must not be."""
    only_host: str | None = None
    """The only pool allowed, host@backend#pool."""
    mount_point_name: str | None = None
