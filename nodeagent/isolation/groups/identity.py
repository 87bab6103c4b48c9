"""Group 3, namespaces and identity: what is shared with the host and other pods, who the pod is, where it writes and runs."""

from collections.abc import Callable, Iterable
from typing import Any

from nodeagent.isolation.contract import By, Finding, Group, Probe, Risk, Sight, Verdict
from nodeagent.isolation.groups import facts

_NAMESPACES = {
    "pid": (Risk.HIGH, "hostPID: false", "signals to the host's processes, and their /proc"),
    "net": (
        Risk.HIGH,
        "hostNetwork: false",
        "the host's interfaces, its abstract sockets, what listens on its loopback",
    ),
    "ipc": (Risk.MEDIUM, "hostIPC: false", "shared memory and queues of the host's programs"),
    "mnt": (Risk.HIGH, "", "the host's files"),
    "uts": (Risk.LOW, "hostNetwork: false", "the host's name"),
    "cgroup": (Risk.LOW, "", "the paths of the host's cgroups"),
    "user": (Risk.MEDIUM, "hostUsers: false", "root here is root there, should anything else give way"),
    "time": (Risk.LOW, "", "the host's clocks"),
}
# Written to by the kernel's own meaning; each is opened for writing only.
_WRITABLE = {
    "proc_sys": (
        (
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/modprobe",
            "/proc/sys/vm/panic_on_oom",
            "/proc/sys/fs/binfmt_misc/register",
        ),
        Risk.HIGH,
        "settings of the kernel",
        "programs that the kernel starts as root of the host",
    ),
    "proc_control": (
        ("/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/proc/bus/pci"),
        Risk.HIGH,
        "controls of the kernel in /proc",
        "reboots the host, or takes its interrupts away",
    ),
    "sys": (
        (
            "/sys/kernel/uevent_helper",
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "/sys/power/state",
            "/sys/module/printk/parameters/time",
        ),
        Risk.HIGH,
        "controls of the kernel in /sys",
        "programs that the kernel starts as root of the host; devices",
    ),
    "cgroup": (
        ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs"),
        Risk.HIGH,
        "its cgroups",
        "limits of its own lifted; on cgroup v1 a release_agent",
    ),
}


def _namespace(kind: str) -> Callable[[Sight], Finding]:
    probe, change = f"identity.namespace.{kind}", _NAMESPACES[kind][1]

    def judge(sight: Sight) -> Finding:
        own, host = (facts.fact(each, "identity", "namespaces").get(kind) for each in (sight.own, sight.host))
        if facts.own_kernel(sight):
            evidence = f"{own or 'none told'}, of the runtime's own kernel"
            return Finding(
                probe=probe, verdict=Verdict.BLOCKED, by=By.RUNTIME, value="the runtime's", evidence=evidence
            )
        if own is None or host is None:
            evidence = f"this kernel has no {kind} namespaces"
            return Finding(probe=probe, verdict=Verdict.NOT_APPLICABLE, by=By.KERNEL, evidence=evidence)
        if own == host:
            return Finding(
                probe=probe, verdict=Verdict.OPEN, value="the host's", evidence=f"{own}, as the host", change=change
            )
        other = sight.neighbour.get("identity", {}).get("namespaces", {}).get(kind)
        if own == other:
            evidence = f"{own}, as another pod's"
            return Finding(
                probe=probe, verdict=Verdict.LIMITED, by=By.NAMESPACE, value="shared with pods", evidence=evidence
            )
        return Finding(
            probe=probe,
            verdict=Verdict.BLOCKED,
            by=By.NAMESPACE,
            value="its own",
            evidence=f"{own}; the host's is {host}",
        )

    return judge


def _root(sight: Sight) -> Finding:
    user = int(facts.fact(sight.own, "identity", "uid"))
    change = "securityContext.runAsNonRoot: true, runAsUser: 65534"
    if user:
        by = By.PERMISSIONS
        return Finding(
            probe="identity.root", verdict=Verdict.BLOCKED, by=by, value=f"uid {user}", evidence=f"uid {user}"
        )
    return facts.works(sight, "identity.root", value="uid 0", evidence="geteuid says 0", change=change)


def _host_root(sight: Sight) -> Finding:
    user = int(facts.fact(sight.own, "identity", "uid"))
    mapped = host_id(user, facts.text(sight.own, "identity", "uid_map"))
    if facts.own_kernel(sight):
        evidence = f"uid {user} of the runtime's own kernel"
        return Finding(
            probe="identity.host_root", verdict=Verdict.BLOCKED, by=By.RUNTIME, value=f"uid {user}", evidence=evidence
        )
    told = f"uid_map {facts.text(sight.own, 'identity', 'uid_map').split()}"
    if mapped == 0:
        change = "hostUsers: false, or securityContext.runAsNonRoot: true"
        return Finding(
            probe="identity.host_root", verdict=Verdict.OPEN, value="uid 0 of the host", evidence=told, change=change
        )
    by = By.NAMESPACE if user == 0 else By.PERMISSIONS
    return Finding(
        probe="identity.host_root", verdict=Verdict.BLOCKED, by=by, value=f"uid {mapped} of the host", evidence=told
    )


