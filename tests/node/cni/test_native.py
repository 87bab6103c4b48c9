"""Every check of cni/testing on the native network: in this process, IPv4 and IPv6, in version 1.1.0."""

from pathlib import Path
from typing import Any

import pytest

from cni.config import NetworkConfig
from cni.native.in_process import InProcess
from cni.native.packet_filter import choose_rules
from cni.native.request import TYPE
from cni.network import Network
from cni.testing.implementation import Implementation
from cni.testing.suite import *

from .conftest import PLUGINS

pytestmark = [pytest.mark.node, pytest.mark.asyncio]

DUAL_STACK: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "natest",
    "plugins": [
        {
            "type": TYPE,
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": "${FOLDER}/ipam",
                "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
            "capabilities": {"portMappings": True, "ips": True, "ipRanges": True, "mac": True, "dns": True},
        }
    ],
}


def in_process(config: NetworkConfig, folder: Path) -> Network:
    return Network(config, bin_dirs=(PLUGINS,), cache_dir=folder, in_process={TYPE: InProcess(choose_rules)})


@pytest.fixture
def network_implementation() -> Implementation:
    return Implementation(name="native", document=DUAL_STACK, make=in_process, timed_rounds=5)
