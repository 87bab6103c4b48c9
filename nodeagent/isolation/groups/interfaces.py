"""Ways into the kernel: system calls, entries of other ABIs, sockets, devices, ioctls, file systems."""

from collections.abc import Callable, Mapping
from typing import Any

from nodeagent.isolation.contract import By, Finding, Probe, Risk, Sight, Verdict
from nodeagent.isolation.groups import facts

_SECCOMP = "securityContext.seccompProfile.type: RuntimeDefault"
_NOT_LOADED = "not loaded"
# Those that every container has, or that give nothing.
_USUAL_DEVICES = frozenset({"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts/ptmx"})

_SOCKETS = {
    "packet": (
        "packet",
        Risk.MEDIUM,
        "NET_RAW",
        "frames as they are on the wire: what others send, and what looks like theirs",
    ),
    "raw": ("inet raw", Risk.MEDIUM, "NET_RAW", "packets with any contents; replies in others' names"),
    "alg": ("alg", Risk.MEDIUM, "", "the kernel's cryptography, with flaws in its past"),
    "vsock": ("vsock", Risk.MEDIUM, "", "the hypervisor, past every network policy"),
    "netfilter": (
        "netlink netfilter",
        Risk.LOW,
        "",
        "the packet filter's code, for who has CAP_NET_ADMIN over a network namespace",
    ),
    "audit": ("netlink audit", Risk.LOW, "", "the audit system"),
    "xfrm": ("netlink xfrm", Risk.LOW, "", "IPsec's code, with flaws in its past"),
    "xdp": ("xdp", Risk.MEDIUM, "NET_RAW", "packets past the network stack"),
    "rds": ("rds", Risk.MEDIUM, "", "seldom used and seldom looked at"),
    "tipc": ("tipc", Risk.MEDIUM, "", "seldom used and seldom looked at"),
    "bluetooth": ("bluetooth", Risk.MEDIUM, "", "devices around the host"),
    "can": ("can", Risk.MEDIUM, "", "seldom used and seldom looked at"),
    "key": ("key", Risk.LOW, "NET_ADMIN", "IPsec's older interface"),
}
_IOCTLS = {
    "tiocsti": ("TIOCSTI", Risk.MEDIUM, "SYS_ADMIN", "what is typed for a terminal that somebody else reads"),
    "immutable": (
        "FS_IOC_SETFLAGS immutable",
        Risk.LOW,
        "LINUX_IMMUTABLE",
        "files that nobody removes any more, in volumes too",
    ),
    "tun": ("TUNSETIFF", Risk.LOW, "NET_ADMIN", "interfaces of its own"),
    "kvm": ("KVM_GET_API_VERSION", Risk.HIGH, "", "virtual machines: a large interface of the kernel"),
}


def _host_kernel(sight: Sight) -> Finding:
    value = facts.kernel_name(sight)
    if facts.own_kernel(sight):
        evidence = f"uname says {value}, the host's is {facts.text(sight.host, 'identity', 'kernel', 'release')}"
        return Finding(
            probe="surface.host_kernel", verdict=Verdict.BLOCKED, by=By.RUNTIME, value=value, evidence=evidence
        )
    change = "" if sight.is_host else "runtimeClassName: one whose runtime has a kernel of its own (gVisor, Kata)"
    evidence = "uname says the same here and on the host"
    return Finding(probe="surface.host_kernel", verdict=Verdict.OPEN, value=value, evidence=evidence, change=change)


def reached(sight: Sight, results: Mapping[str, str]) -> list[str]:
    """The calls that a kernel answers: not what a filter refuses, nor what the kernel does not have."""
    return [name for name, said in results.items() if said != "ENOSYS" and not facts.filtered(sight, name)]


def _syscalls(sight: Sight) -> Finding:
    results = facts.fact(sight.own, "syscalls", "results")
    here = reached(sight, results)
    there = [name for name, said in facts.fact(sight.host, "syscalls", "results").items() if said != "ENOSYS"]
    refused = sorted(name for name in results if name in there and facts.filtered(sight, name))
    absent = sorted(
        name for name, said in results.items() if name in there and said == "ENOSYS" and name not in refused
    )
    killed = sorted(name for name, said in results.items() if said.startswith("signal"))
    share = len(here) / max(1, len(there))
    value = f"{len(here)} (the host's kernel has {len(there)})"
    told = [
        f"{what}: {', '.join(names)}"
        for what, names in (("refused by the filter", refused), ("not there", absent), ("killed", killed))
        if names
    ]
    evidence = "; ".join(told)[:4000] or "all of them"
    own = not sight.is_host and facts.own_kernel(sight)
    by = By.RUNTIME if own else By.SECCOMP if refused else By.UNKNOWN
    verdict = Verdict.LIMITED if own or refused else Verdict.OPEN
    exposure = min(1.0, share) * (facts.OWN_KERNEL_EXPOSURE if own else 1.0)
    change = "" if sight.is_host or own or refused else _SECCOMP
    return Finding(
        probe="surface.syscalls",
        verdict=verdict,
        by=by,
        value=value,
        evidence=evidence,
        change=change,
        exposure=exposure,
    )


