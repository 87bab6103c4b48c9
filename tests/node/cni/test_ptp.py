"""ptp in version 0.4.0: no bridge, a route for each pod. What each version has in common is tested with bridge."""

import pytest

from cni.testing.cases.test_add import *
from cni.testing.cases.test_check import test_k1_right_after_add, test_k6_a_route
from cni.testing.cases.test_delete import *
from cni.testing.cases.test_traffic import *
from cni.testing.implementation import Implementation

from .conftest import debian

pytestmark = [pytest.mark.node, pytest.mark.asyncio]

IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}


@pytest.fixture
def network_implementation() -> Implementation:
    return debian("ptp", {"cniVersion": "0.4.0", "name": "natest", "type": "ptp", "ipMasq": True, "ipam": IPAM})
