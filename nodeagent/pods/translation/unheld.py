"""Which of a pod's limits this node cannot hold, for want of a cgroup controller. Pure."""

from nodeagent.pods.translation.resources import HostLimits
from nodeagent.podspec.effective import effective_limits, requests_of
from nodeagent.podspec.pod import AgentPod

REASON = "LimitsNotEnforced"


def unheld_limits(pod: AgentPod, host: HostLimits) -> str:
    """What to tell of it; empty: all of them are held, or the pod has none."""
    limits = effective_limits(pod.spec)
    asked = {
        "cpu": bool(limits.get("cpu")),
        "memory": bool(limits.get("memory")),
        "pids": host.pod_pids_limit > 0,
        "hugetlb": any(name.startswith("hugepages-") for name in requests_of(pod)),
    }
    unheld = [name for name, wanted in asked.items() if wanted and name not in host.controllers]
    if not unheld:
        return ""
    return f"The pod is not held to its limits of {', '.join(unheld)}: this node has no such cgroup controller"
