"""A pod made weak on purpose in one respect changes exactly the probes that speak of it."""

import asyncio
import os
import socket
from collections.abc import Iterator
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


def capabilities(*names: str) -> set[str]:
    return {f"surface.capability.{name.lower()}" for name in names}


def volume(source: dict[str, Any], at: str = "/v") -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}], "container": {"volumeMounts": [{"name": "v", "mountPath": at}]}}


def of_host(path: str, at: str = "") -> dict[str, Any]:
    return volume({"hostPath": {"path": path}}, at or path)


SOCKET = f"/var/tmp/nodeagent-known-answers-{os.getpid()}.sock"  # as a container runtime's


# No capabilities, the runtime's own filter, no new privileges, no token; root in the container, so that capabilities count.
BASE = {
    "automountServiceAccountToken": False,
    **context(
        allowPrivilegeEscalation=False,
        capabilities={"drop": ["ALL"]},
        seccompProfile={"type": "RuntimeDefault"},
    ),
}
EVERY = """AUDIT_WRITE BPF DAC_OVERRIDE DAC_READ_SEARCH MAC_ADMIN MKNOD NET_ADMIN NET_RAW PERFMON SETFCAP SYS_ADMIN SYS_BOOT
    SYS_CHROOT SYS_MODULE SYS_NICE SYS_PTRACE SYS_RAWIO SYS_TIME SYSLOG"""
