"""Reading facts, and what follows from several of them: which kernel answers, who refuses a call."""

from typing import Any

from nodeagent.isolation.contract import By, Facts, Finding, Sight, Verdict

# linux/capability.h, by bit
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip

OWN_KERNEL_EXPOSURE = 0.25
"""What works in a kernel of the runtime's own is a way into that kernel, not into the host's: so much of the risk counts."""

REFUSED = frozenset({"EPERM", "EACCES"})


class NoFact(LookupError):
    """A section did not answer, or not with that; the text says what is missing and why."""


def fact(facts: Facts, section: str, *names: str) -> Any:
    """Raises NoFact."""
    found: Any = facts.get(section)
    if found is None:
        raise NoFact(f"{section}: not looked at")
    if "error" in found:
        raise NoFact(f"{section}: {found['error']}")
    for name in names:
        if not isinstance(found, dict) or name not in found:
            raise NoFact(f"{section}: nothing about {name}")
        found = found[name]
    return found


def text(facts: Facts, section: str, *names: str) -> str:
    """As text. Raises NoFact."""
    return str(fact(facts, section, *names))


def has_capability(facts: Facts, name: str) -> bool:
    """Whether it is effective. Raises NoFact."""
    return bool(int(text(facts, "identity", "status", "CapEff"), 16) >> CAPABILITIES.index(name) & 1)


def own_kernel(sight: Sight) -> bool:
    """Whether calls are answered by another kernel than the host's. Raises NoFact."""
    own, host = (fact(facts, "identity", "kernel") for facts in (sight.own, sight.host))
    return any(own.get(part) != host.get(part) for part in ("release", "version"))


def kernel_name(sight: Sight) -> str:
    """For evidence. Raises NoFact."""
    kernel = fact(sight.own, "identity", "kernel")
    return f"{kernel.get('system')} {kernel.get('release')}"


def filtered(sight: Sight, syscall: str) -> bool:
    """Whether a seccomp filter refuses the call with those arguments (False where that cannot be known). Raises NoFact."""
    if sight.is_host or not has_filter(sight):
        return False
    own, host = (facts.get("syscalls", {}) for facts in (sight.own, sight.host))
    refused, unfiltered = (each.get("filter", {}).get(syscall) for each in (own, host))
    if refused is not None and refused != unfiltered:  # some are answered before any filter is asked: alike on the host
        return True
    # a filter may say ENOSYS: the host's kernel, if it is the same one, knows the call
    here, there = (each.get("results", {}).get(syscall) for each in (own, host))
    return here == "ENOSYS" and there not in ("ENOSYS", None) and not own_kernel(sight)


def has_filter(sight: Sight) -> bool:
    """Whether the process has a seccomp filter. Raises NoFact."""
    return bool(fact(sight.own, "identity", "status").get("Seccomp", "0") == "2")


def who_refuses(
    sight: Sight, error: str, *, syscall: str = "", capability: str = "", host_says: str = ""
) -> tuple[By, str]:
    """Who is behind an error that a call gave, and how that is known. `host_says`: what the same call gives on the host."""
    if syscall and filtered(sight, syscall):
        return By.SECCOMP, f"{syscall}: {error}; the seccomp filter refuses it before the kernel looks at it"
    if not sight.is_host and own_kernel(sight):
        return By.RUNTIME, f"{error} from the runtime's own kernel ({kernel_name(sight)})"
    if error == host_says == "ENOSYS":
        return By.KERNEL, "ENOSYS, for the host's root too"
    if capability and not has_capability(sight.own, capability):
        return By.CAPABILITY, f"{error}; without CAP_{capability}"
    if error == "EROFS":
        return By.MOUNT, "EROFS: the file system is mounted read-only"
    if host_says == "ok" and error in ("EPERM", "ENOSYS") and has_filter(sight):
        return By.SECCOMP, f"{error}, where the host's root gets ok and no capability is missing: the seccomp filter"
    if host_says and host_says != "ok":
        return By.KERNEL, f"{error}; the host's root gets {host_says}"
    if capability and error in REFUSED:
        return By.NAMESPACE, f"{error}; CAP_{capability} is there, but not of the namespace that it is asked of"
    return By.UNKNOWN, error


def blocked(probe: str, by: tuple[By, str], *, value: str = "", change: str = "") -> Finding:
    """By whom, with how it is known. What nobody has here is NOT_APPLICABLE."""
    verdict = Verdict.NOT_APPLICABLE if by[0] is By.KERNEL else Verdict.BLOCKED
    return Finding(probe=probe, verdict=verdict, by=by[0], value=value, evidence=by[1], change=change)


def works(sight: Sight, probe: str, *, value: str = "", evidence: str = "", change: str = "") -> Finding:
    """OPEN; LIMITED where it is the runtime's own kernel that does it."""
    if not sight.is_host and own_kernel(sight):
        return Finding(
            probe=probe,
            verdict=Verdict.LIMITED,
            by=By.RUNTIME,
            value=value,
            evidence=f"{evidence or 'it works'}, in the runtime's own kernel ({kernel_name(sight)})",
            change=change,
            exposure=OWN_KERNEL_EXPOSURE,
        )
    return Finding(probe=probe, verdict=Verdict.OPEN, value=value, evidence=evidence, change=change)
