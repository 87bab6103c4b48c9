"""What clusters chain: bridge, tuning, firewall, portmap, by what is theirs. The rest is tested with bridge."""

from pathlib import Path

import pytest

from cni.testing.cases.test_check import (
    test_k1_right_after_add,
    test_k9_a_host_ports_rules,
    test_k12_it_changes_nothing,
    test_k15_rules_of_a_firewall,
    test_k16_settings,
)
from cni.testing.cases.test_delete import (
    test_d1_everything_goes,
    test_d5_the_namespace_is_gone,
    test_d7_the_result_is_lost,
)
from cni.testing.cases.test_host_ports import test_n5_from_everywhere, test_n15_sctp
from cni.testing.cases.test_parameters import (
    test_a14_a_result_of_an_older_version,
    test_a15_what_the_runtime_asks_for,
    test_a16_values_that_nobody_knows,
    test_v2_version_echoes,
)
from cni.testing.cases.test_protocol import (
    test_a12_a_chained_plugin_passes_on,
    test_a13_a_chained_plugin_alone,
    test_v1_version,
)
from cni.testing.cases.test_traffic import *
from cni.testing.implementation import Implementation
from cni.testing.subject import Subject

from .conftest import PORTMAP, bridge

pytestmark = [pytest.mark.node, pytest.mark.asyncio]


@pytest.fixture
def network_implementation() -> Implementation:
    return bridge(
        {"type": "tuning", "mtu": 1400, "sysctl": {"net.ipv4.tcp_fin_timeout": "61"}},
        {"type": "firewall", "backend": "iptables"},
        PORTMAP,
        capabilities={"mac": True, "ips": True, "ipRanges": True},
        macspoofchk=True,
    )


async def test_a_sysctl_by_the_interfaces_name(network: Subject) -> None:
    """What tuning sets for IFNAME is set for the pod's interface, and found there by CHECK."""
    named = network.with_chain({"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}})
    pod, _ = await named.attach()
    path = Path("/proc/sys/net/ipv4/conf/eth0/arp_filter")
    assert pod.run(path.read_text) == "1\n"
    await named.check(pod)
