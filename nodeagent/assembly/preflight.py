"""What has to hold before anything is made: an agent that cannot run here says so at once."""

from pathlib import Path

from nodeagent.api.tokens import NoTokens
from nodeagent.assembly.host import Host
from nodeagent.assembly.images import credential_providers
from nodeagent.config import Config
from nodeagent.errors import AgentStartError
from nodeagent.node import kernel_defaults


def check(config: Config, host: Host) -> None:
    """Raises AgentStartError, UnprotectedKernel. Sets the kernel's settings that pods rely on."""
    refuse_swap(config)
    kernel_defaults.hold(protect=config.kubelet.protectKernelDefaults)
    credential_providers(config, None, NoTokens())
    if host.cgroups.version == 1 and config.kubelet.failCgroupV1:
        raise AgentStartError("this host has cgroups v1 and failCgroupV1 is true; set it to false to run here")


def refuse_swap(config: Config, swaps: Path = Path("/proc/swaps")) -> None:
    """Raises AgentStartError where swap is on and the configuration does not allow it."""
    if not config.kubelet.failSwapOn:
        return
    try:
        devices = [line.split()[0] for line in swaps.read_text().splitlines()[1:] if line.strip()]
    except OSError:
        return  # a kernel without swap
    if devices:
        raise AgentStartError(
            f"running with swap on is not supported ({', '.join(devices)}): turn it off (swapoff -a), or set failSwapOn to "
            "false in the KubeletConfiguration"
        )
