"""Volumes that pods share: attached, staged once on the node, published for each pod; and what is wrong with them on the way."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Node as ApiNode
from lightkube.models.core_v1 import (
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimStatus,
    PersistentVolumeSpec,
    Volume,
)
from lightkube.models.meta_v1 import ObjectMeta
from typing_extensions import override

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes import stage
from nodeagent.volumes.contract import (
    CannotGrowInUse,
    Capabilities,
    MountedVolume,
    VolumeError,
    VolumePlugin,
    VolumeRequest,
    VolumeSource,
    VolumeUsage,
)
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import MountFailed, VolumeManager
from nodeagent.volumes.pod_folder import remove_pod_folder
from nodeagent.volumes.publish_only import PublishOnly

DRIVER = "disks.example/driver"
NOTE = "plugins/disks.example~driver/pv-1/node-volume.json"


@dataclass
class Claims:
    """Every claim is bound to the volume `pv-1`; each question takes the next entry of `errors`."""

    errors: list[str | None] = field(default_factory=list)
    expand_to_bytes: int | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    read_only: bool = False
    recorded: str = "0"

    def follows(self, volume: Volume) -> bool:
        return volume.persistentVolumeClaim is not None

    async def resolve(self, pod: AgentPod, volume: Volume) -> VolumeSource:
        if self.errors and (error := self.errors.pop(0)):
            raise VolumeError(error)
        assert volume.persistentVolumeClaim is not None
        volume.persistentVolumeClaim.readOnly = self.read_only
        return VolumeSource(
            volume=volume,
            claim=PersistentVolumeClaim(
                metadata=ObjectMeta(name="c", namespace="ns"),
                status=PersistentVolumeClaimStatus(capacity={"storage": self.recorded}),
            ),
            persistent_volume=PersistentVolume(
                metadata=ObjectMeta(name="pv-1", annotations=self.annotations),
                spec=msgspec.convert(self.spec, PersistentVolumeSpec),
            ),
            expand_to_bytes=self.expand_to_bytes,
        )


@dataclass
class Disks(PublishOnly):
    """A driver for what claims lead to. Each verb takes the next entry of its script: an error, or success."""

    layout: Layout
    needs: Capabilities = field(default_factory=lambda: Capabilities(attach=True, stage=True, expand=True))
    script: dict[str, list[str | None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    attached: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    in_use: bool = False
    name: str = DRIVER

    def __post_init__(self) -> None:
        self.attached.set()

    def supports(self, source: VolumeSource) -> bool:
        return source.persistent_volume is not None

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        return self.needs

    @override
    def volume_id(self, source: VolumeSource) -> str:
        return f"{DRIVER}^{source.name}"

    @override
    async def attach(self, request: VolumeRequest) -> None:
        await self._take("attach", request.pod.uid)
        await self.attached.wait()

    @override
    async def stage(self, request: VolumeRequest) -> None:
        await self._take("stage", request.pod.uid)

    @override
    async def unstage(self, volume_id: str) -> None:
        await self._take("unstage", volume_id)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        await self._take("publish", request.pod.uid)
        path = self.layout.volume_dir(request.pod.uid, DRIVER, request.directory_name)
        path.mkdir(parents=True, exist_ok=True)
        maps = Path("/maps") if request.source.block else None
        name = request.directory_name
        return MountedVolume(host_path=path, directory_name=name, block=request.source.block, global_map_path=maps)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        await self._take("unpublish", uid)
        path = self.layout.volume_dir(uid, DRIVER, directory_name)
        if path.exists():
            path.rmdir()

    @override
    async def expand(self, request: VolumeRequest) -> None:
        await self._take("expand", str(request.source.expand_to_bytes))
        if self.in_use:
            raise CannotGrowInUse("not while it is used")

    async def _take(self, verb: str, what: str) -> None:
        self.calls.append(f"{verb} {what}")
        steps = self.script.get(verb, [])
        if (error := steps.pop(0) if steps else None) is not None:
            self.failed.set()
            raise VolumeError(error)
        await asyncio.sleep(0)


@dataclass
class Node:
    """A manager over one driver; `restarted` is the next agent's."""

    root: Path
    events: Any
    disks: Disks
    claims: Claims
    wait_seconds: float = 60.0
    labels: dict[str, str] | None = None
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def restarted(self, *plugins: VolumePlugin) -> VolumeManager:
        return VolumeManager(
            layout=Layout(self.root),
            plugins=plugins or (self.disks,),
            resolvers=(self.claims,),
            own_node=lambda: None if self.labels is None else ApiNode(metadata=ObjectMeta(labels=self.labels)),
            events=self.events,
            wait_seconds=self.wait_seconds,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


@pytest.fixture
def node(tmp_path: Path, events: Any) -> Node:
    return Node(tmp_path, events, Disks(Layout(tmp_path)), Claims())


@pytest.fixture
def pod(pod_of: Any) -> Any:
    """A pod with a claim, by UID."""

    def make(uid: str = "u") -> AgentPod:
        mounts = [{"name": "data", "mountPath": "/data"}]
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]
        found: AgentPod = pod_of({"containers": [{"name": "c", "volumeMounts": mounts}], "volumes": volumes}, uid=uid)
        return found

    return make


