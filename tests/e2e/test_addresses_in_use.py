"""Another machine on a flat network has an address of the pool: by the ordinary command, the
service and real frames, nobody gets it, and the project and the log are told."""

from __future__ import annotations

import pytest

from tests.contracts.drivers.wired_hosts import Machine
from tests.e2e.test_network_tutorials import FLAT, played
from tests.e2e.tutorial_pages import FIRST_LINES, a_reader

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("two shares on a network of switches in user space"),
    pytest.mark.timeout(1200),
]

USED, FREE = "192.0.2.200", "192.0.2.201"
CONFIGURE = """
cat > abaca.conf <<END
[linux]
physical_networks = office:eth1
END
"""
SHARES = f"""
export OS_CLIENT_CONFIG_FILE=/var/lib/abaca/clouds.yaml OS_CLOUD=abaca
openstack network create --provider-network-type flat --provider-physical-network office office
openstack subnet create --network office --subnet-range 192.0.2.0/24 \\
    --allocation-pool start={USED},end={FREE} office-v4
openstack share type create default true
for NAME in papers more; do
    openstack share network create --name $NAME --neutron-net-id office \\
        --neutron-subnet-id office-v4
    openstack share create --name $NAME --share-type default --share-network $NAME NFS 1
    until openstack share show $NAME -f value -c status | grep -E 'available|error'; do
        sleep 1
    done
    echo "$NAME: $(openstack share show $NAME -f value -c status)"
done
echo "papers at $(openstack share export location list papers -f value -c Path)"
openstack share message list -f value -c 'User Message'
"""


def test_an_address_of_another_machine_is_left_alone() -> None:
    """The pool has two. The first server gets the one that is free, whichever it tries first; the
    second one is left with the one that is used."""
    with a_reader("desk") as reader, played(reader, FLAT):
        Machine(reader.clients["desk"]).configure("eth0", f"{USED}/24")
        reader.follows(FIRST_LINES + CONFIGURE)
        with reader.serving("abaca serve --config-file abaca.conf") as log:
            said = reader.follows(FIRST_LINES + SHARES, log)
            logged = log.read_text()
    assert f"papers at {FREE}:/" in said and "papers: available" in said, said
    assert "more: error" in said, said
    assert f"Other machines on the network already use {USED}" in said, said
    assert f"already uses its new address {USED}" in logged, logged
