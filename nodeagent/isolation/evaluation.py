"""An evaluation from its start to its end: the host's column, then one runtime after the other on a node of its own."""

import asyncio
import datetime
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightkube.models.core_v1 import Node

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.config import RuntimeSettings
from nodeagent.isolation import host
from nodeagent.isolation.bounds import Bounds
from nodeagent.isolation.contract import (
    HOST,
    Column,
    Experiment,
    Facts,
    Finding,
    Group,
    PodRequest,
    Probe,
    Question,
    Report,
    Sight,
    Stage,
    StageError,
    Verdict,
)
from nodeagent.isolation.groups.facts import NoFact
from nodeagent.isolation.image import NAME, image_of
from nodeagent.isolation.node import NodeSettings, PrivateNode
from nodeagent.isolation.probe.output import facts_of
from nodeagent.isolation.profiles import Profile
from nodeagent.isolation.remains import take_away
from nodeagent.isolation.stage import Place, PodStage
from runtimes.image_registry import ImageRegistry
from runtimes.linux.cgroups.detect import detect
from runtimes.linux.tasks import run_blocking, to_the_end

NEIGHBOUR = "neighbour"
PLACES = ("WORD", "NEIGHBOUR", "NODE")
"""What sections may name: a word that is in the neighbour's command line and its abstract socket's name; it; the node."""
_OF_PODS = frozenset({"reach", "environment", "setuid"})
_FACTS_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked for. `profile`: what the pods' spec is like. `described`: by handler."""

    runtimes: Mapping[str, RuntimeSettings]
    described: Mapping[str, str]
    groups: Sequence[Group]
    program: Path
    profile: Profile
    quick: bool = False
    conmon: str = ""

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(section for group in self.groups for section in group.sections)


async def evaluate(plan: Plan, tell: Callable[[str], None]) -> Report:
    """The report. `tell`: is given a line of progress now and then. Raises CgroupError; a runtime's failure is in its column.

    Cancelled, it takes away what it made before it ends.
    """
    cgroups = detect()
    await take_away(cgroups, tell)
    bounds, registry = Bounds(cgroups), ImageRegistry()
    try:
        await run_blocking(bounds.make)
        tell(
            f"pods and the host's column run in the cgroup {bounds.path}; this goes in the end, as everything with "
            f"{bounds.token} in its name"
        )
        image = registry.add(NAME, await asyncio.to_thread(image_of, plan.program))
        tell("the bare host")
        columns = [await _host_column(plan, bounds)]
        for handler in plan.runtimes:
            tell(f"{handler} ({plan.described.get(handler, '')})")
            columns.append(await _Runtime(plan, handler, bounds, registry.host, image, tell).column(columns[0].facts))
    finally:
        await run_blocking(_close, registry, bounds, tell)
    return Report(
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        profile=plan.profile.name,
        level=plan.profile.judgement.level,
        violations=tuple(map(str, plan.profile.judgement.violations)),
        quick=plan.quick,
        groups={group.name: group.title for group in plan.groups},
        questions=questions(plan.groups),
        columns=tuple(columns),
    )


def _close(registry: ImageRegistry, bounds: Bounds, tell: Callable[[str], None]) -> None:
    registry.close()
    bounds.kill()
    for line in bounds.remove():
        tell(f"left behind: {line}")


async def _host_column(plan: Plan, bounds: Bounds) -> Column:
    begin = time.monotonic()
    column = Column(name=HOST, runtime="the bare machine, as root")
    try:
        facts = await host.facts(plan.program, host_sections(plan.groups), bounds, deadline_seconds=_FACTS_SECONDS)
    except StageError as error:
        return replace(column, error=str(error))
    groups = [replace(group, probes=tuple(probe for probe in group.probes if probe.on_host)) for group in plan.groups]
    found = findings(groups, Sight(own=facts, host=facts))
    return replace(column, facts=facts, findings=found, seconds=round(time.monotonic() - begin, 1))


