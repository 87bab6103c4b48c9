"""Networks of real plugins: what mutants are made of, and the controls that the same checks must pass."""

from typing import Any

_DEFAULT = [{"dst": "0.0.0.0/0"}]
_POOL = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": _DEFAULT}
_BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": _POOL}
_PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
_DUAL_STACK = {
    "type": "host-local",
    "dataDir": "${FOLDER}/ipam",
    "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
    "routes": [*_DEFAULT, {"dst": "::/0"}],
}


def _network(*plugins: dict[str, Any], version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"cniVersion": version, "name": "natest", "plugins": list(plugins), **more}


# name -> configuration. Of Debian's plugins, but for "native": the project's own program, for what is new in 1.1.0 and for IPv6.
NETWORKS: dict[str, dict[str, Any]] = {
    "bridge": _network(_BRIDGE),
    "masquerade": _network({**_BRIDGE, "ipMasq": True}),
    "ports": _network(_BRIDGE, _PORTMAP),
    "spoof check": _network({**_BRIDGE, "macspoofchk": True}),
    "shaped": _network(_BRIDGE, {"type": "bandwidth", "capabilities": {"bandwidth": True}}),
    "tuned": _network(_BRIDGE, {"type": "tuning", "mtu": 1400}),
    "firewall": _network(_BRIDGE, {"type": "firewall", "backend": "iptables"}),
    "native": _network(
        {
            **_BRIDGE,
            "type": "nodeagent-cni",
            "ipam": _DUAL_STACK,
            "capabilities": {"portMappings": True, "mac": True},
        },
        version="1.1.0",
    ),
    # for what is odd
    "0.3.1": _network(_BRIDGE, version="0.3.1"),
    "no CHECK": _network(_BRIDGE, disableCheck=True),
    "layer 2": _network({"type": "bridge", "bridge": "cni0", "ipam": {}}, {"type": "tuning", "mtu": 1400}),
}
