"""Group 2, information leaks: facts about the host, and about other pods, that a pod can read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nodeagent.isolation.contract import By, Facts, Finding, Group, Probe, Risk, Sight, Verdict
from nodeagent.isolation.groups import facts

_CLOCK_SLACK_MS = 30_000
"""Clocks that differ by less than this are one clock: they are read one after the other, and the time of day is adjusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A file of the host's. `steady`: its contents do not change by themselves, so that the same contents are the host's."""

    id: str
    path: str
    title: str
    risk: Risk
    why: str
    steady: bool = False

    def judge(self, sight: Sight) -> Finding:
        own = facts.fact(sight.own, "files", self.path)
        host = facts.fact(sight.host, "files", self.path)
        if own.get("read") != "ok":
            return self._refused(sight, str(own.get("read")), str(host.get("read")))
        evidence = f"{self.path}: {str(own.get('start', 'read')).strip()[:120]}"
        size = own.get("size")
        if size == 0:
            if host.get("size") in (0, None):
                return Finding(
                    probe=self.id, verdict=Verdict.NOT_APPLICABLE, value="empty", evidence=f"{self.path}: empty"
                )
            return Finding(
                probe=self.id,
                verdict=Verdict.BLOCKED,
                by=By.MASK,
                value="empty",
                evidence=f"{self.path}: empty, not on the host",
            )
        if sight.is_host:
            return Finding(probe=self.id, verdict=Verdict.OPEN, value="read", evidence=f"{self.path}: {size} bytes")
        if self.steady and own.get("hash") == host.get("hash"):
            return Finding(probe=self.id, verdict=Verdict.OPEN, value="the host's", evidence=evidence)
        if facts.own_kernel(sight):
            return Finding(
                probe=self.id, verdict=Verdict.BLOCKED, by=By.RUNTIME, value="the runtime's own", evidence=evidence
            )
        if self.steady:
            return Finding(probe=self.id, verdict=Verdict.BLOCKED, by=By.NAMESPACE, value="its own", evidence=evidence)
        return Finding(probe=self.id, verdict=Verdict.OPEN, value="the host's", evidence=evidence)

    def _refused(self, sight: Sight, said: str, host_says: str) -> Finding:
        if host_says not in ("ok", "None") and said == host_says:
            evidence = f"{self.path}: {said}, on the host too"
            return Finding(probe=self.id, verdict=Verdict.NOT_APPLICABLE, by=By.KERNEL, value=said, evidence=evidence)
        by = By.RUNTIME if facts.own_kernel(sight) else By.MOUNT if said == "ENOENT" else By.MASK
        if by is By.MASK and self.path.startswith("/dev/"):
            by = By.CGROUP
        if said in facts.REFUSED and facts.fact(sight.own, "identity").get("uid"):
            by = By.PERMISSIONS
        return Finding(probe=self.id, verdict=Verdict.BLOCKED, by=by, value=said, evidence=f"{self.path}: {said}")


def _files(risk: Risk, steady: bool, *rows: tuple[str, str, str, str]) -> tuple[Leak, ...]:
    """Rows of (name, path, title, why)."""
    return tuple(
        Leak(id=f"leaks.{name}", path=path, title=title, risk=risk, why=why, steady=steady)
        for name, path, title, why in rows
    )


LEAKS = (
    *_files(
        Risk.HIGH,
        False,
        ("kcore", "/proc/kcore", "the memory of the host", "everything"),
    ),
    *_files(
        Risk.MEDIUM,
        True,
        (
            "dmi_uuid",
            "/sys/class/dmi/id/product_uuid",
            "the machine's own number",
            "an id that some clouds take for a proof",
        ),
    ),
    *_files(
        Risk.MEDIUM,
        False,
        ("kmsg", "/dev/kmsg", "the kernel's log, as a device", "addresses, devices, what happens to other pods"),
        ("proc_kmsg", "/proc/kmsg", "the kernel's log, as a file", "addresses, devices, what happens to other pods"),
        ("keys", "/proc/keys", "keys of the kernel's keyrings", "what others keep there"),
        ("timer_list", "/proc/timer_list", "timers of all processes", "addresses, and what everybody does"),
        ("sched_debug", "/proc/sched_debug", "what runs on each processor", "names of all processes"),
        (
            "energy",
            "/sys/class/powercap/intel-rapl:0/energy_uj",
            "the processor's energy",
            "keys of neighbours' cryptography have been read off it",
        ),
    ),
    *_files(
        Risk.LOW,
        True,
        ("version", "/proc/version", "the kernel's version", "which exploits fit"),
        ("config", "/proc/config.gz", "the kernel's configuration", "which exploits fit"),
        ("cmdline", "/proc/cmdline", "the kernel's command line", "mitigations, disks, now and then a secret"),
        ("boot_id", "/proc/sys/kernel/random/boot_id", "the id of the host's boot", "pods of one host know each other"),
        ("host_name", "/proc/sys/kernel/hostname", "the host's name", "which machine it is"),
        ("dmi", "/sys/class/dmi/id/product_name", "the machine's model", "which machine it is, and in which cloud"),
        ("machine_id", "/etc/machine-id", "the host's machine id", "an id that stays"),
    ),
    *_files(
        Risk.LOW,
        False,
        ("modules", "/proc/modules", "modules of the kernel", "which exploits fit"),
        ("partitions", "/proc/partitions", "disks", "what the host is made of"),
        ("swaps", "/proc/swaps", "swap", "what the host is made of"),
        ("interrupts", "/proc/interrupts", "interrupts", "devices, and when keys and packets come"),
        ("cpuinfo", "/proc/cpuinfo", "the processor", "which machine it is; which flaws it has"),
        ("meminfo", "/proc/meminfo", "the host's memory", "how big and how busy the host is"),
        ("stat", "/proc/stat", "what all processors do", "what neighbours do, second by second"),
        ("loadavg", "/proc/loadavg", "the host's load", "what neighbours do; the last process id"),
        ("diskstats", "/proc/diskstats", "what all disks do", "what neighbours do"),
        ("pressure", "/proc/pressure/cpu", "the host's pressure", "what neighbours do"),
        ("vmstat", "/proc/vmstat", "the kernel's memory statistics", "what neighbours do"),
        ("cgroups", "/proc/cgroups", "how many cgroups there are", "how many pods and services there are"),
        ("slab", "/proc/slabinfo", "the kernel's allocations", "helps to lay out its memory"),
    ),
)


_KALLSYMS = "/proc/kallsyms"


def _addresses(sight: Sight) -> Finding:
    probe = "leaks.kernel_addresses"
    own = facts.fact(sight.own, "files", _KALLSYMS)
    if own.get("read") != "ok":
        by = By.RUNTIME if facts.own_kernel(sight) else By.PERMISSIONS
        evidence = f"{_KALLSYMS}: {own.get('read')}"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value=str(own.get("read")), evidence=evidence)
    start = str(own.get("start", "")).split(" ")[0]
    if not start.strip("0") and not sight.is_host:
        by = By.RUNTIME if facts.own_kernel(sight) else By.CAPABILITY
        evidence = f"{_KALLSYMS}: every address is 0 without CAP_SYSLOG (kptr_restrict)"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value="names alone", evidence=evidence)
    return facts.works(sight, probe, value="read", evidence=f"{_KALLSYMS}: addresses are told")


def _processes(sight: Sight) -> Finding:
    seen = facts.fact(sight.own, "processes")
    others, word = int(facts.fact(sight.own, "processes", "others")), int(seen.get("named", 0))
    if others:
        return Finding(
            probe="leaks.processes",
            verdict=Verdict.OPEN,
            value=f"{others} others" + (", a neighbour's among them" if word else ""),
            evidence="; ".join(map(str, seen.get("some", ())))[:400],
            change="" if sight.is_host else "hostPID: false, shareProcessNamespace: false",
        )
    by = By.RUNTIME if facts.own_kernel(sight) else By.NAMESPACE
    return Finding(
        probe="leaks.processes", verdict=Verdict.BLOCKED, by=by, value="none", evidence="/proc has its own alone"
    )


def _environments(sight: Sight) -> Finding:
    count, others = (int(facts.fact(sight.own, "processes", name)) for name in ("environments", "others"))
    if count:
        return Finding(
            probe="leaks.environments",
            verdict=Verdict.OPEN,
            value=f"of {count} others",
            evidence="/proc/PID/environ can be opened",
            change="" if sight.is_host else "hostPID: false",
        )
    by = By.RUNTIME if facts.own_kernel(sight) else By.PERMISSIONS if others else By.NAMESPACE
    return Finding(
        probe="leaks.environments", verdict=Verdict.BLOCKED, by=by, value="none", evidence=f"{others} others are seen"
    )


def _token(sight: Sight) -> Finding:
    path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    said = facts.text(sight.own, "files", path, "read")
    if said == "ok":
        change = "" if sight.is_host else "automountServiceAccountToken: false"
        return Finding(probe="leaks.token", verdict=Verdict.OPEN, value="there", evidence=path, change=change)
    by = By.MOUNT if said == "ENOENT" else By.PERMISSIONS
    return Finding(probe="leaks.token", verdict=Verdict.BLOCKED, by=by, value=said, evidence=f"{path}: {said}")


def _host_paths(sight: Sight) -> Finding:
    mounts: list[dict[str, Any]] = facts.fact(sight.own, "mounts", "mounts")
    shown = sorted({path for mount in mounts for path in _paths_of(mount)})
    if shown:
        return facts.works(sight, "leaks.host_paths", value=f"{len(shown)} paths", evidence=", ".join(shown)[:600])
    by = By.RUNTIME if facts.own_kernel(sight) else By.NAMESPACE
    return Finding(
        probe="leaks.host_paths", verdict=Verdict.BLOCKED, by=by, value="none", evidence="mountinfo names none"
    )


def _paths_of(mount: dict[str, Any]) -> list[str]:
    """Of the host: where a mount comes from, and an overlay's layers."""
    roots = (
        [str(mount.get("root", "/"))]
        if mount.get("kind") not in ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue")
        else []
    )
    options = str(mount.get("system options", "")).split(",")
    layers = [part.partition("=")[2] for part in options if part.startswith(("upperdir=", "workdir="))]
    return [path for path in (*roots, *layers) if path.startswith("/") and path != "/" and not path.startswith("/..")]


