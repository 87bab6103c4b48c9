"""A pod made weak on purpose in one respect changes exactly the probes that speak of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from components import needs
from isolation_laboratory import Laboratory, laboratory

from nodeagent.isolation.contract import Finding, Group, PodRequest, Sight, StageError, Verdict
from nodeagent.isolation.evaluation import findings
from nodeagent.isolation.groups.registry import GROUPS
from nodeagent.isolation.probe.output import facts_of

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("isolation"), needs("runc", "cc")]

AT_ONCE = 4


def context(**fields: Any) -> dict[str, Any]:
    return {"container": {"securityContext": fields}}


def capability(name: str) -> dict[str, Any]:
    return context(capabilities={"drop": ["ALL"], "add": [name]})


def of_host(path: str, at: str = "") -> dict[str, Any]:
    mount = {"name": "v", "mountPath": at or path}
    return {"volumes": [{"name": "v", "hostPath": {"path": path}}], "container": {"volumeMounts": [mount]}}


# No capabilities, the runtime's own filter, no new privileges, no token; root in the container, so that capabilities count.
BASE = {
    "automountServiceAccountToken": False,
    **context(
        allowPrivilegeEscalation=False,
        capabilities={"drop": ["ALL"]},
        seccompProfile={"type": "RuntimeDefault"},
    ),
}
WEAK: dict[str, tuple[dict[str, Any], set[str]]] = {
    # a neighbour that has no more capabilities lets itself be looked into
    "host-pid": ({"hostPID": True}, {"leaks.processes", "leaks.environments", "identity.namespace.pid"}),
    "host-network": (
        {"hostNetwork": True},
        {"leaks.host_name", "identity.namespace.net", "identity.namespace.uts"},
    ),
    "host-ipc": ({"hostIPC": True}, {"identity.namespace.ipc"}),
    "no-seccomp": (
        context(seccompProfile={"type": "Unconfined"}),
        {
            "surface.seccomp",
            "surface.syscalls",
            "surface.socket.audit",
            "surface.perf",
            "surface.io_uring",
            "surface.add_key",
            "surface.kcmp",
            "surface.no_aslr",
        },
    ),
    "escalation": (context(allowPrivilegeEscalation=True), {"surface.no_new_privs"}),
    "setuid": (
        {**capability("SETUID"), **context(allowPrivilegeEscalation=True, capabilities={"add": ["SETUID"]})},
        {"surface.no_new_privs", "identity.setuid"},
    ),
    "token": ({"automountServiceAccountToken": True}, {"leaks.token"}),
    "read-only-root": (
        context(readOnlyRootFilesystem=True),
        {"identity.writable.root"},
    ),
    "net-raw": (
        capability("NET_RAW"),
        {"surface.capability.net_raw", "surface.socket.packet", "surface.socket.raw", "surface.socket.xdp"},
    ),
    "sys-admin": (
        capability("SYS_ADMIN"),
        {
            "surface.capability.sys_admin",
            "surface.bpf",
            "surface.perf",
            "surface.perf_kernel",
            "surface.mount_namespace",
            "surface.network_namespace",
            "surface.pid_namespace",
            "surface.fanotify",
            "surface.mount",
            "surface.open_tree",
            "surface.set_host_name",
            "surface.file_systems",
            "surface.ioctl.tiocsti",
        },
    ),
    "syslog": (
        capability("SYSLOG"),
        {"surface.capability.syslog", "surface.kernel_log", "leaks.proc_kmsg", "leaks.kernel_addresses"},
    ),
    "mknod": (capability("MKNOD"), {"surface.capability.mknod", "surface.mknod"}),
    "sys-ptrace": (capability("SYS_PTRACE"), {"surface.capability.sys_ptrace", "surface.kcmp"}),
    "dac-read-search": (
        capability("DAC_READ_SEARCH"),
        {"surface.capability.dac_read_search", "surface.open_by_handle"},
    ),
    "sys-chroot": (capability("SYS_CHROOT"), {"surface.capability.sys_chroot", "surface.chroot"}),
    "setfcap": (
        capability("SETFCAP"),
        {"surface.capability.setfcap", "surface.file_systems_in_user_namespace"},
    ),
    "audit-write": (capability("AUDIT_WRITE"), {"surface.capability.audit_write", "surface.socket.audit"}),
    "linux-immutable": (capability("LINUX_IMMUTABLE"), {"surface.ioctl.immutable"}),
    "dac-override": (capability("DAC_OVERRIDE"), {"surface.capability.dac_override"}),
    "net-admin": (capability("NET_ADMIN"), {"surface.capability.net_admin"}),
    "sys-module": (capability("SYS_MODULE"), {"surface.capability.sys_module"}),
    "sys-time": (capability("SYS_TIME"), {"surface.capability.sys_time"}),
    "bpf": (capability("BPF"), {"surface.capability.bpf"}),
    "devices": (of_host("/dev"), {"surface.devices"}),
    "sys": (of_host("/sys"), {"identity.writable.sys"}),
    "proc": (of_host("/proc"), {"leaks.processes", "leaks.environments"}),
    "cgroups": (of_host("/sys/fs/cgroup"), {"identity.writable.cgroup"}),
    "machine-id": (of_host("/etc/machine-id"), {"leaks.machine_id"}),
    "volume": (of_host("/var/tmp", "/v"), {"identity.writable.mounts"}),
    "not-root": (
        context(runAsUser=65534),
        {
            "identity.root",
            "identity.host_root",
            "identity.writable.root",
            "identity.write_and_run",
            "leaks.slab",
            "surface.file_systems_in_user_namespace",
        },
    ),
}


def had_here(machine: Laboratory) -> set[str]:
    """The probes of what this machine has: whether a pod is kept off the rest says nothing."""
    groups = [_on_host(group) for group in GROUPS]
    absent = {
        finding.probe
        for finding in findings(groups, Sight(own=machine.host, host=machine.host))
        if finding.verdict is not Verdict.OPEN
    }
    return {probe.id for group in GROUPS for probe in group.probes} - absent


def _on_host(group: Group) -> Group:
    return Group(name=group.name, title=group.title, probes=tuple(probe for probe in group.probes if probe.on_host))


def verdicts(found: dict[str, Finding]) -> dict[str, Verdict]:
    return {probe: finding.verdict for probe, finding in found.items()}


async def test_each_weakness_changes_its_own_probes(probe_cache: Path) -> None:
    """With runc, against a pod that gives nothing away: so many specs, each with the probes whose verdict it changes."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with laboratory("runc", BASE, probe_cache) as machine:
        known = had_here(machine)

        async def changed(name: str, changes: dict[str, Any]) -> set[str]:
            async with turns:
                found = verdicts(await machine.findings(name, changes))
            return {probe for probe in known if found[probe] is not base[probe]}

        strict = await machine.findings("base", {})
        base = verdicts(strict)
        answers = await asyncio.gather(*(changed(name, changes) for name, (changes, _) in WEAK.items()))
        assert dict(zip(WEAK, answers, strict=True)) == {name: probes & known for name, (_, probes) in WEAK.items()}
        assert [finding for finding in strict.values() if finding.verdict is Verdict.FAILED] == []
        await what_hangs(machine)


async def what_hangs(machine: Laboratory) -> None:
    """A section that hangs is told of, and the next ones answer; a pod that hangs is gone after its deadline."""
    sections = ("sleep", "clocks")
    ended = await machine.stage.run(PodRequest(name="sleeps", arguments=sections), deadline_seconds=60)
    found = facts_of(ended.output, sections)
    assert found["sleep"] == {"error": "not done in 5 s"}
    assert "boot ms" in found["clocks"]
    with pytest.raises(StageError, match=r"pod hangs: does not end in 2 s"):
        await machine.stage.run(PodRequest(name="hangs", arguments=("hold", "nothing")), deadline_seconds=2)
    with pytest.raises(StageError, match=r"pod image: .*(ErrImagePull|ImagePullBackOff)"):
        await machine.stage.run(
            PodRequest(name="image", arguments=(), changes={"container": {"image": "127.0.0.1:1/none:1"}}),
            deadline_seconds=60,
        )
