"""Group 4, limits that hold: what becomes of a pod that takes more than it may, and of those beside it."""

from collections.abc import Mapping
from typing import Any

from nodeagent.isolation.contract import By, Finding, Group, Probe, Risk, Sight, Verdict
from nodeagent.isolation.experiments.limits import Limits
from nodeagent.isolation.experiments.neighbours import Neighbours
from nodeagent.isolation.groups import facts, figures, neighbours

_HOLDS_PERCENT = 110.0  # of the quota: a window may begin with what is left of a period
_LEAKS_PERCENT = 150.0
_NO_SPACE = frozenset({"ENOSPC", "EDQUOT", "EFBIG"})
_READ_ONLY = frozenset({"EROFS", "EACCES", "EPERM", "ENOENT"})


def _tried(sight: Sight, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = facts.fact(sight.own, "limits", name)
    if "error" in found:
        raise facts.NoFact(f"{name}: {found['error']}")
    return found


def _cpu(sight: Sight) -> Finding:
    tried = _tried(sight, "cpu")
    found = figures.figure(tried.get("runs"), "% of the limit")
    verdict = Verdict.BLOCKED if found.median <= _HOLDS_PERCENT else Verdict.LIMITED
    if found.median > _LEAKS_PERCENT:
        verdict = Verdict.OPEN
    return Finding(
        probe="limits.cpu",
        verdict=verdict,
        by=By.CGROUP if verdict is not Verdict.OPEN else By.UNKNOWN,
        value=f"{found.median:g} %",
        evidence=f"{tried['processes']} processes that compute, {tried['millicores']}m allowed: {figures.spread(found)}, "
        "by the host kernel's count",
        figure=found,
    )


def _memory(sight: Sight) -> Finding:
    tried = _tried(sight, "memory")
    value = f"{tried['mib']} MiB"
    evidence = f"{tried['allowed']} MiB allowed, {value} had; ended as {tried['reason']} ({tried['exit_code']})"
    if tried["mib"] >= tried["most"]:
        return Finding(probe="limits.memory", verdict=Verdict.OPEN, value=value, evidence=evidence)
    refused = tried["said"] not in ("ok", "")
    evidence += f"; the program was told {tried['said']}" if refused else ""
    return Finding(probe="limits.memory", verdict=Verdict.BLOCKED, by=By.CGROUP, value=value, evidence=evidence)


def _beside(sight: Sight) -> Finding:
    _tried(sight, "memory")
    tried = _tried(sight, "beside")
    evidence = (
        f"it worked on: {tried['since']} of its {tried['windows']} reports came after the others had been stopped"
    )
    if not tried["since"]:
        evidence = f"nothing more was heard of it after {tried['windows']} reports"
        return Finding(probe="limits.oom_locality", verdict=Verdict.OPEN, value="died", evidence=evidence)
    return Finding(probe="limits.oom_locality", verdict=Verdict.BLOCKED, by=By.CGROUP, value="lives", evidence=evidence)


def _pids(sight: Sight) -> Finding:
    tried = _tried(sight, "pids")
    made, counted = tried["processes"], f"the host counted up to {tried['counted']} threads, {tried['allowed']} allowed"
    if made is None:
        evidence = f"the whole pod ended ({tried['reason']}, {tried['exit_code']}) before it could say; {counted}"
        return Finding(
            probe="limits.pids",
            verdict=Verdict.LIMITED,
            by=By.CGROUP,
            value="pod ended",
            evidence=evidence,
            exposure=0.25,
        )
    evidence = f"{made} processes made, then {tried['said']}; {counted}"
    if made >= tried["most"]:
        # what a runtime's own kernel counts as a process need not be one of the host's
        bounded = 0 < tried["counted"] <= tried["allowed"]
        return Finding(
            probe="limits.pids",
            verdict=Verdict.LIMITED if bounded else Verdict.OPEN,
            by=By.RUNTIME if bounded else By.UNKNOWN,
            value=f"{made} processes",
            evidence=evidence,
            exposure=facts.OWN_KERNEL_EXPOSURE if bounded else None,
        )
    return Finding(
        probe="limits.pids", verdict=Verdict.BLOCKED, by=By.CGROUP, value=f"{made} processes", evidence=evidence
    )


def _files(sight: Sight) -> Finding:
    tried = _tried(sight, "files")
    if tried["open"] is None:
        evidence = f"the whole pod ended ({tried['reason']}, {tried['exit_code']}) before it could say"
        return Finding(probe="limits.files", verdict=Verdict.FAILED, evidence=evidence)
    limit = "none" if tried["limit"] < 0 else str(tried["limit"])
    evidence = f"{tried['open']} files opened, then {tried['said']}; RLIMIT_NOFILE: {limit}"
    if tried["open"] >= tried["most"]:
        return Finding(
            probe="limits.files",
            verdict=Verdict.LIMITED,
            by=By.CGROUP,
            value=f"{tried['most']} and more",
            evidence=f"{evidence}; each also counts as kernel memory of the pod",
        )
    return Finding(
        probe="limits.files", verdict=Verdict.BLOCKED, by=By.RLIMIT, value=str(tried["open"]), evidence=evidence
    )


def _disk(name: str, change: str) -> Probe:
    probe, what = f"limits.disk.{name}", {"layer": "its own layer", "volume": "an emptyDir"}[name]

    def judge(sight: Sight) -> Finding:
        tried = _tried(sight, name)
        value = f"{tried['mib']} MiB"
        evidence = f"{tried['allowed']} MiB allowed, {value} written; {tried['reason']} after {tried['seconds']:g} s"
        if tried["said"] in _READ_ONLY and not tried["mib"]:
            evidence = f"{what}: {tried['said']}"
            return Finding(probe=probe, verdict=Verdict.NOT_APPLICABLE, by=By.MOUNT, evidence=evidence)
        if tried["said"] in _NO_SPACE:
            evidence += f", {tried['said']}"
            return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.MOUNT, value=value, evidence=evidence)
        if tried["reason"] == "Evicted":
            return Finding(probe=probe, verdict=Verdict.LIMITED, by=By.EVICTION, value=value, evidence=evidence)
        return Finding(probe=probe, verdict=Verdict.OPEN, value=value, evidence=evidence, change=change)

    return Probe(
        id=probe,
        title=f"more of the disk than it may have, in {what}",
        risk=Risk.MEDIUM,
        why="a full disk stops everything on the machine; an eviction comes some seconds late",
        judge=judge,
        on_host=False,
    )


