"""Requests whose records fill the database's disk."""

from __future__ import annotations

from tests.attack.registry import Force, Seen
from tests.attack.work import on_each_database
from tests.attack.work_stage import Stage

RULES = 100
MOST_BYTES = 2048  # a change; 360 kB were seen


@on_each_database("rule changes on a share with many rules")
def rule_changes(stage: Stage, force: Force) -> Seen:
    """Each wrote the share and all its rules into the records of work, twice."""
    attacker = stage.attacker
    share = attacker.share(attacker.share_network("10.5.0.0/24"))
    attacker.until(share, "available")

    def change(number: int) -> None:
        """One rule more."""
        body = {
            "allow_access": {
                "access_type": "ip",
                "access_to": f"10.9.{number // 250}.{number % 250}",
                "access_level": "rw",
            }
        }
        assert attacker("POST", f"/v2/shares/{share}/action", body)[0] == 200

    for number in range(RULES):
        change(number)
    before, changes = stage.stored_bytes(), min(150, force.count // 10)
    for number in range(RULES, RULES + changes):
        change(number)
    each = max(stage.stored_bytes() - before, 0) // changes
    return Seen(
        each < MOST_BYTES,
        f"{changes} changes of a share with {RULES} rules and more; {each} bytes are recorded of "
        "a change",
    )
