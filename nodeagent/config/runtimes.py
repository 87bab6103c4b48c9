"""The runtimes of a node that nobody has configured any for: what the machine has."""

import shutil
from pathlib import Path

from nodeagent.config.agent import RuntimeSettings
from nodeagent.config.values import Program

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# gVisor on any kernel and without KVM; its network stack is the pod's own namespace, so every pod has its IP.
GVISOR_ARGS = ["--platform=ptrace", "--network=host"]

# where a kubelet looks for its runtime when nobody tells it
USUAL_SOCKET = Path("/run/containerd/containerd.sock")
_NAMES = {"crio": "cri-o"}  # by which a runtime calls itself, where its socket's name is another


def usual_endpoint(socket: Path = USUAL_SOCKET) -> str:
    """A kubelet's default runtime, where there is one; else empty."""
    return f"unix://{socket}" if socket.is_socket() else ""


def peer(endpoint: str, image_endpoint: str = "") -> dict[str, RuntimeSettings]:
    """A kubelet's one runtime, named after its socket: the prefix of container ids (`containerd://…`) is the name."""
    address = endpoint if "://" in endpoint else f"unix://{endpoint}"
    images = image_endpoint if not image_endpoint or "://" in image_endpoint else f"unix://{image_endpoint}"
    stem = Path(address).stem
    return {_NAMES.get(stem, stem): RuntimeSettings(type="cri", endpoint=address, imageEndpoint=images)}


def detect(search_path: str = SEARCH_PATH) -> dict[str, RuntimeSettings]:
    """Handler -> settings of every OCI runtime on the path."""
    found: dict[str, RuntimeSettings] = {}
    for handler, program in (("runc", "runc"), ("crun", "crun")):
        path = shutil.which(program, path=search_path)
        if path is not None:
            found[handler] = RuntimeSettings(type="oci", path=Program(path))
    runsc = shutil.which("runsc", path=search_path)
    if runsc is not None:
        found["gvisor"] = RuntimeSettings(type="oci", path=Program(runsc), args=GVISOR_ARGS, infraContainer="always")
    return found