def _cgroup_path(sight: Sight) -> Finding:
    text = facts.text(sight.own, "identity", "cgroup")
    paths = sorted({line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2} - {"/"})
    if paths:
        return facts.works(sight, "leaks.cgroup_path", value="shown", evidence=", ".join(paths)[:300])
    by = By.RUNTIME if facts.own_kernel(sight) else By.NAMESPACE
    return Finding(
        probe="leaks.cgroup_path",
        verdict=Verdict.BLOCKED,
        by=by,
        value="/",
        evidence=text.strip()[:200] or "no cgroups",
    )


def _processor(sight: Sight) -> Finding:
    own, host = facts.fact(sight.own, "processor"), facts.fact(sight.host, "processor")
    if "model" not in own:
        return Finding(
            probe="leaks.cpuid", verdict=Verdict.NOT_APPLICABLE, evidence="this processor has no such instruction"
        )
    value = str(own["model"]).strip()
    if own.get("model") == host.get("model") and own.get("signature") == host.get("signature"):
        evidence = f"CPUID says {value}, hypervisor: {own.get('hypervisor')}"
        return Finding(probe="leaks.cpuid", verdict=Verdict.OPEN, value=value, evidence=evidence)
    return Finding(
        probe="leaks.cpuid", verdict=Verdict.BLOCKED, by=By.RUNTIME, value=value, evidence="not the host's processor"
    )


