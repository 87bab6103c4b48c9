"""A network for a plugin whose author has no configuration at hand, with addresses of both families."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cni import plugin, version
from cni.testing.host import UPLINK

_VERSION_SECONDS: Final = 10.0
_MOST_SHOWN: Final = 200
IPAM: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "type": "host-local",
        "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
)
_BRIDGE: Final[Mapping[str, Any]] = MappingProxyType(
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": dict(IPAM)}
)
# what these need to be of use; any other plugin is given addresses by host-local
_INTERFACES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "bridge": _BRIDGE,
        "ptp": {"ipMasq": True, "ipam": dict(IPAM)},
        "macvlan": {"master": UPLINK, "mode": "bridge", "ipam": dict(IPAM)},
        "ipvlan": {"master": UPLINK, "mode": "l2", "ipam": dict(IPAM)},
    }
)
# what is chained after an interface
_META: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "portmap": {"capabilities": {"portMappings": True}},
        "bandwidth": {"capabilities": {"bandwidth": True}},
        "tuning": {"capabilities": {"mac": True}, "mtu": 1400},
        "firewall": {},
        "sbr": {},
    }
)
# who gives addresses by a configuration that is another for every place
_IPAMS: Final = frozenset({"static", "dhcp", "whereabouts"})


def network_of(name: str, bin_dirs: Sequence[Path]) -> dict[str, Any]:
    """In the latest version that its plugins say they know. Raises ValueError where they cannot be asked."""
    plugins = plugins_of(name)
    known = [set(versions_of(program_of(part["type"], bin_dirs))) for part in plugins]
    newest = version.highest_known(set.intersection(*known))
    if newest is None:
        types = ", ".join(part["type"] for part in plugins)
        raise ValueError(f"{types}: no version of CNI that all name and is known ({', '.join(version.KNOWN)})")
    return {"cniVersion": newest, "name": f"test-{name}", "plugins": plugins}


def program_of(name: str, bin_dirs: Sequence[Path]) -> Path:
    """Raises ValueError."""
    program = plugin.find(name, bin_dirs) if name and "/" not in name else None
    if program is None:
        raise ValueError(f"no program {name!r} in {':'.join(map(str, bin_dirs))}")
    return program


def plugins_of(name: str) -> list[dict[str, Any]]:
    """The chain in which a plugin of that type is tested. Raises ValueError for one that needs what nobody can guess."""
    if name in _IPAMS:
        raise ValueError(f"{name} needs a configuration of its own: --conf FILE")
    if name in _META:
        return [dict(_BRIDGE), {"type": name, **_META[name]}]
    if name == IPAM["type"]:
        return [dict(_BRIDGE)]
    return [{"type": name, **_INTERFACES.get(name, {"ipam": dict(IPAM)})}]


def versions_of(program: Path) -> list[str]:
    """What it says that it supports. Blocks. Raises ValueError, one line, for what is no plugin."""
    try:
        done = subprocess.run(
            [str(program)],
            input=json.dumps({"cniVersion": version.CURRENT}).encode(),
            env={"PATH": os.environ.get("PATH", os.defpath), "CNI_COMMAND": "VERSION"},
            capture_output=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except OSError as error:
        raise ValueError(f"{program} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise ValueError(f"{program} is no CNI plugin: no answer to VERSION in {_VERSION_SECONDS:g} s") from None
    try:
        return [str(each) for each in json.loads(done.stdout)["supportedVersions"]]
    except (ValueError, KeyError, TypeError):
        said = " ".join((done.stdout or done.stderr).decode(errors="replace").split())[:_MOST_SHOWN]
        raise ValueError(f"{program} is no CNI plugin: to VERSION it answers {said!r}") from None
