"""macvlan on the host's uplink, in version 0.3.1: no CHECK, nothing on the host but what the kernel has."""

import pytest

from cni.testing.cases.test_add import *
from cni.testing.cases.test_concurrency import test_p3_a_pool_that_is_used_up, test_p9_killed_in_the_middle_of_del
from cni.testing.cases.test_delete import *
from cni.testing.cases.test_traffic import *
from cni.testing.implementation import Implementation

from .conftest import debian

pytestmark = [pytest.mark.node, pytest.mark.asyncio]

IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]]}


@pytest.fixture
def network_implementation() -> Implementation:
    document = {"cniVersion": "0.3.1", "name": "natest", "type": "macvlan", "master": "eth0", "ipam": IPAM}
    return debian("macvlan", document, {"N2": "who is behind macvlan does not reach the host that it is on"})
