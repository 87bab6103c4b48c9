"""What the facts of an escape mean: open or blocked, and by what, by evidence alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from nodeagent.isolation.contract import By, Finding, Sight, Verdict
from nodeagent.isolation.evaluation import judged
from nodeagent.isolation.groups.escapes.group import GROUP
from nodeagent.isolation.groups.escapes.kernel_files import mount_over
from nodeagent.isolation.groups.facts import CAPABILITIES

PROBES = {probe.id: probe for probe in GROUP.probes}
LINUX = {"system": "Linux", "release": "6.1", "version": "#1"}
SENTRY = {"system": "Linux", "release": "4.4.0", "version": "#1 SMP Sun Jan 10"}
ALL = sum(1 << bit for bit in range(len(CAPABILITIES)))
MOUNTS = [
    {"point": "/", "kind": "overlay", "options": "rw"},
    {"point": "/proc", "kind": "proc", "options": "rw,nosuid"},
    {"point": "/proc/sys", "kind": "proc", "options": "ro,nosuid"},
    {"point": "/sys", "kind": "sysfs", "options": "ro,nosuid"},
]


def without(*names: str) -> str:
    return f"{ALL & ~sum(1 << CAPABILITIES.index(name) for name in names):016x}"


def judge(
    probe: str,
    own: Mapping[str, Any],
    *,
    host: Mapping[str, Any] | None = None,
    neighbour: Mapping[str, Any] | None = None,
    kernel: Mapping[str, str] = LINUX,
    missing: tuple[str, ...] = (),
    uid: int = 0,
    seccomp: str = "0",
    namespaces: Mapping[str, str] | None = None,
) -> Finding:
    status = {"CapEff": without(*missing), "Seccomp": seccomp, "NoNewPrivs": "0"}
    identity = {
        "kernel": kernel,
        "status": status,
        "uid": uid,
        "namespaces": {"user": "u0", "mnt": "m1", **(namespaces or {})},
    }
    there = {
        "kernel": LINUX,
        "status": {"CapEff": without(), "Seccomp": "0"},
        "uid": 0,
        "namespaces": {"user": "u0", "mnt": "m0"},
    }
    mounts = {"mounts": MOUNTS}
    return judged(
        PROBES[probe],
        Sight(
            own={"identity": identity, "mounts": mounts, **own},
            host={"identity": there, "mounts": {"mounts": []}, **(host or {})},
            neighbour=neighbour or {},
        ),
    )


def write(path: str, said: str) -> dict[str, Any]:
    return {"files": {path: {"read": "ok", "write": said}}}


CORE, SYSRQ, HELPER = "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"


@pytest.mark.parametrize(
    ("probe", "path", "said", "given", "verdict", "by"),
    [
        ("core_pattern", CORE, "ok", {}, Verdict.OPEN, By.UNKNOWN),
        ("core_pattern", CORE, "ok", {"kernel": SENTRY}, Verdict.LIMITED, By.RUNTIME),
        ("core_pattern", CORE, "EROFS", {}, Verdict.BLOCKED, By.MASK),
        ("core_pattern", CORE, "EACCES", {"uid": 7}, Verdict.BLOCKED, By.PERMISSIONS),
        ("core_pattern", CORE, "EACCES", {"namespaces": {"user": "u1"}}, Verdict.BLOCKED, By.NAMESPACE),
        ("core_pattern", CORE, "EACCES", {}, Verdict.BLOCKED, By.UNKNOWN),
        ("core_pattern", CORE, "ENOENT", {"kernel": SENTRY}, Verdict.BLOCKED, By.RUNTIME),
        ("uevent_helper", HELPER, "EROFS", {}, Verdict.BLOCKED, By.MOUNT),
        ("sysrq", SYSRQ, "ENOENT", {}, Verdict.BLOCKED, By.MOUNT),
    ],
)
def test_files_of_the_kernel(probe: str, path: str, said: str, given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """Who hides them is read off the error, the mount, the user and the namespaces; what does not tell is unknown."""
    found = judge(f"escapes.{probe}", write(path, said), host=write(path, "ok"), **given)
    assert (found.verdict, found.by) == (verdict, by)


def test_a_file_that_the_host_has_not() -> None:
    """Is nobody's to write."""
    found = judge("escapes.sysrq", write(SYSRQ, "ENOENT"), host=write(SYSRQ, "ENOENT"))
    assert (found.verdict, found.by) == (Verdict.NOT_APPLICABLE, By.KERNEL)


