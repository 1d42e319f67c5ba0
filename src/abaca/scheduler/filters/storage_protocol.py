"""The pool must serve the protocol of the share; a share group demands none. Pools report theirs as
text joined by `_` (`NFS_CIFS`) or as a list."""

from __future__ import annotations

from abaca.scheduler.specs import reported
from abaca.values import PlacementRequest, Pool

NAME = "storage_protocol"


def why_not(request: PlacementRequest, pool: Pool) -> str | None:
    if request.share_proto is None:
        return None
    told = reported(pool, NAME)
    texts = told if isinstance(told, list | tuple) else [told or ""]
    served = {protocol for text in texts for protocol in str(text).upper().split("_")}
    wanted = request.share_proto.upper()
    return None if wanted in served else f"does not serve {wanted}"


def public_reason(request: PlacementRequest) -> str:
    return f"do not serve {(request.share_proto or '').upper()}"
