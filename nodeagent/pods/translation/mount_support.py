"""What a runtime can mount, asked of it when a container wants something that not every runtime can."""

import re

from proto import cri_pb2 as cri
from runtimes.registry import Runtime

# The first releases that mount images; the CRI has no other way to tell. Other runtimes are taken at their word.
_FIRST_WITH_IMAGE_VOLUMES = {"containerd": (2, 1), "cri-o": (1, 31)}
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


async def recursive_read_only(runtime: Runtime) -> bool:
    """Whether read-only mounts can be read-only all the way down. Raises RuntimeFault."""
    status = await runtime.service.status(cri.StatusRequest())
    handlers = {handler.name: handler.features for handler in status.runtime_handlers}
    features = handlers.get(runtime.cri_handler) or handlers.get("")
    return features is not None and features.recursive_read_only_mounts


async def image_volume_refusal(runtime: Runtime) -> str:
    """Why the runtime cannot mount images; empty: it can. Raises RuntimeFault."""
    version = await runtime.service.version(cri.VersionRequest())
    name, found = version.runtime_name.lower(), _VERSION.match(version.runtime_version)
    first = _FIRST_WITH_IMAGE_VOLUMES.get(name)
    if first is None or found is None or (int(found[1]), int(found[2])) >= first:
        return ""
    return (
        f"image volumes are not supported by {version.runtime_name} {version.runtime_version}: "
        f"they need {version.runtime_name} {first[0]}.{first[1]}"
    )
