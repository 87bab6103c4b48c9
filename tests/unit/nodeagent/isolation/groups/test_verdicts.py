"""What facts mean: a table of facts, and the verdict with who is behind it."""

from collections.abc import Mapping
from typing import Any

import pytest

from nodeagent.isolation.contract import By, Finding, Sight, Verdict
from nodeagent.isolation.evaluation import judged
from nodeagent.isolation.groups.facts import CAPABILITIES
from nodeagent.isolation.groups.identity import host_id
from nodeagent.isolation.groups.registry import GROUPS

PROBES = {probe.id: probe for group in GROUPS for probe in group.probes}
LINUX = {"system": "Linux", "release": "6.1", "version": "#1"}
SENTRY = {"system": "Linux", "release": "4.4.0", "version": "#1 SMP Sun Jan 10"}
ALL = sum(1 << bit for bit in range(len(CAPABILITIES)))


def identity(
    *, kernel: Mapping[str, str] = LINUX, seccomp: str = "0", missing: str = "", **more: Any
) -> dict[str, Any]:
    bits = ALL & ~(1 << CAPABILITIES.index(missing)) if missing else ALL
    status = {"Seccomp": seccomp, "NoNewPrivs": "0", "CapEff": f"{bits:016x}", "CapBnd": f"{bits:016x}"}
    return {"kernel": kernel, "status": status, "uid": 0, "uid_map": "0 0 4294967295", **more}


def judge(probe: str, own: Mapping[str, Any], host: Mapping[str, Any]) -> Finding:
    own, host = ({"identity": identity(), **facts} for facts in (own, host))
    return judged(PROBES[probe], Sight(own=own, host=host))


MOUNT_OK = {"attempts": {"mount tmpfs": "ok"}}
MOUNT_REFUSED = {"attempts": {"mount tmpfs": "EPERM"}}


@pytest.mark.parametrize(
    ("own", "verdict", "by"),
    [
        (MOUNT_OK, Verdict.OPEN, By.UNKNOWN),
        ({**MOUNT_OK, "identity": identity(kernel=SENTRY)}, Verdict.LIMITED, By.RUNTIME),
        ({**MOUNT_REFUSED, "identity": identity(missing="SYS_ADMIN")}, Verdict.BLOCKED, By.CAPABILITY),
        (
            {
                **MOUNT_REFUSED,
                "identity": identity(seccomp="2", missing="SYS_ADMIN"),
                "syscalls": {"filter": {"mount": "EPERM"}},
            },
            Verdict.BLOCKED,
            By.SECCOMP,
        ),
        # a filter's own word for what it does not know
        (
            {
                "attempts": {"mount tmpfs": "ENOSYS"},
                "identity": identity(seccomp="2"),
                "syscalls": {"filter": {}, "results": {"mount": "ENOSYS"}},
            },
            Verdict.BLOCKED,
            By.SECCOMP,
        ),
        # without a filter nothing is a filter's
        ({**MOUNT_REFUSED, "syscalls": {"filter": {"mount": "EPERM"}}}, Verdict.BLOCKED, By.NAMESPACE),
        ({**MOUNT_REFUSED, "identity": identity(kernel=SENTRY)}, Verdict.BLOCKED, By.RUNTIME),
        ({"attempts": {"mount tmpfs": "EROFS"}}, Verdict.BLOCKED, By.MOUNT),
        ({"attempts": {}}, Verdict.FAILED, By.UNKNOWN),
    ],
)
def test_attempts(own: Mapping[str, Any], verdict: Verdict, by: By) -> None:
    """Who refuses: the filter before the kernel, the runtime's kernel before the host's, a capability before anything else."""
    host = {**MOUNT_OK, "syscalls": {"filter": {}, "results": {"mount": "EFAULT"}}}
    found = judge("surface.mount", own, host)
    assert (found.verdict, found.by) == (verdict, by)


def test_what_the_host_has_not_is_nobodys_merit() -> None:
    """Not applicable, and by the kernel."""
    found = judge("surface.raw_io", {"attempts": {"raw io ports": "ENOSYS"}}, {"attempts": {"raw io ports": "ENOSYS"}})
    assert (found.verdict, found.by) == (Verdict.NOT_APPLICABLE, By.KERNEL)