def host_id(user: int, mapping: str) -> int:
    """The id outside, of a `uid_map`; the id itself where it names none."""
    for line in mapping.splitlines():
        fields = line.split()
        if len(fields) == 3 and all(field.isdecimal() for field in fields):
            inside, outside, count = map(int, fields)
            if inside <= user < inside + count:
                return outside + user - inside
    return user


def _groups(sight: Sight) -> Finding:
    status = facts.fact(sight.own, "identity", "status")
    value = f"gid {facts.fact(sight.own, 'identity', 'gid')}"
    evidence = f"supplementary groups: {str(status.get('Groups', '')).strip() or 'none'}"
    return Finding(probe="identity.groups", verdict=Verdict.MEASURED, value=value, evidence=evidence)


def _setuid(sight: Sight) -> Finding:
    found = facts.fact(sight.own, "setuid")
    if found.get("effective") == 0 and found.get("user") != 0:
        change = "securityContext.allowPrivilegeEscalation: false"
        evidence = f"user {found.get('user')} runs a file of root's with the setuid bit, and is root"
        return facts.works(sight, "identity.setuid", value="works", evidence=evidence, change=change)
    if found.get("owner", 0) != 0:
        evidence = f"the file belongs to user {found['owner']} here"
        return Finding(
            probe="identity.setuid",
            verdict=Verdict.BLOCKED,
            by=By.NAMESPACE,
            value="no file of root's",
            evidence=evidence,
        )
    status = facts.fact(sight.own, "identity", "status")
    by = By.NO_NEW_PRIVS if status.get("NoNewPrivs") == "1" else By.CAPABILITY if "refused" in found else By.MOUNT
    if facts.own_kernel(sight) and by is By.MOUNT:
        by = By.RUNTIME
    evidence = f"refused: {found['refused']}" if "refused" in found else f"effective user {found.get('effective')}"
    return Finding(probe="identity.setuid", verdict=Verdict.BLOCKED, by=by, value="does not work", evidence=evidence)


def _root_file_system(sight: Sight) -> Finding:
    said = facts.text(sight.own, "mounts", "root")
    if said == "ok":
        change = "securityContext.readOnlyRootFilesystem: true"
        return Finding(
            probe="identity.writable.root",
            verdict=Verdict.OPEN,
            value=said,
            evidence="a file in / is made",
            change=change,
        )
    by = By.MOUNT if said == "EROFS" else By.PERMISSIONS
    return Finding(
        probe="identity.writable.root", verdict=Verdict.BLOCKED, by=by, value=said, evidence=f"a file in /: {said}"
    )


def _writable(name: str) -> Callable[[Sight], Finding]:
    probe, paths = f"identity.writable.{name}", _WRITABLE[name][0]

    def judge(sight: Sight) -> Finding:
        files = facts.fact(sight.own, "files")
        said = {
            path: str(files.get(path, {}).get("write", files.get(path, {}).get("read", "not tried"))) for path in paths
        }
        opened = [path for path, answer in said.items() if answer == "ok"]
        if opened:
            change = "" if sight.is_host else "securityContext.privileged: false, and no mounts of it from the host"
            return facts.works(sight, probe, value=f"{len(opened)} opened", evidence=", ".join(opened), change=change)
        told = ", ".join(f"{path}: {answer}" for path, answer in said.items())
        if facts.own_kernel(sight):
            return facts.blocked(probe, (By.RUNTIME, told), value="none")
        answers = set(said.values())
        by = By.MOUNT if "EROFS" in answers or answers == {"ENOENT"} else By.PERMISSIONS
        return facts.blocked(probe, (by, told), value="none")

    return judge


def _host_directories(sight: Sight) -> Finding:
    mounts: list[dict[str, Any]] = facts.fact(sight.own, "mounts", "mounts")
    # What the node itself puts there, on purpose: files of its own for this pod.
    own = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log", "/dev/shm", "/dev/mqueue", "/")
    found = [mount for mount in mounts if mount.get("write") == "ok" and mount.get("point") not in own]
    points = sorted(str(mount.get("point")) for mount in found if mount.get("kind") != "tmpfs")
    if points:
        change = "no hostPath volumes, or readOnly: true"
        return Finding(
            probe="identity.writable.mounts",
            verdict=Verdict.OPEN,
            value=f"{len(points)}",
            evidence=", ".join(points),
            change=change,
        )
    return Finding(
        probe="identity.writable.mounts",
        verdict=Verdict.BLOCKED,
        by=By.MOUNT,
        value="none",
        evidence="no writable directory of a volume",
    )


