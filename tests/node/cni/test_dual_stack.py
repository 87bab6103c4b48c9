"""IPv4 and IPv6 by bridge: a few checks, as its plugin waits for duplicate address detection, two seconds a pod."""

import pytest

from cni.testing.cases.test_add import (
    test_a2_the_interface_is_up_with_every_address,
    test_a5_routes_are_as_reported,
    test_a22_addresses_can_be_used_at_once,
)
from cni.testing.cases.test_traffic import test_n1_pod_to_pod, test_n2_pod_and_host
from cni.testing.implementation import Implementation

from .conftest import debian

pytestmark = [pytest.mark.node, pytest.mark.asyncio]


@pytest.fixture
def network_implementation() -> Implementation:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    document = {
        "cniVersion": "1.0.0",
        "name": "natest",
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipam": ipam,
    }
    return debian("dual stack", document)
