"""Uses of the kernel that exploits begin with, each tried in earnest and undone (`probe/attempts.c`)."""

from dataclasses import dataclass

from nodeagent.isolation.contract import Finding, Probe, Risk, Sight
from nodeagent.isolation.groups import facts

_SECCOMP = "securityContext.seccompProfile.type: RuntimeDefault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """`fact`: its name in the section `attempts`. `syscall`: what a filter refuses; `capability`: what the kernel asks for."""

    id: str
    fact: str
    title: str
    risk: Risk
    why: str
    syscall: str
    capability: str = ""

    def judge(self, sight: Sight) -> Finding:
        said = facts.text(sight.own, "attempts", self.fact)
        if said == "ok":
            return facts.works(
                sight, self.id, value=said, evidence=f"{self.syscall}: done", change=self.change_of(sight)
            )
        host_says = str(sight.host.get("attempts", {}).get(self.fact, ""))
        by = facts.who_refuses(sight, said, syscall=self.syscall, capability=self.capability, host_says=host_says)
        return facts.blocked(self.id, by, value=said)

    def change_of(self, sight: Sight) -> str:
        """What would close it."""
        if self.capability and not sight.is_host and facts.has_capability(sight.own, self.capability):
            return f"securityContext.capabilities.drop: [{self.capability}]"
        return "" if sight.is_host or facts.has_filter(sight) else _SECCOMP


ATTEMPTS = (
    Attempt(
        id="surface.bpf",
        fact="bpf map",
        title="BPF programs and maps",
        risk=Risk.HIGH,
        why="the verifier of BPF has been a way to run code in the kernel again and again",
        syscall="bpf",
        capability="BPF",
    ),
    Attempt(
        id="surface.perf",
        fact="perf own",
        title="performance events of its own processes",
        risk=Risk.MEDIUM,
        why="a large interface, with flaws in its past, and counters that tell of neighbours' work",
        syscall="perf_event_open",
    ),
    Attempt(
        id="surface.perf_kernel",
        fact="perf kernel",
        title="performance events of the kernel",
        risk=Risk.HIGH,
        why="shows where in the kernel others spend their time, and defeats the randomization of its addresses",
        syscall="perf_event_open",
        capability="PERFMON",
    ),
    Attempt(
        id="surface.userfaultfd",
        fact="userfaultfd",
        title="page faults of the kernel handled by the pod",
        risk=Risk.MEDIUM,
        why="stops the kernel in the middle of a copy: what exploits of races are made reliable with",
        syscall="userfaultfd",
        capability="SYS_PTRACE",
    ),
    Attempt(
        id="surface.io_uring",
        fact="io_uring",
        title="io_uring",
        risk=Risk.HIGH,
        why="a second set of system calls that no seccomp filter sees, with many flaws since it exists",
        syscall="io_uring_setup",
    ),
    Attempt(
        id="surface.add_key",
        fact="add key",
        title="keys in the kernel's keyrings",
        risk=Risk.MEDIUM,
        why="keyrings are not apart for containers, and count against limits of the user on the host",
        syscall="add_key",
    ),
    Attempt(
        id="surface.keyring",
        fact="session keyring",
        title="the session's keyring",
        risk=Risk.LOW,
        why="where a runtime does not make a new one, it is that of whoever started it",
        syscall="keyctl",
    ),
    Attempt(
        id="surface.ptrace",
        fact="ptrace child",
        title="tracing its own processes",
        risk=Risk.LOW,
        why="what debuggers need; a large interface of the kernel",
        syscall="ptrace",
    ),
    Attempt(
        id="surface.process_vm",
        fact="read child memory",
        title="reading the memory of its own processes",
        risk=Risk.LOW,
        why="as tracing",
        syscall="process_vm_readv",
    ),
    Attempt(
        id="surface.user_namespace",
        fact="user namespace",
        title="user namespaces of its own",
        risk=Risk.HIGH,
        why="every capability over new namespaces: the door to the parts of the kernel that only root used to reach",
        syscall="unshare",
    ),
    Attempt(
        id="surface.user_and_network_namespace",
        fact="user and network namespace",
        title="a network stack of its own with all capabilities",
        risk=Risk.HIGH,
        why="nftables, tc and the like are where most of the kernel's local exploits of these years are",
        syscall="unshare",
    ),
    Attempt(
        id="surface.mount_namespace",
        fact="mount namespace",
        title="mount namespaces of its own",
        risk=Risk.MEDIUM,
        why="a step of many escapes",
        syscall="unshare",
        capability="SYS_ADMIN",
    ),
    Attempt(
        id="surface.network_namespace",
        fact="network namespace",
        title="network namespaces of its own",
        risk=Risk.MEDIUM,
        why="a fresh network stack to configure",
        syscall="unshare",
        capability="SYS_ADMIN",
    ),
    Attempt(
        id="surface.pid_namespace",
        fact="pid namespace",
        title="PID namespaces of its own",
        risk=Risk.LOW,
        why="a nested container",
        syscall="unshare",
        capability="SYS_ADMIN",
    ),
    Attempt(
        id="surface.open_by_handle",
        fact="open by handle",
        title="files opened by a handle",
        risk=Risk.HIGH,
        why="reads any file of a file system, outside the container's root too (Shocker, 2014)",
        syscall="open_by_handle_at",
        capability="DAC_READ_SEARCH",
    ),
    Attempt(
        id="surface.fanotify",
        fact="fanotify",
        title="events of whole file systems",
        risk=Risk.MEDIUM,
        why="sees, and may hold up, what others do with files of the same file system",
        syscall="fanotify_init",
        capability="SYS_ADMIN",
    ),
    Attempt(
        id="surface.kcmp",
        fact="kcmp",
        title="comparing kernel objects",
        risk=Risk.LOW,
        why="tells how the kernel's objects lie in memory",
        syscall="kcmp",
    ),
    Attempt(
        id="surface.no_aslr",
        fact="no address randomization",
        title="processes without randomized addresses",
        risk=Risk.LOW,
        why="makes flaws of programs easier to use",
        syscall="personality",
    ),
    Attempt(
        id="surface.chroot",
        fact="chroot",
        title="changing the root directory",
        risk=Risk.LOW,
        why="with a descriptor of a directory outside, a way out of a root",
        syscall="chroot",
        capability="SYS_CHROOT",
    ),
    Attempt(
        id="surface.mount",
        fact="mount tmpfs",
        title="mounting",
        risk=Risk.HIGH,
        why="covers masked paths, makes read-only ones writable, reaches every file system's code",
        syscall="mount",
        capability="SYS_ADMIN",
    ),
    Attempt(
        id="surface.open_tree",
        fact="open_tree clone",
        title="mounting by the newer calls",
        risk=Risk.HIGH,
        why="as mounting; filters made before 2019 do not know it",
        syscall="open_tree",
        capability="SYS_ADMIN",
    ),
    Attempt(
        id="surface.set_host_name",
        fact="set host name",
        title="setting the host name",
        risk=Risk.LOW,
        why="the host's own, where the UTS namespace is shared",
        syscall="sethostname",
        capability="SYS_ADMIN",
    ),
    Attempt(
        id="surface.mknod",
        fact="make device",
        title="making device nodes",
        risk=Risk.MEDIUM,
        why="a node of a disk reads the disk, where the cgroup of devices lets it",
        syscall="mknod",
        capability="MKNOD",
    ),
    Attempt(
        id="surface.kernel_log",
        fact="kernel log",
        title="the kernel's log",
        risk=Risk.MEDIUM,
        why="addresses of the kernel, names of devices, what happens to other pods",
        syscall="syslog",
        capability="SYSLOG",
    ),
    Attempt(
        id="surface.raw_io",
        fact="raw io ports",
        title="the processor's I/O ports",
        risk=Risk.HIGH,
        why="devices without the kernel",
        syscall="iopl",
        capability="SYS_RAWIO",
    ),
    Attempt(
        id="surface.real_time",
        fact="real-time priority",
        title="real-time priority",
        risk=Risk.MEDIUM,
        why="keeps everybody else off a processor",
        syscall="sched_setscheduler",
        capability="SYS_NICE",
    ),
)


PROBES = tuple(Probe(id=each.id, title=each.title, risk=each.risk, why=each.why, judge=each.judge) for each in ATTEMPTS)
