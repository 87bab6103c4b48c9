"""The executable after another plugin of the chain, for host ports and masquerading alone: `bridge` without either, then ours."""

import pytest

from cni.native.request import TYPE
from cni.testing.cases.test_host_ports import *
from cni.testing.cases.test_protocol import test_a13_a_chained_plugin_alone, test_a21_every_version
from cni.testing.cases.test_traffic import test_n3_pod_to_outside
from cni.testing.fixtures import network
from cni.testing.implementation import Implementation

from .conftest import PLUGINS, debian
from .test_native_program import program_folder

__all__ = [
    "network",
    "test_a13_a_chained_plugin_alone",
    "test_a21_every_version",
    "test_n3_pod_to_outside",
]

pytestmark = [pytest.mark.node, pytest.mark.asyncio]


@pytest.fixture
def network_implementation(tmp_path_factory: pytest.TempPathFactory) -> Implementation:
    first = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.88.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ours = {"type": TYPE, "ipMasq": True, "capabilities": {"portMappings": True}}
    document = {"cniVersion": "1.0.0", "name": "natest", "plugins": [first, ours]}
    folder = program_folder(tmp_path_factory.mktemp("program") / "bin")
    return Implementation(
        name="bridge, then native", document=document, bin_dirs=(folder, PLUGINS), flaws=debian("", document).flaws
    )
