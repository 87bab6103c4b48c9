"""A private node with one runtime, as an evaluation has it, on which tests run probes in pods of their own specs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.config.runtimes import detect as runtimes_here
from nodeagent.isolation import host
from nodeagent.isolation.bounds import Bounds
from nodeagent.isolation.contract import Facts, Finding, PodRequest, Sight
from nodeagent.isolation.evaluation import filled, findings, host_sections, node_address
from nodeagent.isolation.groups.registry import GROUPS
from nodeagent.isolation.image import NAME, image_of
from nodeagent.isolation.node import NodeSettings, PrivateNode
from nodeagent.isolation.probe import program
from nodeagent.isolation.probe.output import facts_of, merged
from nodeagent.isolation.stage import Place, PodStage
from runtimes.image_registry import ImageRegistry
from runtimes.linux.cgroups.detect import detect

WORD = "neighbour-of-tests"
LOOKED_AT = tuple(group for group in GROUPS if not group.experiments)
"""The groups that judge by what one pod has seen."""


@dataclass
class Laboratory:
    """`host`: the facts of this machine; `neighbour`: of another pod, of the profile alone, which runs beside the others."""

    stage: PodStage
    sections: tuple[str, ...]
    host: Facts
    neighbour: Facts

    async def findings(self, name: str, changes: Mapping[str, Any]) -> dict[str, Finding]:
        """Probe -> finding, of a pod with that spec laid over the base's."""
        ended = await self.stage.run(
            PodRequest(name=name, arguments=self.sections, changes=changes), deadline_seconds=60
        )
        own = facts_of(ended.output, self.sections)
        return {
            each.probe: each for each in findings(LOOKED_AT, Sight(own=own, host=self.host, neighbour=self.neighbour))
        }


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
            stage=stage,
            sections=merged(filled(section, places) for group in LOOKED_AT for section in group.sections),
            host=await host.facts(binary, host_sections(LOOKED_AT), bounds),
            neighbour=facts_of(await stage.output("neighbour"), ("identity",)),
        )
    finally:
        left = await node.end()
        registry.close()
        left += bounds.remove()
    assert left == []
