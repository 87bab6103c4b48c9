"""Files by which the kernel is told to run a program or to reboot, and ways past what hides them (`probe/masks.c`)."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from nodeagent.isolation.contract import By, Finding, Probe, Risk, Sight, Verdict
from nodeagent.isolation.groups import facts

_CHANGE = "securityContext.privileged: false, procMount: Default, no hostPath of /proc, /sys or the runtime's folders"
# name: (path, title, what somebody does with it)
_FILES = {
    "core_pattern": (
        "/proc/sys/kernel/core_pattern",
        "the program that takes core dumps can be set",
        "the host's kernel runs it as root of the host, as soon as anything crashes",
    ),
    "uevent_helper": (
        "/sys/kernel/uevent_helper",
        "the program that takes the kernel's events can be set",
        "the host's kernel runs it as root of the host, at the next event of a device",
    ),
    "sysrq": (
        "/proc/sysrq-trigger",
        "/proc/sysrq-trigger opens for writing",
        "one letter reboots the host, crashes it, or kills all of its processes",
    ),
}
PATHS = tuple(path for path, *_ in _FILES.values())
# name: (as the program calls it, title); several of the program's are one where they are one idea
_WAYS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "proc_again": (("proc again",), "past the masks: proc mounted again"),
    "proc_in_user_namespace": (
        ("proc again, in a user namespace",),
        "past the masks: proc mounted again in a user namespace",
    ),
    "proc_by_newer_calls": (("proc by the newer calls",), "past the masks: proc by fsopen and fsmount"),
    "remount": (("remount",), "past the masks: a read-only path remounted writable"),
    "taken_off": (("taken off",), "past the masks: a mask unmounted"),
    "bind": (("bind",), "past the masks: /proc bound elsewhere without what covers it"),
    "open_tree": (("open_tree",), "past the masks: /proc cloned without what covers it"),
    "elsewhere": (("elsewhere",), "past the masks: another proc, which came along with a volume"),
    "root_links": (
        ("/proc/self/root", "/proc/thread-self/root", "/proc/1/root"),
        "past the masks: by the links /proc/PID/root",
    ),
}
# The call behind each step that the program names.
_CALLS = {
    "unshare": "unshare",
    "make private": "mount",
    "mount": "mount",
    "bind": "mount",
    "remount": "mount",
    "umount": "umount2",
    "open_tree": "open_tree",
    "fsopen": "fsopen",
    "fsconfig": "fsconfig",
    "fsmount": "fsmount",
}


def probes() -> tuple[Probe, ...]:
    """In the order in which somebody would try."""
    return (
        *(
            Probe(id=f"escapes.{name}", title=title, risk=Risk.HIGH, why=why, judge=_file(name))
            for name, (_, title, why) in _FILES.items()
        ),
        Probe(
            id="escapes.release_agent",
            title="the release_agent of a cgroup hierarchy takes a write",
            risk=Risk.HIGH,
            why="the host's kernel runs it as root of the host when a cgroup empties (CVE-2022-0492 without privileges)",
            judge=_release_agent,
        ),
        *(
            Probe(
                id=f"escapes.masks.{name}",
                title=title,
                risk=Risk.MEDIUM,
                why="what the runtime hides of /proc is there again",
                judge=_way(name),
                on_host=False,
            )
            for name, (_, title) in _WAYS.items()
        ),
    )


def mount_over(mounts: list[dict[str, Any]], path: str) -> dict[str, Any]:
    """The mount that a path lies in: the last of those nearest to it. Empty: none is told."""
    found: dict[str, Any] = {}
    for mount in mounts:
        point = str(mount.get("point", ""))
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(str(found.get("point", ""))):
            found = mount
    return found


def in_user_namespace(sight: Sight) -> bool:
    """Whether it has one of its own."""
    own, host = (facts.fact(each, "identity", "namespaces").get("user") for each in (sight.own, sight.host))
    return bool(own != host)


def who_hides(sight: Sight, path: str, said: str, host_says: str) -> tuple[By, str]:
    """Who is behind an error that opening a file of the kernel for writing gave."""
    if not sight.is_host and facts.own_kernel(sight):
        return By.RUNTIME, f"{path}: {said}, in the runtime's own kernel ({facts.kernel_name(sight)})"
    if said == host_says:
        return By.KERNEL, f"{path}: {said}, for the host's root too"
    over = mount_over(facts.fact(sight.own, "mounts", "mounts"), path)
    told = f"{path}: {said}; in the mount {over.get('point')} ({over.get('kind')}, {over.get('options')})"
    if said == "EROFS":
        return By.MOUNT if over.get("point") in ("/proc", "/sys") else By.MASK, told
    if said == "ENOENT":
        return By.MOUNT, told
    if said in facts.REFUSED and facts.fact(sight.own, "identity", "uid") != 0:
        return By.PERMISSIONS, f"{path}: {said}; uid {facts.fact(sight.own, 'identity', 'uid')}"
    if said in facts.REFUSED and in_user_namespace(sight):
        return By.NAMESPACE, f"{path}: {said}; it belongs to root of the host, not of this user namespace"
    return By.UNKNOWN, told


def _write_of(sight: Sight, path: str) -> str:
    found = facts.fact(sight.own, "files", path)
    return str(found.get("write", found.get("read")))


def _file(name: str) -> Callable[[Sight], Finding]:
    probe, path = f"escapes.{name}", _FILES[name][0]

    def judge(sight: Sight) -> Finding:
        said = _write_of(sight, path)
        if said == "ok":
            evidence = f"{path}: opened for writing, and not written"
            return facts.works(sight, probe, value="opened", evidence=evidence, change="" if sight.is_host else _CHANGE)
        there = sight.host.get("files", {}).get(path, {})
        host_says = str(there.get("write", there.get("read", "")))
        return facts.blocked(probe, who_hides(sight, path, said, host_says), value=said)

    return judge


def _way(name: str) -> Callable[[Sight], Finding]:
    probe, ways = f"escapes.masks.{name}", _WAYS[name][0]

    def judge(sight: Sight) -> Finding:
        said = {way: facts.text(sight.own, "masks", "ways", way) for way in ways}
        told = ", ".join(f"{way}: {answer}" for way, answer in said.items())
        if "ok" in said.values():
            evidence = f"{told}; core_pattern opens for writing there"
            return facts.works(sight, probe, value="ok", evidence=evidence, change=_way_closed(sight, name))
        if "unmasked" in said.values():
            covered = facts.text(sight.own, "masks", "covered")
            evidence = (
                f"{told}; /proc/{covered} is uncovered there, core_pattern does not open for writing all the same"
            )
            return Finding(
                probe=probe,
                verdict=Verdict.LIMITED,
                by=By.PERMISSIONS,
                value="unmasked",
                evidence=evidence,
                change=_way_closed(sight, name),
            )
        first = next(iter(said.values()))
        if name == "taken_off" and first == "umount: EINVAL":
            evidence = f"{told}: nothing is mounted over it"
            return Finding(probe=probe, verdict=Verdict.NOT_APPLICABLE, value="no mask", evidence=evidence)
        by, why = _who_stops(sight, first)
        if name == "proc_in_user_namespace" and first == "mount: EPERM" and by is By.CAPABILITY:
            by, why = (
                By.NAMESPACE,
                "in a user namespace the kernel mounts no proc that shows more than the one that is there",
            )
        return facts.blocked(probe, (by, f"{told}; {why}"), value=first)

    return judge


def _way_closed(sight: Sight, name: str) -> str:
    if name == "elsewhere" or facts.text(sight.own, "masks", "ways", "directly") == "ok":
        return _CHANGE
    if name != "proc_in_user_namespace" and facts.has_capability(sight.own, "SYS_ADMIN"):
        return "securityContext.capabilities.drop: [SYS_ADMIN]"
    return "" if facts.has_filter(sight) else "securityContext.seccompProfile.type: RuntimeDefault"


def _who_stops(sight: Sight, said: str) -> tuple[By, str]:
    """Of `step: ERROR`."""
    step, _, error = said.partition(": ")
    if step in _CALLS:
        return facts.who_refuses(sight, error, syscall=_CALLS[step], capability="SYS_ADMIN")
    if step == "open":
        return who_hides(sight, _FILES["core_pattern"][0], error, "")
    return (By.MOUNT, "no other proc is mounted") if step == "none" else (By.UNKNOWN, said)


def _release_agent(sight: Sight) -> Finding:
    probe = "escapes.release_agent"
    masks = facts.fact(sight.own, "masks")
    mounted = [str(answer) for answer in masks.get("release agents", {}).values()]
    ways = {name: str(masks[name]) for name in ("agent of a hierarchy mounted", "agent in namespaces") if name in masks}
    own = not sight.is_host and facts.own_kernel(sight)
    if not mounted and not ways:
        who = "the runtime's own kernel has" if own else "this machine has"
        evidence = f"{who} no hierarchy of cgroup v1 with controllers, and one is not made for a look"
        return facts.blocked(probe, (By.RUNTIME if own else By.KERNEL, evidence), value="none")
    counted = [f"in {count} mounts of hierarchies: {answer}" for answer, count in Counter(mounted).items()]
    told = ", ".join([*counted, *(f"{name}: {answer}" for name, answer in ways.items())])
    if "ok" in (*mounted, *ways.values()):
        evidence = f"{told} ({'opened' if sight.is_host else 'what it held was written back'})"
        change = "" if sight.is_host else "securityContext.privileged: false, capabilities.drop: [SYS_ADMIN]"
        return facts.works(sight, probe, value="written", evidence=evidence, change=change)
    answer = ways.get("agent of a hierarchy mounted") or mounted[0]
    by, why = (By.RUNTIME, "of the runtime's own kernel") if own else _who_keeps_the_agent(sight, answer)
    return facts.blocked(probe, (by, f"{told}; {why}"), value=answer)


def _who_keeps_the_agent(sight: Sight, said: str) -> tuple[By, str]:
    """Of `step: ERROR`."""
    step, _, error = said.partition(": ")
    if step == "write":
        return By.CAPABILITY, "the write asks for CAP_SYS_ADMIN of the host's user namespace"
    if step == "open" and error == "ENOENT":
        return By.NAMESPACE, "only the root of a hierarchy has one, and this is not it"
    return _who_stops(sight, said)
