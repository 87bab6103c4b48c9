"""A private node with one runtime, as an evaluation has it, on which tests run probes in pods of their own specs."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nodeagent.config.runtimes import detect as runtimes_here
from nodeagent.isolation import host
from nodeagent.isolation.bounds import Bounds
from nodeagent.isolation.contract import Experiment, Facts, Finding, PodRequest, Sight
from nodeagent.isolation.evaluation import filled, findings, host_sections, node_address
from nodeagent.isolation.groups.registry import GROUPS
from nodeagent.isolation.image import NAME, image_of
from nodeagent.isolation.node import NodeSettings, PrivateNode
from nodeagent.isolation.probe import program
from nodeagent.isolation.probe.output import facts_of, merged
from nodeagent.isolation.stage import Place, PodStage
from runtimes.image_registry import ImageRegistry
from runtimes.kube import merge_patch
from runtimes.linux.cgroups.detect import detect

WORD = "neighbour-of-tests"


@dataclass
class Laboratory:
    """`host`: the facts of this machine; `neighbour`: of another pod, of the profile alone, which runs beside the others."""

    place: Place
    stage: PodStage
    sections: tuple[str, ...]
    host: Facts
    neighbour: Facts

    async def findings(self, name: str, changes: Mapping[str, Any]) -> dict[str, Finding]:
        """Probe -> finding, of a pod with that spec laid over the base's."""
        ended = await self.stage.run(
            PodRequest(name=name, arguments=self.sections, changes=changes), deadline_seconds=180
        )
        own = facts_of(ended.output, self.sections)
        return self.judged(own)

    async def of_experiments(self, changes: Mapping[str, Any], experiments: Iterable[Experiment]) -> dict[str, Finding]:
        """Probe -> finding, of what these experiments find in pods with that spec laid over the base's."""
        stage = PodStage(replace(self.place, profile=merge_patch.apply(dict(self.place.profile), changes)))
        own = dict(await stage.facts(("identity", "syscalls")))
        for experiment in experiments:
            own[experiment.name] = await experiment.run(stage)
        return self.judged(own)

    def judged(self, own: Facts) -> dict[str, Finding]:
        """Every probe's finding."""
        return {each.probe: each for each in findings(GROUPS, Sight(own=own, host=self.host, neighbour=self.neighbour))}


@asynccontextmanager
async def laboratory(handler: str, profile: Mapping[str, Any], cache: Path) -> AsyncIterator[Laboratory]:
    """Afterwards nothing of it is left, or the test fails."""
    binary = await program.built(cache)
    bounds = Bounds(detect())
    bounds.make()
    registry = ImageRegistry()
    image = registry.add(NAME, image_of(binary))
    settings = NodeSettings(handler=handler, runtime=runtimes_here()[handler], registry=registry.host, image=image)
    node = PrivateNode(settings, bounds)
    try:
        client = await node.start()
        place = Place(
            handler=handler,
            client=client,
            pod_logs=node.pod_logs,
            image=image,
            profile=profile,
            program=binary,
            bounds=bounds,
            quick=True,
        )
        stage = PodStage(place)
        address = await stage.start(PodRequest(name="neighbour", arguments=("hold", WORD)))
        places = {
            "WORD": WORD,
            "NEIGHBOUR": f"NEIGHBOUR@{address}",
            "NODE": f"NODE@{await node_address(client, node.name)}",
        }
        yield Laboratory(
            place=place,
            stage=stage,
            sections=merged(filled(section, places) for group in GROUPS for section in group.sections),
            host=await host.facts(binary, host_sections(GROUPS), bounds),
            neighbour=facts_of(await stage.output("neighbour"), ("identity", "holding")),
        )
    finally:
        left = await node.end()
        registry.close()
        left += bounds.remove()
    assert left == []
