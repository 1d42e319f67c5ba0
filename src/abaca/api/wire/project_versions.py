"""The version of a project over the wire: an extension, which Manila does not have."""

from __future__ import annotations

from abaca.api.wire.fields import Field, View
from abaca.api.wire.schemas import NUMBER, TEXT

PROJECT_VERSION = View(
    "ProjectVersion",
    Field("project_id", type=TEXT),
    Field("version", type=NUMBER),
)