@dataclass(frozen=True, slots=True)
class _Runtime:
    """One runtime's column."""

    plan: Plan
    handler: str
    bounds: Bounds
    registry: str
    image: str
    tell: Callable[[str], None]

    async def column(self, host_facts: Facts) -> Column:
        begin = time.monotonic()
        plan, runtime = self.plan, self.plan.runtimes[self.handler]
        settings = NodeSettings(
            handler=self.handler, runtime=runtime, registry=self.registry, image=self.image, conmon=plan.conmon
        )
        node = PrivateNode(settings, self.bounds)
        column = Column(name=self.handler, runtime=plan.described.get(self.handler, ""))
        try:
            client = await node.start()
            own, neighbour = await self._facts(client, node)
            found = findings(plan.groups, Sight(own=own, host=host_facts, neighbour=neighbour))
            column = replace(column, facts=own, findings=found)
        except (StageError, ApiError) as error:
            column = replace(column, error=str(error))
        finally:
            await to_the_end(self._end(node))
        _pass_on_cancellation()
        return replace(column, seconds=round(time.monotonic() - begin, 1))

    async def _end(self, node: PrivateNode) -> None:
        for line in await node.end():
            self.tell(f"left behind: {line}")

    async def _facts(self, client: ApiClient, node: PrivateNode) -> tuple[Facts, Facts]:
        """Of the pod with the experiments, and of its neighbour. Raises StageError when no pod runs at all."""
        plan = self.plan
        stage = PodStage(
            Place(
                handler=self.handler,
                client=client,
                pod_logs=node.pod_logs,
                image=self.image,
                profile=plan.profile.changes,
                program=plan.program,
                bounds=self.bounds,
                quick=plan.quick,
            )
        )
        word = f"{NEIGHBOUR}-{uuid.uuid4().hex[:8]}"
        address = await stage.start(PodRequest(name=NEIGHBOUR, arguments=("hold", word)))
        places = {
            "WORD": word,
            "NEIGHBOUR": f"NEIGHBOUR@{address}",
            "NODE": f"NODE@{await node_address(client, node.name)}",
        }
        sections = [filled(section, places) for section in plan.sections]
        found: dict[str, Any] = dict(await stage.facts(sections, deadline_seconds=_FACTS_SECONDS))
        neighbour = facts_of(await stage.output(NEIGHBOUR), ("identity", "holding"))
        await stage.stop(NEIGHBOUR)
        for group in plan.groups:
            for experiment in group.experiments:
                self.tell(f"{self.handler}: {experiment.about}")
                found[experiment.name] = await tried(experiment, stage)
        return found, neighbour


async def tried(experiment: Experiment, stage: Stage) -> Mapping[str, Any]:
    """Its facts, or `error`: why there are none. It reads what pods have written, which may be anything, as `judged` says."""
    try:
        found = await experiment.run(stage)
    except StageError as error:
        found = {"error": str(error)}
    except Exception as error:
        found = {"error": _reason(error)}
    _pass_on_cancellation()
    return found


def _pass_on_cancellation() -> None:
    """A clean-up that failed on the way (a pod that does not stop) has hidden it, and everything else would go on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def node_address(client: ApiClient, name: str) -> str:
    """By which pods reach the node."""
    node = await client.get(Node, name)
    addresses = node.status.addresses if node.status is not None else None
    return next((each.address for each in addresses or () if each.type == "InternalIP"), "127.0.0.1")


def host_sections(groups: Sequence[Group]) -> tuple[str, ...]:
    """What is looked at on the bare host: not what is about pods, nor somebody's environment."""
    every = [section for group in groups for section in group.sections]
    plain = [section.partition("=")[0] if any(word in section for word in PLACES) else section for section in every]
    return tuple(section for section in plain if section not in _OF_PODS)


def filled(section: str, places: Mapping[str, str]) -> str:
    """A section with what stands for its placeholders."""
    name, equals, argument = section.partition("=")
    parts = [part.partition(":") for part in argument.split(",")]
    return f"{name}{equals}{','.join(f'{places.get(word, word)}{colon}{rest}' for word, colon, rest in parts)}"


def findings(groups: Sequence[Group], sight: Sight) -> tuple[Finding, ...]:
    """Every probe's, in order."""
    return tuple(judged(probe, sight) for group in groups for probe in group.probes)


def judged(probe: Probe, sight: Sight) -> Finding:
    """What the probe says; FAILED, with the reason, where it cannot say anything: facts come from a pod, and may be anything."""
    try:
        return probe.judge(sight)
    except Exception as error:
        return Finding(probe=probe.id, verdict=Verdict.FAILED, evidence=_reason(error))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, NoFact) else f"{type(error).__name__}: {error}"


def questions(groups: Sequence[Group]) -> tuple[Question, ...]:
    """What a report of these groups asks."""
    return tuple(
        Question(id=probe.id, group=group.name, title=probe.title, risk=probe.risk, why=probe.why)
        for group in groups
        for probe in group.probes
    )


def _machine() -> Mapping[str, str]:
    name = os.uname()
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "kernel": f"{name.sysname} {name.release}",
        "architecture": name.machine,
        "processors": str(os.cpu_count()),
        "memory": f"{memory_bytes >> 20} MiB",
        "cgroups": f"v{detect().version}",
    }