async def test_a_volume_comes_up_in_phases_and_goes_in_reverse(node: Node, pod: Any) -> None:
    """Noted before it is asked for, attached, staged, published, grown; gone are the directory, the staging and then the note."""
    manager = node.restarted()
    node.claims.expand_to_bytes = 5
    mounted = await manager.mount(pod())
    volume = node.root / "pods/u/volumes/disks.example~driver/pv-1"
    assert mounted == {"data": MountedVolume(host_path=volume, directory_name="pv-1")}
    assert node.disks.calls == ["attach u", "stage u", "publish u", "expand 5"]
    note = node.root / "pods/u" / NOTE
    assert json.loads(note.read_text()) == {"volume_id": f"{DRIVER}^pv-1", "attach": True}
    assert manager.in_use() == [f"{DRIVER}^pv-1"]
    node.disks.calls.clear()
    node.disks.script["unstage"] = ["still mounted elsewhere"]
    with pytest.raises(ExceptionGroup) as caught:
        await manager.unmount("u")
    assert [str(error) for error in caught.value.exceptions] == ["still mounted elsewhere"]
    with pytest.raises(VolumeError, match="volume pv-1 is still staged: "):
        remove_pod_folder(node.root / "pods/u")
    await manager.unmount("u")
    assert node.disks.calls == ["unpublish u", f"unstage {DRIVER}^pv-1"] * 2
    assert manager.in_use() == []
    remove_pod_folder(node.root / "pods/u")


async def test_the_pod_gets_the_group_that_the_volume_is_of(node: Node, pod: Any) -> None:
    """An annotation of the PersistentVolume names it, whatever the driver."""
    node.claims.annotations = {"pv.beta.kubernetes.io/gid": "4321"}
    assert (await node.restarted().mount(pod()))["data"].supplemental_groups == (4321,)


async def test_a_claim_may_be_for_reading_alone(node: Node, pod: Any) -> None:
    """Every container has the volume so, whatever its mount says."""
    node.claims.read_only = True
    assert (await node.restarted().mount(pod()))["data"].read_only_forced


async def test_devices_are_told_in_words_of_their_own(node: Node, pod: Any) -> None:
    """Failures by other names, and where they are once they are there."""
    node.claims.spec = {"volumeMode": "Block"}
    node.disks.script = {"attach": ["no"], "stage": ["no"], "publish": ["no"]}
    assert (await node.restarted().mount(pod()))["data"].block
    failed = [
        f'MapVolume.{word} failed for volume "pv-1" : no' for word in ("WaitForAttach", "SetUpDevice", "MapPodDevice")
    ]
    there = 'MapVolume.MapPodDevice succeeded for volume "pv-1"'
    folder = node.root / "pods/u/volumes/disks.example~driver"
    assert node.events.seen == [
        *(("Warning", "FailedMapVolume", message) for message in failed),
        ("Normal", "SuccessfulMountVolume", f'{there} globalMapPath "/maps"'),
        ("Normal", "SuccessfulMountVolume", f'{there} volumeMapPath "{folder}"'),
    ]


