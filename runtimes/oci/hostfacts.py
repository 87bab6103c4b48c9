"""What this host can and cannot do, found out once; what it cannot is said once in the log and then worked around."""

import logging
import os
import resource
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from runtimes.oci.config import Rlimit

log = logging.getLogger(__name__)

# linux/capability.h, in bit order
CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """`capabilities`: what the agent may hand on. `lowest_oom_score_adj`: below it the kernel answers EPERM."""

    capabilities: frozenset[str]
    lowest_oom_score_adj: int
    apparmor: bool
    selinux: bool
    seccomp: bool
    kernel: tuple[int, int]

    def up_to_capability(self, newest: str) -> "HostFacts":
        """The same without the capabilities that came after `newest`."""
        known = CAPABILITIES[: CAPABILITIES.index(newest) + 1]
        return replace(self, capabilities=self.capabilities.intersection(known))

    @property
    def may_raise_limits(self) -> bool:
        return "CAP_SYS_RESOURCE" in self.capabilities

    def clamp_oom_score_adj(self, wanted: int) -> int:
        """The nearest value that may be set."""
        if wanted >= self.lowest_oom_score_adj:
            return wanted
        _say_once(
            f"oom_score_adj below {self.lowest_oom_score_adj} cannot be set: CAP_SYS_RESOURCE is missing; clamped"
        )
        return self.lowest_oom_score_adj

    def clamp_rlimit(self, limit: Rlimit) -> Rlimit:
        """The limit, its hard value not above what the agent has itself, unless it may raise it."""
        if self.may_raise_limits:
            return limit
        own_hard = resource.getrlimit(getattr(resource, f"RLIMIT_{limit.name}"))[1]
        if own_hard == resource.RLIM_INFINITY or limit.hard <= own_hard:
            return limit
        _say_once(f"rlimit {limit.name} cannot be raised above {own_hard}: CAP_SYS_RESOURCE is missing; clamped")
        return Rlimit(name=limit.name, soft=min(limit.soft, own_hard), hard=own_hard)

    def clamp_capabilities(self, wanted: frozenset[str]) -> frozenset[str]:
        """Those that the agent has itself; what it lacks no child of it can be given."""
        if missing := wanted - self.capabilities:
            _say_once(f"capabilities this host does not grant: {', '.join(sorted(missing))}; left out")
        return wanted & self.capabilities


@cache
def _say_once(message: str) -> None:
    log.warning("degraded host: %s", message)


def read_host_facts() -> HostFacts:
    """Reads /proc and /sys; a dozen small files."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    bits = int(status["CapBnd"], 16) & int(status["CapPrm"], 16)
    capabilities = frozenset(name for bit, name in enumerate(CAPABILITIES) if bits >> bit & 1)
    lowest = -1000 if "CAP_SYS_RESOURCE" in capabilities else int(Path("/proc/self/oom_score_adj").read_text())
    apparmor = Path("/sys/module/apparmor/parameters/enabled")
    release = os.uname().release.split(".")
    return HostFacts(
        capabilities=capabilities,
        lowest_oom_score_adj=lowest,
        apparmor=apparmor.exists() and apparmor.read_text().startswith("Y"),
        selinux=Path("/sys/fs/selinux/enforce").exists(),
        seccomp="Seccomp" in status,
        kernel=(int(release[0]), int("".join(filter(str.isdigit, release[1])) or 0)),
    )
