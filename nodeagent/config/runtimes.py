"""The runtimes of a node that nobody has configured any for: what the machine has."""

import shutil

from nodeagent.config.agent import RuntimeSettings
from nodeagent.config.values import Program

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# gVisor on any kernel and without KVM; its network stack is the pod's own namespace, so every pod has its IP.
GVISOR_ARGS = ["--platform=ptrace", "--network=host"]


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