async def test_a_volume_that_is_not_to_be_had_on_this_node(node: Node, pod: Any) -> None:
    """Its node affinity is asked before anybody attaches it; a node that is not known yet may turn out to be another."""
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    node.claims.spec = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}

    async def slept(seconds: float) -> None:
        assert node.disks.calls == []
        node.labels = {"zone": "b"} if node.labels is None else {"zone": "a"}

    node.sleep = slept  # type: ignore[method-assign]
    await node.restarted().mount(pod())
    message = 'MountVolume.NodeAffinity check failed for volume "pv-1" : '
    assert node.events.seen == [
        ("Warning", "FailedMount", message + "the labels of this node are not known yet"),
        ("Warning", "FailedMount", message + "no matching NodeSelectorTerms"),
    ]


async def test_a_volume_for_one_pod_alone(node: Node, pod: Any) -> None:
    """A second pod waits until the first has gone, and is told why; the first one's next agent takes nobody else for it."""
    node.claims.spec = {"accessModes": ["ReadWriteOncePod"]}
    node.disks.needs = Capabilities()
    await node.restarted().mount(pod("a"))
    manager = node.restarted()
    node.wait_seconds = 0.05
    with pytest.raises(MountFailed):
        await node.restarted().mount(pod("b"))
    in_use = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
    assert node.events.seen[0] == ("Warning", "FailedMount", f'MountVolume.SetUp failed for volume "pv-1" : {in_use}')
    assert set(node.events.seen) == {node.events.seen[0]}
    await manager.mount(pod("a"))
    await manager.unmount("a")
    node.claims.spec = {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}
    await asyncio.gather(manager.mount(pod("b")), manager.mount(pod("c")))


async def test_pods_share_what_is_staged(node: Node, pod: Any) -> None:
    """It is unstaged with the last of them, whichever that is, by an agent that has never mounted it."""
    first = node.restarted()
    await asyncio.gather(first.mount(pod("a")), first.mount(pod("b")))
    up = [call for call in node.disks.calls if not call.startswith("attach")]
    assert sorted(up) == ["publish a", "publish b", "stage a", "stage b"]
    assert up[0][-1] == up[1][-1], "one pod at a time"
    node.disks.calls.clear()
    second = node.restarted()
    assert second.in_use() is None
    await second.unmount("a")
    assert second.in_use() == [f"{DRIVER}^pv-1"]
    assert node.disks.calls == ["unpublish a"]
    await asyncio.gather(second.unmount("b"), second.unmount("a"))
    assert node.disks.calls == ["unpublish a", "unpublish b", f"unstage {DRIVER}^pv-1"]


async def test_a_pod_that_comes_while_the_last_one_goes(node: Node, pod: Any) -> None:
    """The volume is not taken away under it: it is kept, or staged once more."""
    manager = node.restarted()
    await manager.mount(pod("a"))
    node.disks.calls.clear()
    await asyncio.gather(manager.unmount("a"), manager.mount(pod("b")))
    last = [call for call in node.disks.calls if call.split()[0] in ("stage", "unstage")][-1]
    assert last == "stage b"
    assert (node.root / "pods/b" / NOTE).exists()


@pytest.mark.parametrize("verb", ["attach", "stage", "publish"])
async def test_an_agent_that_ends_in_the_middle_leaves_nothing(node: Node, pod: Any, verb: str) -> None:
    """Whatever it was at: the next one knows the volume by its note, and takes it down to the end."""
    node.disks.script[verb] = ["the agent is killed here"] * 1_000_000
    mounting = asyncio.create_task(node.restarted().mount(pod()))
    await node.disks.failed.wait()
    mounting.cancel()
    await asyncio.gather(mounting, return_exceptions=True)
    node.disks.calls.clear()
    await node.restarted().unmount("u")
    assert node.disks.calls == ["unpublish u", f"unstage {DRIVER}^pv-1"]
    remove_pod_folder(node.root / "pods/u")