def test_the_mount_that_a_path_lies_in() -> None:
    """The nearest; of two at the same place the later one, which covers the other."""
    over = {"point": "/proc", "kind": "tmpfs"}
    assert mount_over(MOUNTS, CORE)["point"] == "/proc/sys"
    assert mount_over(MOUNTS, "/proc/system")["point"] == "/proc"
    assert mount_over([*MOUNTS, over], "/proc/keys") == over
    assert mount_over([], CORE) == {}


def masks(**ways: str) -> dict[str, Any]:
    names = {
        "again": "proc again",
        "user": "proc again, in a user namespace",
        "off": "taken off",
        "tree": "open_tree",
        "other": "elsewhere",
    }
    said = {"directly": "open: EROFS", **{names[key]: value for key, value in ways.items()}}
    return {"masks": {"ways": said, "covered": "keys", "release agents": {}}}


@pytest.mark.parametrize(
    ("probe", "told", "given", "verdict", "by"),
    [
        ("proc_again", masks(again="unshare: EPERM"), {"missing": ("SYS_ADMIN",)}, Verdict.BLOCKED, By.CAPABILITY),
        ("proc_again", masks(again="mount: EACCES"), {}, Verdict.BLOCKED, By.NAMESPACE),
        ("proc_again", masks(again="ok"), {}, Verdict.OPEN, By.UNKNOWN),
        ("proc_again", masks(again="open: EROFS"), {}, Verdict.BLOCKED, By.MASK),
        (
            "proc_in_user_namespace",
            masks(user="mount: EPERM"),
            {"missing": ("SYS_ADMIN",)},
            Verdict.BLOCKED,
            By.NAMESPACE,
        ),
        ("proc_in_user_namespace", masks(user="unmasked"), {}, Verdict.LIMITED, By.PERMISSIONS),
        ("taken_off", masks(off="umount: EINVAL"), {}, Verdict.NOT_APPLICABLE, By.UNKNOWN),
        ("open_tree", masks(tree="open_tree: ENOSYS"), {"kernel": SENTRY}, Verdict.BLOCKED, By.RUNTIME),
        ("elsewhere", masks(other="none: ENOENT"), {}, Verdict.BLOCKED, By.MOUNT),
        ("elsewhere", masks(other="ok"), {}, Verdict.OPEN, By.UNKNOWN),
        ("open_tree", {}, {}, Verdict.FAILED, By.UNKNOWN),
    ],
)
def test_ways_past_the_masks(probe: str, told: dict[str, Any], given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """The step at which one ended says who ended it."""
    found = judge(f"escapes.masks.{probe}", told, **given)
    assert (found.verdict, found.by) == (verdict, by)


def test_a_filter_that_stops_a_way() -> None:
    """Is named as soon as it is known to refuse the call of that step."""
    own = {**masks(again="unshare: EPERM"), "syscalls": {"filter": {"unshare": "EPERM"}, "results": {}}}
    host = {"syscalls": {"filter": {}, "results": {"unshare": "EINVAL"}}}
    found = judge("escapes.masks.proc_again", own, host=host, seccomp="2", missing=("SYS_ADMIN",))
    assert (found.verdict, found.by) == (Verdict.BLOCKED, By.SECCOMP)


MOUNTED, IN_NAMESPACES = "agent of a hierarchy mounted", "agent in namespaces"


@pytest.mark.parametrize(
    ("said", "given", "verdict", "by"),
    [
        ({"release agents": {}}, {}, Verdict.NOT_APPLICABLE, By.KERNEL),
        ({"release agents": {}}, {"kernel": SENTRY}, Verdict.BLOCKED, By.RUNTIME),
        (
            {"release agents": {"/c": "open: ENOENT"}, MOUNTED: "unshare: EPERM"},
            {"missing": ("SYS_ADMIN",)},
            Verdict.BLOCKED,
            By.CAPABILITY,
        ),
        ({"release agents": {"/c": "open: ENOENT"}, MOUNTED: "open: ENOENT"}, {}, Verdict.BLOCKED, By.NAMESPACE),
        ({"release agents": {"/c": "open: ENOENT"}, MOUNTED: "write: EPERM"}, {}, Verdict.BLOCKED, By.CAPABILITY),
        ({"release agents": {"/c": "open: ENOENT"}, MOUNTED: "ok"}, {}, Verdict.OPEN, By.UNKNOWN),
        ({"release agents": {"/c": "ok"}, MOUNTED: "mount: EPERM"}, {}, Verdict.OPEN, By.UNKNOWN),
        ({"release agents": {}, MOUNTED: "mount: EPERM", IN_NAMESPACES: "ok"}, {}, Verdict.OPEN, By.UNKNOWN),
    ],
)
def test_release_agent(said: dict[str, Any], given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """Any way that took the write back is open; the best of the others says who is in the way."""
    found = judge("escapes.release_agent", {"masks": said}, **given)
    assert (found.verdict, found.by) == (verdict, by)


def descriptors(**more: dict[str, str]) -> dict[str, Any]:
    usual = {str(number): {"link": "/dev/null", "kind": "device", "terminal": "no"} for number in range(3)}
    return {"listed": "ok", "open": {**usual, **more}, "controlling terminal": "ENXIO"}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (descriptors(), Verdict.BLOCKED),
        (descriptors(**{"7": {"link": "/sys/fs/cgroup", "kind": "directory"}}), Verdict.OPEN),
        (descriptors(**{"5": {"link": "pipe:[1]", "kind": "pipe"}}), Verdict.LIMITED),
        ({"listed": "EACCES", "open": {}}, Verdict.FAILED),
        ({"error": "no answer"}, Verdict.FAILED),
    ],
)
def test_descriptors(found: dict[str, Any], verdict: Verdict) -> None:
    """A directory among them is the way out; of the first process and of one that is run later."""
    assert judge("escapes.descriptors.init", {"descriptors": found}).verdict is verdict
    assert judge("escapes.descriptors.exec", {"entering": {"descriptors": found}}).verdict is verdict


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([{"refused": "mkdir"}, {"refused": "chdir"}], Verdict.BLOCKED),
        ([{"refused": "mkdir"}, {"working directory": "/", "below the root": "yes"}], Verdict.BLOCKED),
        ([{"working directory": "(unreachable)/", "below the root": "no"}, {"refused": "x"}], Verdict.OPEN),
        ([{"error": "no answer"}, {"refused": "x"}], Verdict.FAILED),
    ],
)
def test_working_directory(answers: list[dict[str, str]], verdict: Verdict) -> None:
    """One that is outside is enough."""
    paths = {f"/proc/self/fd/{7 + at}": answer for at, answer in enumerate(answers)}
    assert judge("escapes.working_directory", {"working_directory": {"paths": paths}}).verdict is verdict


