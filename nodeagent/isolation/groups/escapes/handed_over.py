"""What the runtime leaves with a process, or shows of itself as it puts one into a container (`probe/descriptors.c`)."""

import asyncio
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from nodeagent.isolation.contract import (
    By,
    Experiment,
    Finding,
    Probe,
    Risk,
    Sight,
    Stage,
    StageError,
    Verdict,
)
from nodeagent.isolation.groups import facts
from nodeagent.isolation.groups.escapes.pods import looking
from nodeagent.isolation.probe.output import facts_of

_SEAL_WRITE = 0x8
_SHARED = "/niso"
_FILE = f"{_SHARED}/told"
_DESCRIPTORS = (7, 8, 9)
"""Those that runc's own directories had, in the releases that leaked them."""
_SECONDS = 45.0


class Entering(Experiment):
    """A process that the runtime puts into a running container, as exec, hooks and probes do; the container watches it come."""

    @property
    @override
    def name(self) -> str:
        return "entering"

    @property
    @override
    def about(self) -> str:
        return "a pod into which a hook and probes run the probe program, while it looks for the runtime's own in /proc"

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        hook = {"exec": {"command": ["/probe", f"--to={_FILE}", "descriptors"]}}
        again = {"exec": {"command": ["/probe"]}, "periodSeconds": 1, "timeoutSeconds": 10}
        changes = {
            "volumes": [{"name": "told", "emptyDir": {}}],
            "container": {
                "volumeMounts": [{"name": "told", "mountPath": _SHARED}],
                "lifecycle": {"postStart": hook},
                "readinessProbe": again,
            },
        }
        pod = looking("entering", (f"runtime={_FILE}", f"relay={_FILE}"), changes)
        ended = await stage.run(pod, deadline_seconds=_SECONDS)
        found = facts_of(ended.output, ("runtime", "descriptors"))
        return {"program": found["runtime"], "descriptors": found["descriptors"]}


class WorkingDirectory(Experiment):
    """CVE-2024-21626: a working directory that names a descriptor of the runtime's."""

    @property
    @override
    def name(self) -> str:
        return "working_directory"

    @property
    @override
    def about(self) -> str:
        paths = ", ".join(f"/proc/self/fd/{number}" for number in _DESCRIPTORS)
        return f"pods with the working directory {paths}"

    @override
    async def run(self, stage: Stage) -> Mapping[str, Any]:
        answers = await asyncio.gather(*(self._one(stage, number) for number in _DESCRIPTORS))
        return {
            "paths": {f"/proc/self/fd/{number}": answer for number, answer in zip(_DESCRIPTORS, answers, strict=True)}
        }

    async def _one(self, stage: Stage, number: int) -> Mapping[str, Any]:
        changes = {"container": {"workingDir": f"/proc/self/fd/{number}"}}
        pod = looking(f"working-directory-{number}", ("descriptors",), changes)
        try:
            ended = await stage.run(pod, deadline_seconds=_SECONDS)
        except StageError as error:
            return {"refused": str(error)[:400]}
        found = facts_of(ended.output, ("descriptors",))["descriptors"]
        return {key: found[key] for key in ("working directory", "below the root", "error") if key in found}


EXPERIMENTS: tuple[Experiment, ...] = (Entering(), WorkingDirectory())


def probes() -> tuple[Probe, ...]:
    """Descriptors first, as the oldest of them."""
    return (
        Probe(
            id="escapes.descriptors.init",
            title="the container's first process has descriptors of the runtime's",
            risk=Risk.HIGH,
            why="a directory of the host among them is the host's file system (CVE-2024-21626, CVE-2016-9962)",
            judge=_of_init,
            on_host=False,
        ),
        Probe(
            id="escapes.descriptors.exec",
            title="a process that is run in the container has descriptors of the runtime's",
            risk=Risk.HIGH,
            why="as those of its first process",
            judge=_of_exec,
            on_host=False,
        ),
        Probe(
            id="escapes.working_directory",
            title="a working directory outside its root, by /proc/self/fd",
            risk=Risk.HIGH,
            why="relative paths from there are the host's (CVE-2024-21626)",
            judge=_working_directory,
            on_host=False,
        ),
        Probe(
            id="escapes.runtime_program",
            title="the runtime's own program can be written by whom it enters",
            risk=Risk.HIGH,
            why="the host's root runs it next time (CVE-2019-5736)",
            judge=_program,
            on_host=False,
        ),
        Probe(
            id="escapes.process_roots",
            title="roots of processes outside, by /proc/PID/root",
            risk=Risk.HIGH,
            why="the host's files, past every mount of the container",
            judge=_roots,
            on_host=False,
        ),
    )


def _of_init(sight: Sight) -> Finding:
    return _descriptors("escapes.descriptors.init", sight, facts.fact(sight.own, "descriptors"))


def _of_exec(sight: Sight) -> Finding:
    return _descriptors("escapes.descriptors.exec", sight, facts.fact(sight.own, "entering", "descriptors"))