async def test_a_note_that_is_cancelled_is_known(node: Node, pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be on the disk all the same, and then keeps the pod's folder until it is taken back."""
    begun, write = asyncio.Event(), stage.replace_file
    loop = asyncio.get_running_loop()

    def writing(path: Path, data: bytes) -> None:
        loop.call_soon_threadsafe(begun.set)
        write(path, data)

    monkeypatch.setattr(stage, "replace_file", writing)
    manager = node.restarted()
    mounting = asyncio.create_task(manager.mount(pod()))
    await begun.wait()
    mounting.cancel()
    await asyncio.gather(mounting, return_exceptions=True)
    await manager.unmount("u")
    remove_pod_folder(node.root / "pods/u")


async def test_a_restarted_agent_publishes_again(node: Node, pod: Any) -> None:
    """All verbs are repeated, nothing is taken down: drivers are idempotent."""
    await node.restarted().mount(pod())
    node.disks.calls.clear()
    await node.restarted().mount(pod())
    assert node.disks.calls == ["attach u", "stage u", "publish u"]


@pytest.mark.parametrize(
    ("verb", "word"),
    [
        ("attach", "WaitForAttach"),
        ("stage", "MountDevice"),
        ("publish", "SetUp"),
        ("expand", "Setup failed while expanding volume"),
    ],
)
async def test_failures_are_events_by_the_phase(node: Node, pod: Any, verb: str, word: str) -> None:
    """With the name of the PersistentVolume, in a kubelet's words; what was done before is done again."""
    node.claims.expand_to_bytes = 5
    node.disks.script[verb] = ["no", "no", None]
    await node.restarted().mount(pod())
    message = f'MountVolume.{word} failed for volume "pv-1" : no'
    assert node.events.seen[:-2] == [("Warning", "FailedMount", message)] * 2
    assert {reason for _, reason, _ in node.events.seen[-2:]} == {"FileSystemResizeSuccessful"}
    assert node.slept == [0.5, 1.0]
    assert node.disks.calls[0] == "attach u" and node.disks.calls.count("attach u") == 3


async def test_another_phase_backs_off_anew(node: Node, pod: Any) -> None:
    """A driver that gets further is asked again soon."""
    node.disks.script = {"stage": ["no", "no", "no"], "publish": ["no", "no"]}
    await node.restarted().mount(pod())
    assert node.slept == [0.5, 1.0, 2.0, 0.5, 1.0]


async def test_what_is_not_attached_is_told(node: Node, pod: Any) -> None:
    """The pod's error names it under both; as a kubelet's time-out it is no event."""
    node.disks.attached.clear()
    node.wait_seconds = 0.05
    with pytest.raises(MountFailed) as caught:
        await node.restarted().mount(pod())
    assert str(caught.value) == (
        "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data], "
        "failed to process volumes=[]: timed out waiting for the condition"
    )
    assert not caught.value.event_worthy
    assert node.events.seen == []


async def test_claims_that_lead_nowhere(node: Node, pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are tried again, and told at the end, as an event of the pod's; the driver is not asked."""
    node.claims.errors = ["error processing PVC ns/c: PVC is not bound"] * 1_000_000
    node.wait_seconds = 0.05
    with pytest.raises(MountFailed) as caught:
        await node.restarted().mount(pod())
    assert str(caught.value) == (
        "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], "
        "failed to process volumes=[data]: error processing PVC ns/c: PVC is not bound"
    )
    assert caught.value.event_worthy
    assert (node.events.seen, node.disks.calls) == ([], [])
    node.claims.errors = ["not yet", None]
    node.wait_seconds = 60
    await node.restarted().mount(pod())
    assert node.disks.calls == ["attach u", "stage u", "publish u"]


async def test_a_claim_of_an_unknown_driver_ends_the_wait(node: Node, pod: Any, plugin: Any) -> None:
    """It is found out only when the claim has been followed, and then told at once."""
    with pytest.raises(MountFailed, match=r"failed to process volumes=\[data\]: volume \"data\": this node does not"):
        await node.restarted(plugin).mount(pod())


async def test_a_claim_that_grows_while_it_is_used(node: Node, pod: Any) -> None:
    """Asked for at every sync, as long as the claim wants it; published again only where the driver wants that."""
    manager = node.restarted()
    await manager.mount(pod())
    node.disks.calls.clear()
    await manager.refresh(pod())
    assert node.disks.calls == []
    node.claims.expand_to_bytes = 7
    await manager.refresh(pod())
    node.claims.expand_to_bytes = None
    node.disks.needs = Capabilities(stage=True, republish=True)
    await manager.refresh(pod())
    assert node.disks.calls == ["expand 7", "publish u"]


async def test_a_claim_that_cannot_grow_while_it_is_used(node: Node, pod: Any) -> None:
    """At the mount its pod starts all the same, later it goes on; it is told once, and not tried again before the next mount."""
    node.disks.in_use = True
    node.claims.expand_to_bytes = 5
    manager = node.restarted()
    await manager.mount(pod())
    await manager.refresh(pod())
    message = 'NodeExpandVolume.NodeExpandVolume failed for volume "pv-1" : not while it is used'
    assert node.events.seen == [("Warning", "VolumeResizeFailed", message)]
    assert node.disks.calls.count("expand 5") == 1
    await node.restarted().mount(pod())
    assert node.disks.calls.count("expand 5") == 2


async def test_a_claim_for_reading_does_not_grow(node: Node, pod: Any) -> None:
    """Its pod and its claim are told, once a mount; nobody asks the driver."""
    node.claims.read_only = True
    manager = node.restarted()
    await manager.mount(pod())
    node.claims.expand_to_bytes = 5
    for _ in range(2):
        await manager.refresh(pod())
    assert [reason for _, reason, _ in node.events.seen] == ["FileSystemResizeFailed"] * 2
    assert not any(call.startswith("expand") for call in node.disks.calls)


async def test_a_growth_that_fails_later_is_told_as_such(node: Node, pod: Any) -> None:
    """Its pod runs: nothing is mounted, and it is tried again at a later sync, when its back-off is over."""
    manager = node.restarted()
    await manager.mount(pod())
    node.claims.expand_to_bytes = 5
    node.disks.script["expand"] = ["no", None]
    await manager.refresh(pod())
    await manager.refresh(pod())
    message = 'NodeExpandVolume.NodeExpandVolume failed for volume "pv-1" : no'
    assert node.events.seen == [("Warning", "VolumeResizeFailed", message)]
    node.now = 0.5
    await manager.refresh(pod())
    assert node.disks.calls.count("expand 5") == 2


async def test_a_shared_volume_that_another_node_has_let_grow(node: Node, pod: Any) -> None:
    """Its claim shows the new size already: this node follows, once."""
    manager = node.restarted()
    node.claims.spec = {"accessModes": ["ReadWriteMany"]}
    node.claims.recorded = "1Gi"
    await manager.mount(pod())
    node.claims.recorded = "2Gi"
    for _ in range(2):
        await manager.refresh(pod())
    assert [call for call in node.disks.calls if call.startswith("expand")] == [f"expand {2 << 30}"]


async def test_a_note_that_cannot_be_read_keeps_nobody(node: Node, pod: Any, caplog: Any) -> None:
    """A damaged disk: it is told, and the pod's folder goes; the volume may stay staged."""
    await node.restarted().mount(pod())
    (node.root / "pods/u" / NOTE).write_bytes(b"\xff\0")
    node.disks.calls.clear()
    await node.restarted().unmount("u")
    assert node.disks.calls == ["unpublish u"]
    assert "cannot be read, the volume may stay staged" in caplog.text
    remove_pod_folder(node.root / "pods/u")


async def test_a_driver_that_is_not_known_any_more_keeps_the_folder(node: Node, pod: Any, plugin: Any) -> None:
    """What is staged is somebody's data: the folder stays until the driver is there again."""
    await node.restarted().mount(pod())
    await node.restarted(plugin).unmount("u")
    with pytest.raises(VolumeError, match="volume pv-1 is still staged"):
        remove_pod_folder(node.root / "pods/u")
    await node.restarted().unmount("u")
    remove_pod_folder(node.root / "pods/u")


async def test_usage_is_of_what_can_be_measured(node: Node, pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that fails, or does not measure, leaves its volume out; of an unknown pod there is nothing."""
    manager = node.restarted()
    await manager.mount(pod())
    assert set(await manager.usage("u")) == {"data"}
    used = VolumeUsage(capacity_bytes=1)
    for answer, expected in ((used, {"data": replace(used, claim="c")}), (None, {}), (VolumeError("no"), {})):

        async def usage(volume: MountedVolume, answer: Any = answer) -> VolumeUsage | None:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(node.disks, "usage", usage)
        assert await manager.usage("u") == expected
    assert await manager.usage("other") == {}
