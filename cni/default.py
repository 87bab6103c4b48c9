"""The network of a node that nobody has given one: bridge, host-local addresses, host ports."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cni.config import config_files
from runtimes.linux.files import replace_file

FILE_NAME = "10-nodeagent.conflist"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultNetwork:
    """What tells two such networks on one machine apart. `ipam_dir` None: the IPAM plugin's own default."""

    name: str = "nodeagent"
    bridge: str = "nodeagent0"
    subnet: str = "10.88.0.0/16"
    ipam_dir: Path | None = None

    def conflist(self) -> dict[str, Any]:
        """The network list. Raises ValueError for a subnet that is none."""
        subnet = str(ipaddress.ip_network(self.subnet))
        ipam: dict[str, Any] = {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0" if ":" not in subnet else "::/0"}],
        }
        if self.ipam_dir is not None:
            ipam["dataDir"] = str(self.ipam_dir)
        bridge = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": ipam,
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "1.0.0", "name": self.name, "plugins": [bridge, portmap]}


def write_default(conf_dir: Path, network: DefaultNetwork) -> Path | None:
    """Write the network's file unless the folder holds any configuration; return its path, None for left alone."""
    if config_files(conf_dir):
        return None
    conf_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = conf_dir / FILE_NAME
    replace_file(path, (json.dumps(network.conflist(), indent=2) + "\n").encode(), mode=0o644)
    return path
