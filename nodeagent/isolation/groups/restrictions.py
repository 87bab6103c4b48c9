"""What a process was deprived of: capabilities, new privileges, system calls, files by label."""

from collections.abc import Callable

from nodeagent.isolation.contract import By, Finding, Probe, Risk, Sight, Verdict
from nodeagent.isolation.groups import facts

# Those that lead to the host, or to other pods, from within a container; the others count together.
_DANGEROUS = {
    "SYS_ADMIN": (Risk.HIGH, "mounting, namespaces, and a hundred other things: as good as root"),
    "SYS_MODULE": (Risk.HIGH, "loads code into the kernel"),
    "SYS_RAWIO": (Risk.HIGH, "devices and memory without the kernel"),
    "SYS_PTRACE": (Risk.HIGH, "with the host's processes in sight, code in them"),
    "DAC_READ_SEARCH": (Risk.HIGH, "reads any file that it can name, by a handle outside its root too"),
    "BPF": (Risk.HIGH, "programs in the kernel"),
    "SYS_BOOT": (Risk.HIGH, "another kernel, or none"),
    "NET_ADMIN": (Risk.MEDIUM, "interfaces, routes and packet filters of its network namespace, and their code"),
    "NET_RAW": (Risk.MEDIUM, "packets with any sender: ARP and DNS of the bridge are spoofed with it"),
    "PERFMON": (Risk.MEDIUM, "performance events of the kernel"),
    "SYSLOG": (Risk.MEDIUM, "the kernel's log, and its addresses"),
    "SYS_TIME": (Risk.MEDIUM, "the host's clock"),
    "SYS_NICE": (Risk.MEDIUM, "real-time priority, and other processes' priorities"),
    "SYS_RESOURCE": (Risk.MEDIUM, "beyond limits and quotas"),
    "MKNOD": (Risk.MEDIUM, "device nodes"),
    "MAC_ADMIN": (Risk.MEDIUM, "the LSM's policy"),
    "DAC_OVERRIDE": (Risk.LOW, "files of other users, in every volume"),
    "SYS_CHROOT": (Risk.LOW, "another root directory"),
    "SETFCAP": (Risk.LOW, "capabilities for files, which outlast the process"),
    "AUDIT_WRITE": (Risk.LOW, "lines in the host's audit log"),
}


def _seccomp(sight: Sight) -> Finding:
    mode = facts.fact(sight.own, "identity", "status").get("Seccomp", "")
    change = "securityContext.seccompProfile.type: RuntimeDefault"
    evidence = f"/proc/self/status: Seccomp {mode or 'not told'}"
    if mode == "2":
        refused = len(facts.fact(sight.own, "syscalls").get("filter", {}))
        return Finding(
            probe="surface.seccomp",
            verdict=Verdict.BLOCKED,
            by=By.SECCOMP,
            value=f"a filter that refuses {refused} calls with an error of its own",
            evidence=evidence,
        )
    return facts.works(
        sight, "surface.seccomp", value="none", evidence=evidence, change="" if sight.is_host else change
    )


def _no_new_privs(sight: Sight) -> Finding:
    value = facts.fact(sight.own, "identity", "status").get("NoNewPrivs", "")
    evidence = f"/proc/self/status: NoNewPrivs {value or 'not told'}"
    if value == "1":
        return Finding(
            probe="surface.no_new_privs", verdict=Verdict.BLOCKED, by=By.NO_NEW_PRIVS, value=value, evidence=evidence
        )
    return Finding(
        probe="surface.no_new_privs",
        verdict=Verdict.OPEN,
        value=value,
        evidence=evidence,
        change="" if sight.is_host else "securityContext.allowPrivilegeEscalation: false",
    )


def _lsm(sight: Sight) -> Finding:
    label = facts.text(sight.own, "identity", "label").strip()
    if label and not label.startswith("unconfined"):
        return Finding(probe="surface.lsm", verdict=Verdict.BLOCKED, by=By.LSM, value=label, evidence=f"label {label}")
    if not facts.text(sight.host, "identity", "label").strip():
        evidence = "this host has no LSM that gives labels"
        return Finding(probe="surface.lsm", verdict=Verdict.NOT_APPLICABLE, value=label, evidence=evidence)
    change = "" if sight.is_host else "securityContext.appArmorProfile.type: RuntimeDefault"
    return facts.works(sight, "surface.lsm", value=label or "none", evidence=f"label {label or 'none'}", change=change)


