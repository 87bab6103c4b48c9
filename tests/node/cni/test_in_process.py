"""A network that is an object of this process, by what it is made of: the verbs alone, no programs to be seen."""

from pathlib import Path

import pytest

from cni.config import NetworkConfig
from cni.network import Network
from cni.testing.cases.test_concurrency import test_p3_a_pool_that_is_used_up, test_p8_given_up_in_the_middle
from cni.testing.cases.test_delete import test_d7_the_result_is_lost
from cni.testing.cases.test_gc_and_status import test_g2_a_pod_that_was_lost
from cni.testing.cases.test_protocol import test_v1_version
from cni.testing.implementation import Implementation, Verbs

from .conftest import PLUGINS, debian

pytestmark = [pytest.mark.node, pytest.mark.asyncio]


def opened(config: NetworkConfig, memory: Path) -> Verbs:
    return Network(config, bin_dirs=(PLUGINS,), cache_dir=memory)


@pytest.fixture
def network_implementation() -> Implementation:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]]}
    document = {"cniVersion": "1.0.0", "name": "natest", "type": "macvlan", "master": "eth0", "ipam": ipam}
    installed = debian("in process", document)
    return Implementation(name="in process", document=document, make=opened, flaws=installed.flaws)
