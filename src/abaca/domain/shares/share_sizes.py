"""Limits of a share's size by its type, in GiB: the extra specs provisioning:min_share_size,
max_share_size and max_share_extend_size."""

from __future__ import annotations

from collections.abc import Mapping

SMALLEST = "provisioning:min_share_size"
LARGEST = "provisioning:max_share_size"
LARGEST_BY_ADMINISTRATORS = "provisioning:max_share_extend_size"
"""What administrators may extend a share to, in place of LARGEST."""


def complaint(
    size: int, specs: Mapping[str, str], *, extended_by_administrator: bool = False
) -> str | None:
    """Why a share of `size` GiB is not permitted by its type; None if it is."""
    largest = (
        LARGEST_BY_ADMINISTRATORS
        if extended_by_administrator and LARGEST_BY_ADMINISTRATORS in specs
        else LARGEST
    )
    least, most = (
        int(specs[key]) if specs.get(key, "").isdigit() else None for key in (SMALLEST, largest)
    )
    if least is not None and size < least:
        return (
            f"Share size {size} is less than the {least} GiB that the share type asks for "
            f"({SMALLEST})."
        )
    if most is not None and size > most:
        return (
            f"Share size {size} is more than the {most} GiB that the share type permits "
            f"({largest})."
        )
    return None