def _sockets(sight: Sight) -> Finding:
    mounts: list[dict[str, Any]] = facts.fact(sight.own, "mounts", "mounts")
    said = {str(mount["point"]): str(mount["socket"]) for mount in mounts if "socket" in mount}
    points = sorted(point for point, answer in said.items() if answer == "ok")
    if points:
        return Finding(
            probe="identity.sockets",
            verdict=Verdict.OPEN,
            value=f"{len(points)}",
            evidence=", ".join(points),
            change="no hostPath volumes of type Socket",
        )
    by = By.PERMISSIONS if said else By.MOUNT
    evidence = ", ".join(f"{point}: {answer}" for point, answer in said.items()) or "no mount is a socket"
    return Finding(probe="identity.sockets", verdict=Verdict.BLOCKED, by=by, value="none", evidence=evidence)


def _runnable(sight: Sight) -> Finding:
    mounts: list[dict[str, Any]] = facts.fact(sight.own, "mounts", "mounts")
    both = sorted(
        {str(mount.get("point")) for mount in mounts if mount.get("write") == "ok" and mount.get("run") == "ok"}
    )
    if both:
        return Finding(
            probe="identity.write_and_run", verdict=Verdict.OPEN, value=f"{len(both)} places", evidence=", ".join(both)
        )
    return Finding(
        probe="identity.write_and_run",
        verdict=Verdict.BLOCKED,
        by=By.MOUNT,
        value="none",
        evidence="nothing written can be run",
    )


def _abstract(sight: Sight) -> Finding:
    said = facts.text(sight.own, "network", "abstract socket")
    if said == "ok":
        change = "hostNetwork: false"
        evidence = "a neighbour's abstract socket is reached"
        return Finding(
            probe="identity.abstract_sockets", verdict=Verdict.OPEN, value=said, evidence=evidence, change=change
        )
    by = By.RUNTIME if facts.own_kernel(sight) else By.NAMESPACE
    return Finding(
        probe="identity.abstract_sockets", verdict=Verdict.BLOCKED, by=by, value=said, evidence=f"connect says {said}"
    )


def _oom(sight: Sight) -> Finding:
    value = facts.text(sight.own, "identity", "oom_score_adj").strip()
    return Finding(
        probe="identity.oom_score_adj",
        verdict=Verdict.MEASURED,
        value=value or "not told",
        evidence="/proc/self/oom_score_adj",
    )


def _paths() -> Iterable[str]:
    return (path for paths, *_ in _WRITABLE.values() for path in paths)


GROUP = Group(
    name="identity",
    title="Namespaces and identity",
    sections=("identity", "mounts", "setuid", "network=WORD", f"files={','.join(_paths())}"),
    probes=(
        *(
            Probe(
                id=f"identity.namespace.{kind}",
                title=f"a shared {kind} namespace",
                risk=risk,
                why=why,
                judge=_namespace(kind),
                on_host=False,
            )
            for kind, (risk, _, why) in _NAMESPACES.items()
        ),
        Probe(
            id="identity.root",
            title="it runs as root",
            risk=Risk.MEDIUM,
            why="every check of users passes, in volumes too",
            judge=_root,
            on_host=False,
        ),
        Probe(
            id="identity.host_root",
            title="its user is root of the host",
            risk=Risk.MEDIUM,
            why="what gets out is root there",
            judge=_host_root,
            on_host=False,
        ),
        Probe(
            id="identity.groups",
            title="its groups",
            risk=Risk.NONE,
            why="files that they may read",
            judge=_groups,
            on_host=False,
        ),
        Probe(
            id="identity.setuid",
            title="a file with the setuid bit makes root",
            risk=Risk.MEDIUM,
            why="from any user of the pod to its root",
            judge=_setuid,
            on_host=False,
        ),
        Probe(
            id="identity.writable.root",
            title="its root file system can be written",
            risk=Risk.LOW,
            why="programs can be replaced, and stay so",
            judge=_root_file_system,
            on_host=False,
        ),
        Probe(
            id="identity.writable.mounts",
            title="volumes that can be written",
            risk=Risk.MEDIUM,
            why="files of the host, or of other pods, if they are theirs too",
            judge=_host_directories,
            on_host=False,
        ),
        Probe(
            id="identity.sockets",
            title="unix sockets that are mounted",
            risk=Risk.HIGH,
            why="who listens there is asked as if by the host: a container runtime's makes pods of any kind",
            judge=_sockets,
            on_host=False,
        ),
        Probe(
            id="identity.write_and_run",
            title="places for programs of an intruder's own",
            risk=Risk.LOW,
            why="tools can be brought along",
            judge=_runnable,
            on_host=False,
        ),
        *(
            Probe(
                id=f"identity.writable.{name}",
                title=f"{title} can be written",
                risk=risk,
                why=why,
                judge=_writable(name),
            )
            for name, (_, risk, title, why) in _WRITABLE.items()
        ),
        Probe(
            id="identity.abstract_sockets",
            title="abstract unix sockets of other pods",
            risk=Risk.MEDIUM,
            why="services that trust whoever gets there (containerd's shims once did)",
            judge=_abstract,
            on_host=False,
        ),
        Probe(
            id="identity.oom_score_adj",
            title="its place when memory runs out",
            risk=Risk.NONE,
            why="who is killed first",
            judge=_oom,
            on_host=False,
        ),
    ),
)
