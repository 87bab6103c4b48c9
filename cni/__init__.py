"""Call CNI plugins from Python: a runtime library like libcni, on asyncio.

    from pathlib import Path
    from cni import Attachment, Network, load_default

    network = Network(load_default(Path("/etc/cni/net.d")), bin_dirs=[Path("/opt/cni/bin")], cache_dir=Path("/var/lib/cni"))
    # in a namespace that is there already: ip netns add example
    result = await network.add(Attachment(container_id="example", netns="/run/netns/example"))
    print(result.pod_ips())
    await network.delete(Attachment(container_id="example", netns="/run/netns/example"))

It covers configuration discovery, plugin chains, every version of the result format, the attachment cache and its
garbage collection. It needs root, Linux, and nothing of the rest of this project.
"""

from cni.config import NetworkConfig, load, load_default
from cni.errors import CNIError, InvalidConfig, NoNetwork, PluginError, PluginNotFound, PluginTimeout
from cni.network import Attachment, Network
from cni.result import Result

__all__ = [
    "Attachment",
    "CNIError",
    "InvalidConfig",
    "Network",
    "NetworkConfig",
    "NoNetwork",
    "PluginError",
    "PluginNotFound",
    "PluginTimeout",
    "Result",
    "load",
    "load_default",
]