def _size(sight: Sight) -> Finding:
    names = ("online", "memory bytes")
    own, host = ([int(facts.fact(each, "processor", name)) for name in names] for each in (sight.own, sight.host))
    value = f"{own[0]} processors, {own[1] >> 20} MiB"
    same = [name for name, here, there in zip(names, own, host, strict=True) if here == there]
    if same:
        return Finding(probe="leaks.size", verdict=Verdict.OPEN, value=value, evidence=f"the host's: {', '.join(same)}")
    return Finding(probe="leaks.size", verdict=Verdict.BLOCKED, by=By.RUNTIME, value=value, evidence="not the host's")


def _began(seen: Facts, name: str) -> int:
    """When a clock was at 0, in ms of the time of day: two looks at one clock, however far apart, have that in common."""
    return int(facts.fact(seen, "clocks", "realtime ms")) - int(facts.fact(seen, "clocks", name))


def _clock(probe: str, name: str) -> Callable[[Sight], Finding]:
    def judge(sight: Sight) -> Finding:
        value = f"{int(facts.fact(sight.own, 'clocks', name)) // 1000} s"
        own, host = (_began(each, name) for each in (sight.own, sight.host))
        if abs(own - host) < _CLOCK_SLACK_MS:
            return Finding(probe=probe, verdict=Verdict.OPEN, value=value, evidence=f"{name}: the host's")
        by = By.RUNTIME if facts.own_kernel(sight) else By.NAMESPACE
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value=value, evidence=f"{name}: not the host's")

    return judge


def _reaches(probe: str, words: tuple[str, ...]) -> Callable[[Sight], Finding]:
    def judge(sight: Sight) -> Finding:
        said = {
            place: str(answer) for place, answer in facts.fact(sight.own, "reach").items() if place.startswith(words)
        }
        told = ", ".join(f"{place}: {answer}" for place, answer in said.items())
        if not said:
            return Finding(probe=probe, verdict=Verdict.NOT_APPLICABLE, evidence="there was nothing to reach")
        if any(answer in ("ok", "ECONNREFUSED", "ECONNRESET") for answer in said.values()):
            return Finding(probe=probe, verdict=Verdict.OPEN, value="reached", evidence=told, change="a NetworkPolicy")
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.NETWORK, value="not reached", evidence=told)

    return judge


