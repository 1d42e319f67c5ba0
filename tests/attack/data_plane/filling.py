"""A client that writes for as long as it can."""

from __future__ import annotations

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from tests.attack.data_plane.floods import MIB, folder, lived
from tests.attack.data_stage import DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, patiently

SIZE_MIB = 1024  # of the share


@attack("filling a share", order=1)
def filling(stage: DataStage, force: Force) -> Seen:
    """With a little more than its size; short: as much as there is time for."""
    pid, written, said = stage.ganesha(), 0, "nothing refused"
    most = SIZE_MIB + 64 if force.count >= SIZE_MIB * 4 else 128
    with Client40(stage.attacker, stage.address(), patience=60) as client:
        file = patiently(
            lambda: client.open(
                client.handle_of(folder(path(stage.open_share))), "filling", create=True
            )
        )
        try:
            for number in range(most):
                client.write(file, number * MIB, bytes(MIB), ops.UNSTABLE)
                written += 1
        except Nfs4Error as error:
            said = error.name
    lived_on = lived(stage, pid, f"{written} MiB written, then {said}")
    return Seen(lived_on.holds and written <= SIZE_MIB, lived_on.what)