@pytest.mark.parametrize(
    ("own", "host", "verdict", "by"),
    [
        ({"read": "ok", "size": 9, "hash": "a"}, {"read": "ok", "size": 9, "hash": "a"}, Verdict.OPEN, By.UNKNOWN),
        ({"read": "ok", "size": 9, "hash": "b"}, {"read": "ok", "size": 9, "hash": "a"}, Verdict.BLOCKED, By.NAMESPACE),
        ({"read": "ok", "size": 0, "hash": "b"}, {"read": "ok", "size": 9, "hash": "a"}, Verdict.BLOCKED, By.MASK),
        ({"read": "EACCES"}, {"read": "ok", "size": 9, "hash": "a"}, Verdict.BLOCKED, By.MASK),
        ({"read": "ENOENT"}, {"read": "ok", "size": 9, "hash": "a"}, Verdict.BLOCKED, By.MOUNT),
        ({"read": "ENOENT"}, {"read": "ENOENT"}, Verdict.NOT_APPLICABLE, By.KERNEL),
    ],
)
def test_files(own: Mapping[str, Any], host: Mapping[str, Any], verdict: Verdict, by: By) -> None:
    """The same contents are the host's; empty is masked; what the host has not cannot leak."""
    path = "/proc/sys/kernel/hostname"
    found = judge("leaks.host_name", {"files": {path: own}}, {"files": {path: host}})
    assert (found.verdict, found.by) == (verdict, by)


def test_a_file_that_changes_is_the_hosts_if_the_kernel_is() -> None:
    """Contents differ from one moment to the next; those of another kernel say nothing of this host."""
    own, host = {"read": "ok", "size": 9, "hash": "b"}, {"read": "ok", "size": 9, "hash": "a"}
    facts = {"files": {"/proc/loadavg": own}}
    seen = {"files": {"/proc/loadavg": host}}
    assert judge("leaks.loadavg", facts, seen).verdict is Verdict.OPEN
    sentry = judge("leaks.loadavg", {**facts, "identity": identity(kernel=SENTRY)}, seen)
    assert (sentry.verdict, sentry.by) == (Verdict.BLOCKED, By.RUNTIME)


def test_system_calls_are_counted_against_the_hosts() -> None:
    """Refused, absent and reached; a filter's share is what is left of the risk."""
    own = {
        "identity": identity(seccomp="2"),
        "syscalls": {"filter": {"bpf": "EPERM"}, "results": {"read": "EBADF", "bpf": "EPERM", "old": "ENOSYS"}},
    }
    host = {"syscalls": {"filter": {}, "results": {"read": "EBADF", "bpf": "E2BIG", "old": "ENOSYS"}}}
    found = judge("surface.syscalls", own, host)
    assert (found.verdict, found.by, found.value) == (Verdict.LIMITED, By.SECCOMP, "1 (the host's kernel has 2)")
    assert found.exposure == 0.5
    assert found.evidence == "refused by the filter: bpf"


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [
        ("pid:[1]", "pid:[9]", Verdict.OPEN),
        ("pid:[2]", "pid:[2]", Verdict.LIMITED),
        ("pid:[2]", "pid:[3]", Verdict.BLOCKED),
    ],
)
def test_namespaces(own: str, other: str, verdict: Verdict) -> None:
    """The host's, another pod's, or its own."""
    facts = [{"identity": identity(namespaces={"pid": each})} for each in (own, "pid:[1]", other)]
    sight = Sight(own=facts[0], host=facts[1], neighbour=facts[2])
    assert judged(PROBES["identity.namespace.pid"], sight).verdict is verdict


@pytest.mark.parametrize(
    ("user", "mapping", "outside"),
    [
        (0, "0 0 4294967295", 0),
        (0, "0 165536 65536", 165536),
        (7, "0 1 1\n5 100 10\n", 102),
        (9, "", 9),
        (9, "x y z", 9),
    ],
)
def test_ids_outside(user: int, mapping: str, outside: int) -> None:
    """As a uid_map has it; the id itself where it has nothing."""
    assert host_id(user, mapping) == outside
