"""Which sysctls a pod may set. Source: docs/facts/pod-lifecycle.md 3.1 (2) and 11.5."""

from collections.abc import Sequence

from nodeagent.podspec.pod import AgentPod

_SAFE: tuple[tuple[str, tuple[int, int]], ...] = (
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
)
_IPC_PREFIXES = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
_NET_PREFIX = "net."


def normalized(name: str) -> str:
    """The dotted name: of the two separators the first one that stands in it decides."""
    slash, dot = name.find("/"), name.find(".")
    if slash == -1 or (dot != -1 and dot < slash):
        return name
    return name.translate(str.maketrans("./", "/."))


def forbidden_sysctl(pod: AgentPod, allowed_unsafe: Sequence[str], kernel_version: tuple[int, int]) -> str | None:
    """The message of the refusal of the pod's first sysctl that may not be set; None: all may.

    `allowed_unsafe`: names, or prefixes ending in `*`, of the node's allow-list.
    """
    context = pod.spec.securityContext
    for item in (context.sysctls if context is not None else None) or ():
        name = normalized(item.name)
        safe = any(name == known and kernel_version >= since for known, since in _SAFE)
        if not safe and not any(_matches(pattern, name) for pattern in allowed_unsafe):
            return f'forbidden sysctl: "{name}" not allowlisted'
        if pod.spec.hostNetwork and name.startswith(_NET_PREFIX):
            return f'forbidden sysctl: "{name}" not allowed with host net enabled'
        if pod.spec.hostIPC and name.startswith(_IPC_PREFIXES):
            return f'forbidden sysctl: "{name}" not allowed with host ipc enabled'
    return None


def _matches(pattern: str, name: str) -> bool:
    pattern = normalized(pattern)
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