@pytest.mark.parametrize(
    ("program", "given", "verdict", "by"),
    [
        ({"opened": "ok", "seals": 15, "write": "EPERM"}, {}, Verdict.BLOCKED, By.RUNTIME),
        ({"opened": "ok", "seals": 0, "write": "EROFS"}, {}, Verdict.BLOCKED, By.MOUNT),
        ({"opened": "ok", "seals": 0, "write": "ETXTBSY", "read-only": "no"}, {}, Verdict.OPEN, By.UNKNOWN),
        ({"opened": "ok", "seals": 0, "write": "ETXTBSY", "read-only": "yes"}, {}, Verdict.BLOCKED, By.MOUNT),
        ({"opened": "ok", "seals": 0, "write": "ok"}, {}, Verdict.OPEN, By.UNKNOWN),
        ({"opened": "ok", "seals": 0, "write": "EACCES"}, {"uid": 7}, Verdict.BLOCKED, By.PERMISSIONS),
        ({"opened": "EACCES"}, {"missing": ("SYS_PTRACE",)}, Verdict.BLOCKED, By.CAPABILITY),
        ({"opened": "EACCES"}, {}, Verdict.BLOCKED, By.PERMISSIONS),
        ({"opened": "never"}, {"kernel": SENTRY}, Verdict.BLOCKED, By.RUNTIME),
        ({"opened": "never"}, {}, Verdict.FAILED, By.UNKNOWN),
    ],
)
def test_the_runtimes_program(program: dict[str, Any], given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """Sealed, read-only, busy; one that was not caught is no answer."""
    found = judge("escapes.runtime_program", {"entering": {"program": program}}, **given)
    assert (found.verdict, found.by) == (verdict, by)


@pytest.mark.parametrize(
    ("roots", "given", "verdict", "by"),
    [
        ({"others": 0, "reached": 0}, {}, Verdict.BLOCKED, By.NAMESPACE),
        ({"others": 90, "reached": 90, "mount namespaces": ["m2", "m0"]}, {}, Verdict.OPEN, By.UNKNOWN),
        ({"others": 2, "reached": 2, "mount namespaces": ["m2"]}, {}, Verdict.LIMITED, By.PERMISSIONS),
        (
            {"others": 9, "reached": 0, "refused": "EACCES"},
            {"missing": ("SYS_PTRACE",)},
            Verdict.BLOCKED,
            By.CAPABILITY,
        ),
    ],
)
def test_roots_of_processes(roots: dict[str, Any], given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """Of the host's, or of its own pod's."""
    found = judge("escapes.process_roots", {"roots": roots}, **given)
    assert (found.verdict, found.by) == (verdict, by)


def links(**told: dict[str, Any]) -> dict[str, Any]:
    names = {"through": "through the volume", "path": "path of the volume", "sub": "sub path", "target": "mount target"}
    return {"links": {"volume": {"read": "ok"}, **{names[key]: value for key, value in told.items()}}}


@pytest.mark.parametrize(
    ("probe", "told", "verdict", "by"),
    [
        ("link_in_volume", links(through={"read": "ENOENT", "outside": "no"}), Verdict.BLOCKED, By.NAMESPACE),
        ("link_in_volume", links(through={"read": "ok", "outside": "yes"}), Verdict.OPEN, By.UNKNOWN),
        ("link_in_volume", {"links": {"volume": {"read": "ENOENT"}}}, Verdict.FAILED, By.UNKNOWN),
        ("link_as_host_path", links(path={"read": "ok", "outside": "yes"}), Verdict.OPEN, By.UNKNOWN),
        ("link_as_sub_path", links(sub={"refused": "failed"}), Verdict.BLOCKED, By.AGENT),
        ("link_as_sub_path", links(sub={"read": "ok", "outside": "yes"}), Verdict.OPEN, By.UNKNOWN),
        ("link_as_mount_target", links(target={"made": "no", "points": ["/x/under"]}), Verdict.BLOCKED, By.RUNTIME),
        ("link_as_mount_target", links(target={"made": "no", "refused": "x"}), Verdict.BLOCKED, By.RUNTIME),
        ("link_as_mount_target", links(target={"made": "yes", "refused": "x"}), Verdict.OPEN, By.UNKNOWN),
    ],
)
def test_links(probe: str, told: dict[str, Any], verdict: Verdict, by: By) -> None:
    """What was found outside is open, whatever else was said."""
    found = judge(f"escapes.{probe}", told)
    assert (found.verdict, found.by) == (verdict, by)


SENT = {"neighbour": "ok", "packet socket": "ok", "raw socket": "ok", "hardware address known": "yes"} | {
    "claim sent": "ok",
    "packet sent": "ok",
}
QUIET = {"asked": "ok", "table": "ok", "taken": "", "source": ""}


def spoofing(attacker: Mapping[str, str], neighbour: Mapping[str, str]) -> dict[str, Any]:
    return {"spoofing": {"attacker": {**SENT, **attacker}, "neighbour": {**QUIET, **neighbour}}}


@pytest.mark.parametrize(
    ("probe", "told", "given", "verdict", "by"),
    [
        ("arp_spoofing", spoofing({}, {"taken": "02:00:5e:00:53:01"}), {}, Verdict.OPEN, By.UNKNOWN),
        ("arp_spoofing", spoofing({}, {}), {}, Verdict.BLOCKED, By.NETWORK),
        ("arp_spoofing", spoofing({}, {"table": "ENOENT"}), {}, Verdict.FAILED, By.UNKNOWN),
        (
            "arp_spoofing",
            spoofing({"packet socket": "EPERM"}, {}),
            {"missing": ("NET_RAW",)},
            Verdict.BLOCKED,
            By.CAPABILITY,
        ),
        (
            "arp_spoofing",
            spoofing({"packet socket": "EAFNOSUPPORT"}, {}),
            {"kernel": SENTRY},
            Verdict.BLOCKED,
            By.RUNTIME,
        ),
        ("arp_spoofing", spoofing({"hardware address known": "no"}, {}), {}, Verdict.BLOCKED, By.NETWORK),
        ("arp_spoofing", spoofing({"neighbour": "ETIMEDOUT"}, {}), {}, Verdict.FAILED, By.UNKNOWN),
        ("arp_spoofing", {"spoofing": {"left out": "the host's"}}, {}, Verdict.FAILED, By.UNKNOWN),
        ("source_spoofing", spoofing({}, {"source": "203.0.113.78"}), {}, Verdict.OPEN, By.UNKNOWN),
        ("source_spoofing", spoofing({}, {"source": "10.0.0.9"}), {}, Verdict.BLOCKED, By.NETWORK),
        (
            "source_spoofing",
            spoofing({"raw socket": "EPERM"}, {}),
            {"missing": ("NET_RAW",)},
            Verdict.BLOCKED,
            By.CAPABILITY,
        ),
    ],
)
def test_spoofing(probe: str, told: dict[str, Any], given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """Open is what the neighbour has taken for true, not what was sent."""
    found = judge(f"escapes.{probe}", told, **given)
    assert (found.verdict, found.by) == (verdict, by)


@pytest.mark.parametrize(
    ("keys", "put", "given", "verdict", "by"),
    [
        ({"search": "ok", "session": 1}, "ok", {}, Verdict.OPEN, By.UNKNOWN),
        ({"search": "ENOKEY", "listed": "yes", "session": 1}, "ok", {}, Verdict.LIMITED, By.PERMISSIONS),
        ({"search": "ENOKEY", "listed": "no", "session": 1}, "ok", {}, Verdict.BLOCKED, By.RUNTIME),
        ({"search": "ENOKEY", "listed": "no", "session": 2}, "ok", {}, Verdict.BLOCKED, By.UNKNOWN),
        ({"search": "ENOKEY", "listed": "no", "session": 1}, "EPERM", {}, Verdict.BLOCKED, By.RUNTIME),
        ({"search": "ENOKEY", "listed": "no", "session": 2}, "EPERM", {}, Verdict.FAILED, By.UNKNOWN),
        ({"search": "ENOKEY", "session": 1}, "ENOSYS", {"seccomp": "2"}, Verdict.BLOCKED, By.SECCOMP),
        ({"search": "EPERM"}, "EPERM", {"seccomp": "2"}, Verdict.BLOCKED, By.SECCOMP),
        ({"search": "EACCES"}, "ENOSYS", {"kernel": SENTRY}, Verdict.BLOCKED, By.RUNTIME),
    ],
)
def test_keys(keys: dict[str, Any], put: str, given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """A keyring is apart when its number differs from the neighbour's; without a key to find there is no answer."""
    own = {
        "keys": keys,
        "syscalls": {
            "filter": dict.fromkeys(("keyctl", "add_key"), "EPERM") if by is By.SECCOMP else {},
            "results": {},
        },
    }
    host = {"syscalls": {"filter": {}, "results": {}}}
    found = judge("escapes.keys", own, host=host, neighbour={"holding": {"add": put, "session": 2}}, **given)
    assert (found.verdict, found.by) == (verdict, by)


@pytest.mark.parametrize(
    ("outside", "verdict", "by"),
    [
        ({"route": {"found": "ENETUNREACH"}, "forward": {"interface": "eth0"}}, Verdict.BLOCKED, By.NETWORK),
        ({"route": {"found": "ok"}, "forward": {"refused": "(101)"}}, Verdict.BLOCKED, By.NETWORK),
        ({"route": {"found": "ok"}, "forward": {"error": "no"}}, Verdict.FAILED, By.UNKNOWN),
        ({"route": {"found": "ok"}, "forward": {"interface": "eth0", "gateway": "g"}}, Verdict.OPEN, By.UNKNOWN),
    ],
)
def test_metadata(outside: dict[str, Any], verdict: Verdict, by: By) -> None:
    """Both have to have a route: the pod to the node, and the node on."""
    found = judge("escapes.metadata", {"outside": outside})
    assert (found.verdict, found.by) == (verdict, by)


@pytest.mark.parametrize(
    ("said", "terminal", "given", "verdict", "by"),
    [
        ("ok", "no", {}, Verdict.LIMITED, By.RUNTIME),
        ("ok", "yes", {}, Verdict.OPEN, By.UNKNOWN),
        ("EPERM", "no", {"missing": ("SYS_ADMIN",)}, Verdict.BLOCKED, By.CAPABILITY),
    ],
)
def test_tiocsti(said: str, terminal: str, given: dict[str, Any], verdict: Verdict, by: By) -> None:
    """Terminals of its own are nobody else's."""
    own = {
        "devices": {"ioctls": {"TIOCSTI": said}},
        "descriptors": descriptors(**{"0": {"link": "/dev/pts/0", "kind": "device", "terminal": terminal}}),
    }
    found = judge("escapes.tiocsti", own, host={"devices": {"ioctls": {"TIOCSTI": "ok"}}}, **given)
    assert (found.verdict, found.by) == (verdict, by)


def test_abstract_sockets() -> None:
    """The host's and the neighbour's, by the namespace or by another kernel."""
    refused = {"outside": {"abstract socket": "ECONNREFUSED"}, "network": {"abstract socket": "ECONNREFUSED"}}
    reached = {"outside": {"abstract socket": "ok"}, "network": {"abstract socket": "ok"}}
    for probe in ("escapes.host_abstract_sockets", "escapes.abstract_sockets"):
        assert judge(probe, reached).verdict is Verdict.OPEN
        assert judge(probe, refused).by is By.NAMESPACE
        assert judge(probe, refused, kernel=SENTRY).by is By.RUNTIME
