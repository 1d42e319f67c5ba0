"""Whether a share server's NFS serves a share to a client. For people who ask why it does not;
nothing is changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address

from abaca.drivers.linux import admission
from abaca.drivers.linux.file_services.nfs.exports import (
    addresses_in,
    export_ids,
    networks_in,
)
from abaca.drivers.linux.layout import ServerLayout
from abaca.values import Finding

_RULES = "look at `openstack share access list`"


def of_export(
    server: ServerLayout, active: Collection[int], export_id: str, address: str, client: str | None
) -> Iterator[Finding]:
    """`active`: the exports that the running server serves, by number."""
    what = f"export /shares/{export_id}"
    number = export_ids(server).get(export_id)
    if number is None:
        yield Finding(what=what, lack="it is not published; start `abaca serve` again")
        return
    if number not in active:
        yield Finding(what=what, lack="the NFS server does not serve it; start `abaca serve` again")
        return
    text = server.export_file(export_id).read_text()
    if address not in (addresses_in(text) or [address]):
        yield Finding(
            what=what,
            lack=f"the share was made to be exported on other subnets than that of {address}",
        )
        return
    yield Finding(what=what, seen=f"is served at {address}")
    if client is None:
        return
    networks = networks_in(text)
    outside = admission.outside([ip_address(client)], networks)
    yield Finding(
        what=f"export for {client}",
        seen="the NFS server lets it in",
        lack=f"the NFS server lets in {', '.join(networks) or 'nobody'} only; {_RULES}"
        if outside
        else None,
    )
