"""Operations (work of workers) over the wire: an extension, which Manila does not have."""

from __future__ import annotations

from abaca.api.wire.fields import Field, View, time_field
from abaca.api.wire.schemas import NUMBER, TEXT

OPERATION = View(
    "Operation",
    Field("id", type=TEXT),
    Field("name", type=TEXT),
    Field("about", type=TEXT),
    Field("state", type=TEXT),
    Field("worker_host", type=TEXT),
    Field("project_id", type=TEXT),
    time_field("since"),
    Field("attempts", type=NUMBER),
    Field("last_step"),
    Field("reason"),
    Field("request_id", type=TEXT),
)