def _entry(name: str) -> Callable[[Sight], Finding]:
    probe = f"surface.{name}"

    def judge(sight: Sight) -> Finding:
        entries = facts.fact(sight.own, "syscalls").get("entries")
        if entries is None:
            evidence = "this processor has no such entry"
            return Finding(probe=probe, verdict=Verdict.NOT_APPLICABLE, by=By.KERNEL, evidence=evidence)
        said = str(entries.get(name, ""))
        if said == "ok":
            return facts.works(sight, probe, value=said, evidence="getpid answers")
        host_says = str(sight.host.get("syscalls", {}).get("entries", {}).get(name, ""))
        if host_says == "ok" and not sight.is_host and not facts.own_kernel(sight):
            return facts.blocked(probe, (By.SECCOMP, f"{said}; the host's kernel has it"), value=said)
        return facts.blocked(probe, facts.who_refuses(sight, said, host_says=host_says or said), value=said)

    return judge


def _socket(name: str) -> Callable[[Sight], Finding]:
    kind, _, capability, _ = _SOCKETS[name]
    probe = f"surface.socket.{name}"

    def judge(sight: Sight) -> Finding:
        said, on_host = facts.text(sight.own, "sockets", kind), facts.text(sight.host, "sockets", kind)
        change = f"securityContext.capabilities.drop: [{capability}]" if capability and not sight.is_host else ""
        if said == "ok":
            return facts.works(sight, probe, value=said, evidence="a socket is made", change=change)
        if said == _NOT_LOADED and not sight.is_host and facts.own_kernel(sight):
            return facts.blocked(probe, (By.RUNTIME, "the runtime's own kernel does not list it"), value=said)
        if said == _NOT_LOADED:
            return Finding(
                probe=probe,
                verdict=Verdict.LIMITED,
                by=By.KERNEL,
                value=said,
                evidence="nothing refuses it; the kernel would load the module, if there is one (not tried)",
                change="" if sight.is_host or facts.has_filter(sight) else _SECCOMP,
            )
        if not sight.is_host and not facts.own_kernel(sight) and on_host in ("ok", _NOT_LOADED):
            if capability and not facts.has_capability(sight.own, capability):
                return facts.blocked(probe, (By.CAPABILITY, f"{said}; without CAP_{capability}"), value=said)
            if facts.has_filter(sight):
                evidence = f"{said}; the host gets {on_host}, and it takes no capability that is missing"
                return facts.blocked(probe, (By.SECCOMP, evidence), value=said)
        by = facts.who_refuses(sight, said, capability=capability, host_says=on_host.replace(_NOT_LOADED, "ok"))
        return facts.blocked(probe, by, value=said)

    return judge


def _devices(sight: Sight) -> Finding:
    nodes: Mapping[str, Mapping[str, Any]] = facts.fact(sight.own, "devices", "nodes")
    opened = sorted(
        name
        for name, node in nodes.items()
        if name not in _USUAL_DEVICES and "ok" in (node.get("read"), node.get("write"))
    )
    listed = sorted(name for name in nodes if name not in _USUAL_DEVICES)
    if opened:
        return facts.works(
            sight,
            "surface.devices",
            value=f"{len(opened)} opened",
            evidence=", ".join(opened)[:1000],
            change="" if sight.is_host else "securityContext.privileged: false, and no hostPath of /dev",
        )
    value = f"{len(listed)} seen, none opened" if listed else "none"
    evidence = ", ".join(listed)[:1000] or "only " + ", ".join(sorted(nodes))
    by = By.CGROUP if listed else By.MOUNT
    return Finding(probe="surface.devices", verdict=Verdict.BLOCKED, by=by, value=value, evidence=evidence)


def _disk(sight: Sight) -> Finding:
    said = facts.text(sight.own, "devices", "own disk node")
    if said == "ok":
        change = "" if sight.is_host else "securityContext.privileged: false"
        return facts.works(
            sight, "surface.disk", value=said, evidence="made and opened; nothing was read", change=change
        )
    if said == "no disk":
        by = By.RUNTIME if facts.own_kernel(sight) else By.KERNEL
        return facts.blocked("surface.disk", (by, "/proc/partitions names no disk"), value=said)
    by, why = facts.who_refuses(sight, said, syscall="mknod", capability="MKNOD")
    if by in (By.NAMESPACE, By.UNKNOWN) and said in facts.REFUSED:
        by, why = By.CGROUP, f"the node is made, opening it says {said}: the cgroup of devices"
    return facts.blocked("surface.disk", (by, why), value=said)


