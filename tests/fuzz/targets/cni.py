"""What CNI plugins print, what their configurations say, and what the cache on the disk holds."""

import base64
from typing import Any

from cni.cache import ResultCache
from cni.config import parse
from cni.errors import CNIError, InvalidConfig
from cni.plugin import _failure
from cni.result import decode
from runtimes.linux.process import Completed
from tests.fuzz import scratch
from tests.fuzz.contract import Target
from tests.fuzz.grammar import near

_RESULT: Any = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "aa:bb:cc:dd:ee:ff", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400}],
    "dns": {"nameservers": ["10.1.0.1"], "domain": "a", "search": ["b"], "options": ["c"]},
}
_OLD: Any = {
    "cniVersion": "0.2.0",
    "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
}
_ERROR: Any = {"cniVersion": "1.0.0", "code": 11, "msg": "try again", "details": "later"}
_NETWORK: Any = {
    "cniVersion": "1.0.0",
    "cniVersions": ["1.1.0"],
    "name": "net",
    "disableCheck": "true",
    "plugins": [{"type": "bridge", "capabilities": {"portMappings": True}, "ipam": {"type": "host-local"}}],
}
_CACHED: Any = {
    "kind": "cniCacheV1",
    "containerId": "c1",
    "config": base64.b64encode(b"{}").decode(),
    "ifName": "eth0",
    "networkName": "net",
    "netns": "/run/netns/x",
    "cniArgs": [["K8S_POD_NAME", "p"]],
    "capabilityArgs": {"portMappings": []},
    "result": _RESULT,
}


def _result(data: bytes) -> None:
    result = decode(data, "1.0.0")
    result.pod_ips()
    for version in ("0.1.0", "0.4.0", "1.1.0"):
        result.to_wire(version)


def _cache(data: bytes) -> None:
    path = scratch.file("cni/results/net-c1-eth0", data)
    cache = ResultCache(path.parents[1])
    cache.read("net", "c1", "eth0")
    list(cache.of_network("net"))
    list(cache.of_container("c1"))


TARGETS = (
    Target(
        name="cni-result",
        run=_result,
        allowed=(CNIError,),
        inputs=near(_RESULT, _OLD),
        words=(b"/32", b"::ffff:1.2.3.4/96"),
    ),
    Target(
        name="cni-error",
        run=lambda data: str(_failure("p", "ADD", Completed(argv=("x",), returncode=1, stdout=data, stderr=b""))),
        inputs=near(_ERROR),
    ),
    Target(name="cni-config", run=parse, allowed=(InvalidConfig,), inputs=near(_NETWORK, _NETWORK["plugins"][0])),
    Target(name="cni-cache", run=_cache, inputs=near(_CACHED)),
)
