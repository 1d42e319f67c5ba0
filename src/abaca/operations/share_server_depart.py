"""Take a share server down on this host, because it goes to another one. Its data stay."""

from __future__ import annotations

from abaca.domain.server_moves import share_server_moves
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(on_failure=share_server_moves.stays)
def share_server_depart(share_server_id: str, number: str, target: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        move = tx(share_server_moves.going_on, share_server_id, number)
        if move is None:
            return
        effect(serving.current().driver(move.host).leave_server, share_server_id)
        tx(share_server_moves.departed, share_server_id, number, target)