def _ioctl(name: str) -> Callable[[Sight], Finding]:
    what, _, capability, _ = _IOCTLS[name]
    probe = f"surface.ioctl.{name}"

    def judge(sight: Sight) -> Finding:
        said = str(facts.fact(sight.own, "devices", "ioctls").get(what, "not tried"))
        if said == "not tried":
            evidence = "it would be the host's own interface"
            return Finding(probe=probe, verdict=Verdict.NOT_APPLICABLE, value=said, evidence=evidence)
        if said == "ok":
            return facts.works(sight, probe, value=said, evidence=f"{what} is done")
        if said in ("ENOENT", "ENODEV", "ENXIO"):
            return facts.blocked(probe, (By.MOUNT, f"{said}: no such device here"), value=said)
        if said in ("ENOTTY", "EOPNOTSUPP", "EIO") and not facts.own_kernel(sight):
            return facts.blocked(
                probe, (By.KERNEL, f"{said}: this kernel, or this file system, does not do it"), value=said
            )
        return facts.blocked(probe, facts.who_refuses(sight, said, syscall="ioctl", capability=capability), value=said)

    return judge


def _mountable(sight: Sight, probe: str, section: str, syscall: str, capability: str) -> Finding:
    tried: Mapping[str, str] = facts.fact(sight.own, "filesystems", section)
    done = sorted(kind for kind, said in tried.items() if said == "ok")
    if done:
        value = f"{len(done)} of {len(tried)}"
        return facts.works(sight, probe, value=value, evidence=", ".join(done))
    said = next(iter(tried.values()), "no file systems are listed")
    by = facts.who_refuses(sight, said, syscall=syscall, capability=capability)
    return facts.blocked(probe, by, value=f"none of {len(tried)}")


def _file_systems(sight: Sight) -> Finding:
    return _mountable(sight, "surface.file_systems", "as we are", "mount", "SYS_ADMIN")


def _file_systems_in_user_namespace(sight: Sight) -> Finding:
    # to be root of one's own user namespace as root needs this capability (Linux 5.12)
    capability = "SETFCAP" if facts.fact(sight.own, "identity", "uid") == 0 else ""
    return _mountable(sight, "surface.file_systems_in_user_namespace", "in a user namespace", "unshare", capability)


SETTINGS = (
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/kernel/io_uring_disabled",
    "/proc/sys/kernel/modules_disabled",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/vm/unprivileged_userfaultfd",
    "/proc/sys/vm/mmap_min_addr",
)


def _settings(sight: Sight) -> Finding:
    files = facts.fact(sight.own, "files")
    told = []
    for path in SETTINGS:
        found = files.get(path, {})
        if found.get("read") == "ok":
            told.append(f"{path.rpartition('/')[2]} {str(found.get('start', '(as on the host)')).strip()}")
    return Finding(
        probe="surface.kernel_settings",
        verdict=Verdict.MEASURED,
        value=f"{len(told)} of {len(SETTINGS)} told",
        evidence=", ".join(told) or "none of them is there",
    )


PROBES = (
    Probe(
        id="surface.host_kernel",
        title="its system calls are answered by the host's kernel",
        risk=Risk.HIGH,
        why="one flaw in that kernel is a way out for every pod",
        judge=_host_kernel,
    ),
    Probe(
        id="surface.syscalls",
        title="system calls that reach a kernel",
        risk=Risk.HIGH,
        why="each is code that a pod can run with arguments of its choice",
        judge=_syscalls,
    ),
    Probe(
        id="surface.i386",
        title="system calls by the 32-bit entry",
        risk=Risk.MEDIUM,
        why="a second table of calls, which filters and audits forget",
        judge=_entry("i386"),
    ),
    Probe(
        id="surface.x32",
        title="system calls of the x32 ABI",
        risk=Risk.LOW,
        why="a third table, which hardly anybody uses",
        judge=_entry("x32"),
    ),
    *(
        Probe(id=f"surface.socket.{name}", title=f"sockets: {kind}", risk=risk, why=why, judge=_socket(name))
        for name, (kind, risk, _, why) in _SOCKETS.items()
    ),
    Probe(
        id="surface.devices",
        title="devices beyond the usual",
        risk=Risk.HIGH,
        why="drivers, disks, the memory: past all that the kernel checks",
        judge=_devices,
    ),
    Probe(
        id="surface.disk",
        title="a disk of the host by a node of its own",
        risk=Risk.HIGH,
        why="every file of the host",
        judge=_disk,
    ),
    *(
        Probe(id=f"surface.ioctl.{name}", title=f"ioctl {what}", risk=risk, why=why, judge=_ioctl(name))
        for name, (what, risk, _, why) in _IOCTLS.items()
    ),
    Probe(
        id="surface.file_systems",
        title="file systems that it can mount",
        risk=Risk.MEDIUM,
        why="the code of each; and what is in those of the kernel (debugfs, cgroup2, bpf)",
        judge=_file_systems,
    ),
    Probe(
        id="surface.file_systems_in_user_namespace",
        title="file systems that it can mount in a user namespace of its own",
        risk=Risk.MEDIUM,
        why="the code of each, for everybody",
        judge=_file_systems_in_user_namespace,
    ),
    Probe(
        id="surface.kernel_settings",
        title="settings of the kernel that it lives under",
        risk=Risk.NONE,
        why="what an unprivileged process may do of the above",
        judge=_settings,
    ),
)
