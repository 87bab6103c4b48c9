"""The network of a node that nobody has given one: bridge, addresses as host-local keeps them, host ports."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cni.config import NetworkConfig, config_files, parse
from cni.native.request import TYPE
from runtimes.linux.files import replace_file

FILE_NAME = "10-nodeagent.conflist"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultNetwork:
    """What tells two such networks on one machine apart. `subnet`: one, or one of each family with a comma between.

    `ipam_dir` None: /var/lib/cni/networks. `native`: by the plugin of this package, else by the programs bridge, host-local and
    portmap. Either goes on with the other's bridge and addresses.
    """

    name: str = "nodeagent"
    bridge: str = "nodeagent0"
    subnet: str = "10.88.0.0/16"
    ipam_dir: Path | None = None
    native: bool = True

    def conflist(self) -> dict[str, Any]:
        """The network list. Raises ValueError for a subnet that is none."""
        subnets = subnets_of(self.subnet)
        ipam: dict[str, Any] = {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}] for subnet in subnets],
            "routes": [{"dst": "0.0.0.0/0" if ":" not in subnet else "::/0"} for subnet in subnets],
        }
        if self.ipam_dir is not None:
            ipam["dataDir"] = str(self.ipam_dir)
        first = {
            "type": TYPE if self.native else "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": ipam,
        }
        ports = {"capabilities": {"portMappings": True}}
        plugins = [first | ports] if self.native else [first, {"type": "portmap", **ports}]
        return {"cniVersion": "1.1.0" if self.native else "1.0.0", "name": self.name, "plugins": plugins}

    def config(self) -> NetworkConfig:
        """The same, read."""
        return parse(json.dumps(self.conflist()).encode())


def subnets_of(text: str) -> list[str]:
    """Raises ValueError."""
    found = [ipaddress.ip_network(part.strip()) for part in text.split(",")]
    if len({network.version for network in found}) < len(found):
        raise ValueError(f"{text!r} has two subnets of one family")
    return [str(network) for network in found]


def write_default(conf_dir: Path, network: DefaultNetwork) -> Path | None:
    """Write the network's file unless the folder holds any configuration; return its path, None for left alone."""
    if config_files(conf_dir):
        return None
    conf_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = conf_dir / FILE_NAME
    replace_file(path, (json.dumps(network.conflist(), indent=2) + "\n").encode(), mode=0o644)
    return path
