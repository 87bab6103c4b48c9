"""What has to hold before anything is made: an agent that cannot run here says so at once."""

from collections.abc import Collection
from pathlib import Path

from nodeagent.api.tokens import NoTokens
from nodeagent.assembly.host import Host
from nodeagent.assembly.images import credential_providers
from nodeagent.config import Config
from nodeagent.errors import AgentStartError, Misconfigured
from nodeagent.node import kernel_defaults
from nodeagent.resources import cpuset
from nodeagent.resources.cpu.topology import online_cpus

REQUIRED_V1 = ("cpu", "cpuacct", "cpuset", "memory")  # docs/facts/node-resources.md 2.1
LIMITED_SWAP = "LimitedSwap"


def check(config: Config, host: Host) -> None:
    """Raises AgentStartError, UnprotectedKernel. Sets the kernel's settings that pods rely on."""
    refuse_swap(config)
    refuse_absent_cpus(config)
    kernel_defaults.hold(protect=config.kubelet.protectKernelDefaults)
    credential_providers(config, None, NoTokens())
    if host.cgroups.version == 1:
        refuse_v1(config, host.cgroups.controllers)


def refuse_absent_cpus(config: Config) -> None:
    """Raises Misconfigured for reserved CPUs that there are not, AgentStartError where /sys does not tell."""
    wanted = config.kubelet.reservedSystemCPUs
    if not wanted:
        return
    try:
        online = online_cpus()
    except (OSError, ValueError) as error:
        raise AgentStartError(f"the machine's CPUs cannot be read: {error}") from error
    if not cpuset.parse(wanted) <= online:
        raise Misconfigured(
            f"reservedSystemCPUs: {wanted} are not all online; the machine has {cpuset.text_of(online)}"
        )


def refuse_v1(config: Config, controllers: Collection[str]) -> None:
    """Raises AgentStartError, Misconfigured for what cannot be had of cgroup v1, which has these controllers."""
    if config.kubelet.failCgroupV1:
        raise Misconfigured("this host has cgroups v1 and failCgroupV1 is true; set it to false to run here")
    if absent := [name for name in REQUIRED_V1 if name not in controllers]:
        raise AgentStartError(
            f"cgroup v1 without the controllers {', '.join(absent)}: mount them, see `nodeagent check`"
        )
    if config.kubelet.memorySwap.swapBehavior == LIMITED_SWAP:
        raise Misconfigured(
            f"memorySwap.swapBehavior {LIMITED_SWAP} needs cgroup v2, and this host has v1; set it to NoSwap"
        )


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