def _descriptors(probe: str, sight: Sight, found: Mapping[str, Any]) -> Finding:
    if found.get("listed") != "ok":
        raise facts.NoFact(f"/proc/self/fd: {found.get('listed', found.get('error'))}")
    every: dict[str, dict[str, Any]] = found.get("open", {})
    more = {number: each for number, each in every.items() if int(number) > 2}
    told = ", ".join(f"{number}: {each.get('kind')} {each.get('link')}" for number, each in (more or every).items())
    if not more:
        evidence = f"/proc/self/fd has no others than {told}"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.RUNTIME, value="none", evidence=evidence)
    change = "another release of the runtime"
    if any(each.get("kind") == "directory" for each in more.values()):
        return facts.works(sight, probe, value=f"{len(more)}, a directory among them", evidence=told, change=change)
    return Finding(
        probe=probe,
        verdict=Verdict.LIMITED,
        by=By.RUNTIME,
        value=f"{len(more)}, no directory",
        evidence=told,
        change=change,
    )


def _working_directory(sight: Sight) -> Finding:
    probe = "escapes.working_directory"
    paths: dict[str, dict[str, Any]] = facts.fact(sight.own, "working_directory", "paths")
    if broken := [f"{path}: {found['error']}" for path, found in paths.items() if "error" in found]:
        raise facts.NoFact(broken[0])
    outside = [path for path, found in paths.items() if found.get("below the root") == "no"]
    if outside:
        evidence = ", ".join(f"{path} is {paths[path].get('working directory')}, outside its root" for path in outside)
        return facts.works(sight, probe, value="outside", evidence=evidence, change="another release of the runtime")
    refused = [found["refused"] for found in paths.values() if "refused" in found]
    inside = [f"{path} is {found['working directory']}" for path, found in paths.items() if "refused" not in found]
    value = f"{len(refused)} of {len(paths)} refused"
    evidence = "; ".join([*refused[:1], *inside])
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.RUNTIME, value=value, evidence=evidence)


def _program(sight: Sight) -> Finding:
    probe = "escapes.runtime_program"
    found = facts.fact(sight.own, "entering", "program")
    opened, name = str(found.get("opened", "")), found.get("name") or "a process"
    if opened == "ok":
        return _opened_program(sight, found)
    if facts.own_kernel(sight):
        evidence = "the runtime's program is not among the processes of its sandbox"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.RUNTIME, value="not seen", evidence=evidence)
    if opened in facts.REFUSED:
        evidence = f"{name}: /proc/PID/exe: {opened}; it does not let itself be looked into (PR_SET_DUMPABLE)"
        has = facts.has_capability(sight.own, "SYS_PTRACE")
        by = By.PERMISSIONS if has else By.CAPABILITY
        evidence += "" if has else " by who has no CAP_SYS_PTRACE"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value=opened, evidence=evidence)
    raise facts.NoFact(f"no process of the runtime was caught on its way in ({found.get('error', opened)})")


def _opened_program(sight: Sight, found: Mapping[str, Any]) -> Finding:
    probe = "escapes.runtime_program"
    seals, write = int(found.get("seals", 0)), str(found.get("write"))
    told = f"{found.get('name')}: {found.get('link')}: opened for writing: {write}; F_GET_SEALS {seals:#x}"
    if seals & _SEAL_WRITE:
        evidence = f"{told}: a copy in memory that is sealed against writing"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.RUNTIME, value="a sealed copy", evidence=evidence)
    if write == "EROFS" or found.get("read-only") == "yes":
        evidence = f"{told}: seen through a read-only mount"
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=By.MOUNT, value="read-only", evidence=evidence)
    if write in ("ok", "ETXTBSY"):
        evidence = told if write == "ok" else f"{told}: busy as long as it runs, and no longer"
        change = "another release of the runtime; securityContext.runAsNonRoot: true"
        return facts.works(sight, probe, value=write, evidence=evidence, change=change)
    by = By.PERMISSIONS if write in facts.REFUSED else By.UNKNOWN
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value=write, evidence=told)


def _roots(sight: Sight) -> Finding:
    probe = "escapes.process_roots"
    found = facts.fact(sight.own, "roots")
    others, reached = int(found.get("others", 0)), int(found.get("reached", 0))
    told = f"{others} processes of other mount namespaces are seen, {reached} roots of them opened"
    if reached and facts.fact(sight.host, "identity", "namespaces").get("mnt") in found.get("mount namespaces", ()):
        evidence = f"{told}, the host's among them"
        return facts.works(
            sight, probe, value=f"{reached}", evidence=evidence, change="hostPID: false, no volume of /proc"
        )
    if reached:
        return Finding(
            probe=probe,
            verdict=Verdict.LIMITED,
            by=By.PERMISSIONS,
            value=f"{reached} of other containers",
            evidence=f"{told}, none of them the host's own",
            change="hostPID: false, shareProcessNamespace: false",
        )
    if not others:
        by = By.RUNTIME if facts.own_kernel(sight) else By.NAMESPACE
        return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value="none seen", evidence=told)
    has = facts.has_capability(sight.own, "SYS_PTRACE")
    by = By.PERMISSIONS if has else By.CAPABILITY
    evidence = f"{told}: {found.get('refused')}{'' if has else ' without CAP_SYS_PTRACE'}"
    return Finding(probe=probe, verdict=Verdict.BLOCKED, by=by, value=str(found.get("refused")), evidence=evidence)