# With them comes the container's own proc, as it was before the runtime covered it.
FOLDERS_OF_THE_NODE = {"identity.writable.mounts", "escapes.masks.elsewhere", "escapes.masks.proc_in_user_namespace"}
# Stronger than the base: root of the pod is nobody of the host's.
OWN_USERS = {"identity.namespace.user", "identity.host_root", "leaks.slab"}
WEAK: dict[str, tuple[dict[str, Any], set[str]]] = {
    # a neighbour that has no more capabilities lets itself be looked into
    "host-pid": (
        {"hostPID": True},
        {"leaks.processes", "leaks.environments", "identity.namespace.pid", "escapes.process_roots"},
    ),
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
            "escapes.tiocsti",
            "escapes.release_agent",
            *(
                f"escapes.masks.{way}"
                for way in ("proc_again", "proc_by_newer_calls", "remount", "taken_off", "bind", "open_tree")
            ),
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
    "proc": (of_host("/proc"), {"leaks.processes", "leaks.environments", "escapes.process_roots"}),
    "cgroups": (of_host("/sys/fs/cgroup"), {"identity.writable.cgroup"}),
    "machine-id": (of_host("/etc/machine-id"), {"leaks.machine_id"}),
    "volume": (of_host("/var/tmp", "/v"), FOLDERS_OF_THE_NODE),
    # not all of the host's: among what is mounted there are the sockets and the dead disks of other tests
    "programs": (of_host("/usr", "/v"), {"identity.writable.mounts"}),
    "empty-dir": (volume({"emptyDir": {}}), {"identity.writable.mounts"}),
    "socket": (of_host(SOCKET), {"identity.sockets"}),
    # the pod's first process is another container, whose proc is another too
    "shared-pid": (
        {"shareProcessNamespace": True},
        {"leaks.processes", "leaks.environments", "escapes.process_roots", "escapes.masks.root_links"},
    ),
    "perfmon": (capability("PERFMON"), {"surface.capability.perfmon"}),
    "sys-rawio": (capability("SYS_RAWIO"), {"surface.capability.sys_rawio"}),
    "sys-boot": (capability("SYS_BOOT"), {"surface.capability.sys_boot"}),
    "sys-nice": (capability("SYS_NICE"), {"surface.capability.sys_nice"}),
    "mac-admin": (capability("MAC_ADMIN"), {"surface.capability.mac_admin"}),
    "own-users": ({"hostUsers": False}, OWN_USERS),
    "unmasked": (
        {"hostUsers": False, **context(procMount="Unmasked")},
        {*OWN_USERS, "leaks.interrupts", "leaks.keys"},
    ),
    "default-capabilities": (
        context(capabilities=None),
        {
            *capabilities("AUDIT_WRITE", "DAC_OVERRIDE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT"),
            "surface.chroot",
            "surface.file_systems_in_user_namespace",
            "surface.mknod",
            "surface.socket.audit",
            "surface.socket.packet",
            "surface.socket.raw",
            "surface.socket.xdp",
        },
    ),
    "privileged": (
        context(privileged=True, allowPrivilegeEscalation=True),
        {
            *capabilities(*EVERY.split()),
            "escapes.core_pattern",
            "escapes.masks.bind",
            "escapes.masks.open_tree",
            "escapes.masks.proc_again",
            "escapes.masks.proc_by_newer_calls",
            "escapes.masks.proc_in_user_namespace",
            "escapes.masks.remount",
            "escapes.masks.root_links",
            "escapes.masks.taken_off",
            "escapes.release_agent",
            "escapes.tiocsti",
            "identity.setuid",
            "identity.writable.cgroup",
            "identity.writable.proc_control",
            "identity.writable.proc_sys",
            "identity.writable.sys",
            "leaks.interrupts",
            "leaks.kernel_addresses",
            "leaks.keys",
            "leaks.kmsg",
            "leaks.proc_kmsg",
            "leaks.timer_list",
            "surface.add_key",
            "surface.bpf",
            "surface.chroot",
            "surface.devices",
            "surface.fanotify",
            "surface.file_systems",
            "surface.file_systems_in_user_namespace",
            "surface.io_uring",
            "surface.ioctl.immutable",
            "surface.ioctl.kvm",
            "surface.ioctl.tiocsti",
            "surface.kcmp",
            "surface.kernel_log",
            "surface.mknod",
            "surface.mount",
            "surface.mount_namespace",
            "surface.network_namespace",
            "surface.no_aslr",
            "surface.no_new_privs",
            "surface.open_by_handle",
            "surface.open_tree",
            "surface.perf",
            "surface.perf_kernel",
            "surface.pid_namespace",
            "surface.seccomp",
            "surface.set_host_name",
            "surface.socket.audit",
            "surface.socket.packet",
            "surface.socket.raw",
            "surface.socket.xdp",
            "surface.syscalls",
            "surface.userfaultfd",
        },
    ),
    # what weakens nothing that a probe sees
    "sysctl": (
        {"securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}},
        set(),
    ),
    "groups": ({"securityContext": {"supplementalGroups": [1234]}}, {"identity.groups"}),
    "no-limits": ({"container": {"resources": None}}, set()),
    "app-armor": (context(appArmorProfile={"type": "Unconfined"}), set()),
    "not-root": (
        context(runAsUser=65534),
        {
            "identity.root",
            "identity.host_root",
            "identity.writable.root",
            "identity.write_and_run",
            "leaks.slab",
            "surface.file_systems_in_user_namespace",
            "identity.groups",
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


def verdicts(found: dict[str, Finding]) -> dict[str, str]:
    """Probe -> verdict; of the groups, which are good or bad for nobody, which they are."""
    return {
        probe: finding.evidence if probe == "identity.groups" else finding.verdict for probe, finding in found.items()
    }


@pytest.fixture
def listener() -> Iterator[None]:
    """Somebody at the socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(SOCKET)
        yield
    Path(SOCKET).unlink()


@pytest.mark.usefixtures("listener")
async def test_each_weakness_changes_its_own_probes(probe_cache: Path) -> None:
    """With runc, against a pod that gives nothing away: so many specs, each with the probes whose verdict it changes."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with laboratory("runc", BASE, probe_cache) as machine:
        known = had_here(machine)

        async def wrong(name: str, changes: dict[str, Any], expected: set[str]) -> list[str]:
            """What does not answer as it must: the base's finding, and the weak pod's."""
            async with turns:
                found = await machine.findings(name, changes)
            told = verdicts(found)
            changed = {probe for probe in known if told[probe] != base[probe]}
            return [f"{name}: {strict[probe]} -> {found[probe]}" for probe in sorted(changed ^ (expected & known))]

        strict = await machine.findings("base", {})
        base = verdicts(strict)
        answers = await asyncio.gather(*(wrong(name, *weak) for name, weak in WEAK.items()))
        surprises = [surprise for answer in answers for surprise in answer]
        assert not surprises, "\n".join(surprises)
        failed = [finding for finding in strict.values() if finding.verdict is Verdict.FAILED]
        assert [finding for finding in failed if not _is_of_an_experiment(finding)] == []
        await what_hangs(machine)


def _is_of_an_experiment(finding: Finding) -> bool:
    """Experiments have pods of their own, in tests of their own (`test_escapes.py`)."""
    return any(finding.evidence == f"{each.name}: not looked at" for group in GROUPS for each in group.experiments)


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