def _neighbours(sight: Sight) -> Finding:
    seen = facts.fact(sight.own, "network")
    addresses = [entry for entry in seen.get("addresses", ()) if not str(entry).startswith("lo ")]
    told = f"{', '.join(map(str, addresses))}; {seen.get('tcp sockets')} TCP and {seen.get('unix sockets')} unix sockets listed"
    return Finding(probe="leaks.network", verdict=Verdict.MEASURED, value=f"{len(addresses)} addresses", evidence=told)


def _environment(sight: Sight) -> Finding:
    names = [str(name) for name in facts.fact(sight.own, "environment", "names")]
    return Finding(
        probe="leaks.environment",
        verdict=Verdict.MEASURED,
        value=f"{len(names)} variables",
        evidence=", ".join(names)[:600],
    )


_MORE = (
    Probe(
        id="leaks.kernel_addresses",
        title="addresses of the kernel's functions",
        risk=Risk.MEDIUM,
        why="what its randomization hides: exploits need them",
        judge=_addresses,
    ),
    Probe(
        id="leaks.processes",
        title="processes of others",
        risk=Risk.HIGH,
        why="their command lines; targets of signals",
        judge=_processes,
    ),
    Probe(
        id="leaks.environments",
        title="environments of others' processes",
        risk=Risk.HIGH,
        why="secrets in them",
        judge=_environments,
    ),
    Probe(
        id="leaks.token",
        title="a token of the API",
        risk=Risk.MEDIUM,
        why="the rights of the pod's service account, for who gets into the pod",
        judge=_token,
        on_host=False,
    ),
    Probe(
        id="leaks.environment",
        title="its environment (names)",
        risk=Risk.NONE,
        why="addresses of services, and what the spec gives",
        judge=_environment,
        on_host=False,
    ),
    Probe(
        id="leaks.host_paths",
        title="paths of the host in mountinfo",
        risk=Risk.LOW,
        why="where to look, once there is a way",
        judge=_host_paths,
        on_host=False,
    ),
    Probe(
        id="leaks.cgroup_path",
        title="its cgroup's path on the host",
        risk=Risk.LOW,
        why="ids of pod and container; what release_agent needs",
        judge=_cgroup_path,
    ),
    Probe(
        id="leaks.cpuid",
        title="the processor, asked directly",
        risk=Risk.LOW,
        why="no kernel can hide it without a virtual machine",
        judge=_processor,
    ),
    Probe(
        id="leaks.size",
        title="the host's processors and memory",
        risk=Risk.LOW,
        why="how big the host is; programs choose their sizes by it",
        judge=_size,
    ),
    Probe(
        id="leaks.uptime",
        title="since when the host is up",
        risk=Risk.LOW,
        why="which patches it cannot have; pods of one host know each other",
        judge=_clock("leaks.uptime", "boot ms"),
    ),
    Probe(
        id="leaks.monotonic",
        title="the host's monotonic clock",
        risk=Risk.LOW,
        why="as the uptime",
        judge=_clock("leaks.monotonic", "monotonic ms"),
    ),
    Probe(
        id="leaks.network",
        title="its network",
        risk=Risk.NONE,
        why="addresses and sockets that it sees",
        judge=_neighbours,
    ),
    Probe(
        id="leaks.reaches_pods",
        title="other pods over the network",
        risk=Risk.MEDIUM,
        why="services that were not meant for it",
        judge=_reaches("leaks.reaches_pods", ("NEIGHBOUR",)),
        on_host=False,
    ),
    Probe(
        id="leaks.reaches_node",
        title="services of the host over the network",
        risk=Risk.MEDIUM,
        why="services that listen everywhere",
        judge=_reaches("leaks.reaches_node", ("NODE",)),
        on_host=False,
    ),
)

GROUP = Group(
    name="leaks",
    title="Information leaks",
    sections=(
        "identity",
        "processes=WORD",
        "mounts",
        "network=WORD",
        "reach=NEIGHBOUR:7777,NODE:1",
        "environment",
        "clocks",
        "processor",
        f"files={','.join(leak.path for leak in LEAKS)},{_KALLSYMS},/var/run/secrets/kubernetes.io/serviceaccount/token",
    ),
    probes=(
        *(Probe(id=leak.id, title=leak.title, risk=leak.risk, why=leak.why, judge=leak.judge) for leak in LEAKS),
        *_MORE,
    ),
)