def _capability(name: str) -> Callable[[Sight], Finding]:
    probe = f"surface.capability.{name.lower()}"

    def judge(sight: Sight) -> Finding:
        evidence = f"/proc/self/status: CapEff {facts.text(sight.own, 'identity', 'status', 'CapEff')}"
        if not facts.has_capability(sight.own, name):
            return Finding(
                probe=probe, verdict=Verdict.BLOCKED, by=By.CAPABILITY, value="not effective", evidence=evidence
            )
        change = "" if sight.is_host else f"securityContext.capabilities.drop: [{name}]"
        if not sight.is_host and not facts.own_kernel(sight) and _in_user_namespace(sight):
            return Finding(
                probe=probe,
                verdict=Verdict.LIMITED,
                by=By.NAMESPACE,
                value="effective, within its user namespace",
                evidence=f"{evidence}; uid_map {facts.text(sight.own, 'identity', 'uid_map').split()}",
                change=change,
                exposure=facts.OWN_KERNEL_EXPOSURE,
            )
        return facts.works(sight, probe, value="effective", evidence=evidence, change=change)

    return judge


def _in_user_namespace(sight: Sight) -> bool:
    own, host = (facts.fact(each, "identity", "namespaces").get("user") for each in (sight.own, sight.host))
    return bool(own != host)


def _capabilities(sight: Sight) -> Finding:
    names = [name for name in facts.CAPABILITIES if facts.has_capability(sight.own, name)]
    value = f"{len(names)} of {len(facts.CAPABILITIES)}"
    return Finding(
        probe="surface.capabilities", verdict=Verdict.MEASURED, value=value, evidence=", ".join(names) or "none"
    )


def _bounding_set(sight: Sight) -> Finding:
    bits = int(facts.text(sight.own, "identity", "status", "CapBnd"), 16)
    names = [name for at, name in enumerate(facts.CAPABILITIES) if bits >> at & 1]
    return Finding(
        probe="surface.bounding_set",
        verdict=Verdict.MEASURED,
        value=f"{len(names)} of {len(facts.CAPABILITIES)}",
        evidence=", ".join(names) or "none",
    )


def _limits(sight: Sight) -> Finding:
    limits = facts.fact(sight.own, "identity", "limits")
    told = ", ".join(f"{name} {'/'.join(map(str, values))}" for name, values in limits.items())
    few = "/".join(map(str, limits.get("nofile", ["?"])))
    return Finding(probe="surface.limits", verdict=Verdict.MEASURED, value=f"nofile {few}", evidence=told)


PROBES = (
    Probe(
        id="surface.seccomp",
        title="no filter of system calls",
        risk=Risk.MEDIUM,
        why="every flaw in any system call of the kernel is in reach",
        judge=_seccomp,
    ),
    Probe(
        id="surface.no_new_privs",
        title="privileges can be gained by running a file",
        risk=Risk.LOW,
        why="a file with the setuid bit, or with capabilities, gives more rights than the process has",
        judge=_no_new_privs,
    ),
    Probe(
        id="surface.lsm",
        title="not confined by an LSM",
        risk=Risk.LOW,
        why="AppArmor or SELinux would hold after another wall has fallen",
        judge=_lsm,
    ),
    *(
        Probe(
            id=f"surface.capability.{name.lower()}",
            title=f"CAP_{name}",
            risk=risk,
            why=why,
            judge=_capability(name),
        )
        for name, (risk, why) in _DANGEROUS.items()
    ),
    Probe(
        id="surface.capabilities",
        title="capabilities altogether",
        risk=Risk.NONE,
        why="each is a part of root's rights",
        judge=_capabilities,
    ),
    Probe(
        id="surface.bounding_set",
        title="capabilities to be had by a file",
        risk=Risk.NONE,
        why="what a file may give that the process does not have",
        judge=_bounding_set,
    ),
    Probe(
        id="surface.limits",
        title="limits of its processes (soft, hard; -1: none)",
        risk=Risk.NONE,
        why="what one process may use of the kernel's tables",
        judge=_limits,
    ),
)