GROUP = Group(
    name="limits",
    title="Limits that hold",
    experiments=(Limits(), Neighbours()),
    probes=(
        Probe(
            id="limits.cpu",
            title="more CPU than its limit",
            risk=Risk.MEDIUM,
            why="takes from others what they were promised",
            judge=_cpu,
            on_host=False,
        ),
        Probe(
            id="limits.memory",
            title="more memory than its limit",
            risk=Risk.HIGH,
            why="a machine without memory kills whatever it likes",
            judge=_memory,
            on_host=False,
        ),
        Probe(
            id="limits.oom_locality",
            title="a pod that runs out of memory takes others with it",
            risk=Risk.HIGH,
            why="a limit is for its own pod",
            judge=_beside,
            on_host=False,
        ),
        Probe(
            id="limits.pids",
            title="more processes than its limit",
            risk=Risk.HIGH,
            why="a fork bomb takes every process id of the machine",
            judge=_pids,
            on_host=False,
        ),
        Probe(
            id="limits.files",
            title="open files without a limit",
            risk=Risk.LOW,
            why="open files are kernel memory, and the machine's number of them is bounded",
            judge=_files,
            on_host=False,
        ),
        _disk("layer", "resources.limits.ephemeral-storage"),
        _disk("volume", "volumes: emptyDir.sizeLimit"),
        *neighbours.PROBES,
    ),
)
