"""How a claim is told of the growth of its volume (docs/facts/storage.md 9)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Volume
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import CannotGrowInUse, SizeInfeasible, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.expander import Expander
from nodeagent.volumes.publish_only import PublishOnly
from runtimes.kube.json_object import JsonObject

GI = 1 << 30
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@dataclass
class Disk(PublishOnly):
    """`error`: of the next growth."""

    log: list[Any]
    error: Exception | None = None
    name: str = "disks.example/driver"

    def supports(self, source: VolumeSource) -> bool:
        return True

    async def publish(self, request: VolumeRequest) -> Any:
        raise AssertionError

    async def unpublish(self, uid: str, directory_name: str) -> None:
        raise AssertionError

    async def expand(self, request: VolumeRequest) -> None:
        self.log.append(("expand", request.source.expand_to_bytes))
        if self.error is not None:
            raise self.error


@dataclass
class World:
    """What happens, in order: patches of the claim, growth, events."""

    pod: AgentPod
    claim: dict[str, Any]
    log: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.disk = Disk(self.log)
        node = Node(metadata=ObjectMeta(name="n"))
        self.expander = Expander(self, self, lambda: node, lambda: NOW)

    async def patch(self, claim: PersistentVolumeClaim, patch: JsonObject) -> PersistentVolumeClaim:
        version = claim.metadata.resourceVersion if claim.metadata is not None else None
        assert patch["metadata"] == {"resourceVersion": version}
        self.log.append(patch["status"])
        if self.error is not None:
            raise self.error
        later = {**self.claim, "metadata": {**self.claim["metadata"], "resourceVersion": "2"}}
        return msgspec.convert(later, PersistentVolumeClaim)

    def event(self, ref: Any, type: str, reason: str, message: str, **more: Any) -> None:
        self.log.append((type, "pod" if isinstance(ref, AgentPod) else "claim", reason, message))

    async def expand(self, wanted: int | None = 2 * GI, *, read_only: bool = False) -> None:
        volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c", "readOnly": read_only}}
        source = VolumeSource(
            volume=msgspec.convert(volume, Volume),
            claim=msgspec.convert(self.claim, PersistentVolumeClaim),
            persistent_volume=PersistentVolume(metadata=ObjectMeta(name="pv")),
            expand_to_bytes=wanted,
        )
        await self.expander.expand(self.disk, VolumeRequest(pod=self.pod, source=source))


@pytest.fixture
def world(pod_of: Any) -> World:
    claim = {
        "metadata": {"name": "c", "namespace": "ns", "resourceVersion": "1"},
        "spec": {"resources": {"requests": {"storage": "2Gi"}}},
        "status": {
            "capacity": {"storage": "1Gi"},
            "allocatedResources": {"storage": "2Gi"},
            "allocatedResourceStatuses": {"storage": "NodeResizePending"},
            "conditions": [
                {"type": "FileSystemResizePending", "status": "True"},
                {"type": "NodeResizeError", "status": "True"},
                {"type": "Other", "status": "True"},
            ],
        },
    }
    return World(pod_of({"containers": []}), claim)


BEGUN = {"allocatedResourceStatuses": {"storage": "NodeResizeInProgress"}}
DONE = [
    ("Normal", who, "FileSystemResizeSuccessful", 'MountVolume.NodeExpandVolume succeeded for volume "pv" n')
    for who in ("pod", "claim")
]


def condition(error: str) -> dict[str, str]:
    return {
        "type": "NodeResizeError",
        "status": "True",
        "lastTransitionTime": "2026-11-28T12:00:00Z",
        "message": f"failed to expand pvc with {error}",
    }


async def test_a_claim_follows_its_volume(world: World) -> None:
    """Begun, grown, recorded; what said that it is pending or has failed is taken back, and both are told."""
    await world.expand()
    assert world.log == [
        BEGUN,
        ("expand", 2 * GI),
        {
            "capacity": {"storage": "2Gi"},
            "allocatedResourceStatuses": {"storage": None},
            "conditions": [
                {"type": "FileSystemResizePending", "$patch": "delete"},
                {"type": "NodeResizeError", "$patch": "delete"},
            ],
        },
        *DONE,
    ]


async def test_a_controller_that_tells_no_steps(world: World) -> None:
    """Nobody waits for a beginning; the end is the size alone."""
    world.claim["status"] = {"capacity": {"storage": "1Gi"}}
    await world.expand()
    assert world.log == [("expand", 2 * GI), {"capacity": {"storage": "2Gi"}}, *DONE]


async def test_another_node_has_recorded_it(world: World) -> None:
    """Then it is done here, too, and there is nothing to write."""
    world.claim["status"]["capacity"] = {"storage": "2Gi"}
    await world.expand()
    assert world.log == [("expand", 2 * GI), *DONE]


async def test_nothing_to_do(world: World) -> None:
    """Its volume is as large as it is to be."""
    await world.expand(None)
    assert world.log == []


async def test_a_volume_for_reading_stays_as_it_is(world: World) -> None:
    """Which both are told."""
    await world.expand(read_only=True)
    text = 'MountVolume.NodeExpandVolume failed for volume "pv" requested read-only file system'
    assert world.log == [("Warning", who, "FileSystemResizeFailed", text) for who in ("pod", "claim")]


@pytest.mark.parametrize(
    ("error", "asked", "known", "infeasible"),
    [
        (VolumeError("no"), "2Gi", True, False),
        (VolumeError("no"), "1Gi", True, True),
        (VolumeError("no"), "1Gi", False, False),
        (SizeInfeasible("never"), "2Gi", False, True),
    ],
)
async def test_a_growth_that_fails(world: World, error: VolumeError, asked: str, known: bool, infeasible: bool) -> None:
    """The claim says why. That it never will: where the driver says so, or where its owner wants another size after a failure."""
    world.disk.error = error
    world.claim["spec"]["resources"]["requests"]["storage"] = asked
    if not known:
        world.claim["status"]["conditions"] = []
    with pytest.raises(VolumeError, match=str(error)):
        await world.expand()
    told: dict[str, Any] = {"conditions": [condition(str(error))]}
    if infeasible:
        told["allocatedResourceStatuses"] = {"storage": "NodeResizeInfeasible"}
    assert world.log == [BEGUN, ("expand", 2 * GI), told]


async def test_what_cannot_grow_while_it_is_used_has_not_failed(world: World) -> None:
    """It will when it is mounted anew: the claim stays pending."""
    world.disk.error = CannotGrowInUse("in use")
    with pytest.raises(CannotGrowInUse):
        await world.expand()
    assert world.log == [BEGUN, ("expand", 2 * GI)]


async def test_a_claim_that_somebody_else_has_changed(world: World) -> None:
    """It is looked at again before anything grows."""
    world.error = VolumeError("conflict")
    with pytest.raises(VolumeError, match="conflict"):
        await world.expand()
    assert world.log == [BEGUN]
