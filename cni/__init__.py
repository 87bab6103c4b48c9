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

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# What is asked for is imported then: a program that is run once a pod (cni/native) has no use for an event loop.
_PLACES = {
    "cni.config": ("NetworkConfig", "load", "load_default"),
    "cni.errors": ("CNIError", "InvalidConfig", "NoNetwork", "PluginError", "PluginNotFound", "PluginTimeout"),
    "cni.network": ("Attachment", "Network"),
    "cni.result": ("Result",),
}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
