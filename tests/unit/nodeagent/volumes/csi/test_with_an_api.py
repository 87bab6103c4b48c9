"""What is read from an API and written to it for drivers, with an API that answers as it is told."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import AttachedVolume, Node, NodeStatus, Secret
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.storage_v1 import CSIDriver, VolumeAttachment

from csi.values import NodeInfo
from nodeagent.api import errors
from nodeagent.api.csi_node import CSINode
from nodeagent.api.errors import Conflict, Fault, NotServed, Unavailable
from nodeagent.api.tokens import Token, TokenKey
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi import node_objects, pod_context
from nodeagent.volumes.csi.attachments import Attachments, NotAttached, attachment_name
from nodeagent.volumes.csi.credentials import Credentials
from nodeagent.volumes.csi.driver_specs import DriverSpec, DriverSpecs
from nodeagent.volumes.csi.drivers import Driver, Drivers
from nodeagent.volumes.csi.node_records import NOT_YET, NodeRecords
from nodeagent.volumes.csi.recounting import Recounting
from nodeagent.volumes.csi.registration import NodeRecordFailed
from nodeagent.volumes.csi.volume import CSIVolume, SecretName

INFO = NodeInfo(node_id="i-1")
VOLUME = CSIVolume(driver="d", handle="h", spec_name="pv")
POD = agent_pod({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": []}})


@dataclass
class Api:
    """Objects by kind and name. `failing`: the next errors, before anything is done."""

    objects: dict[tuple[str, str], Any] = field(default_factory=dict)
    failing: list[Exception] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def _called(self, verb: str, kind: str) -> None:
        self.calls.append(f"{verb} {kind}")
        if self.failing:
            raise self.failing.pop(0)

    async def get(self, kind: Any, name: str, namespace: str | None = None) -> Any:
        self._called("get", kind.__name__)
        key = (kind.__name__, f"{namespace}/{name}" if namespace else name)
        if key not in self.objects:
            raise errors.not_found(f"{kind.__name__.lower()}s", name)
        return self.objects[key]

    async def create(self, obj: Any, namespace: str | None = None) -> Any:
        self._called("create", type(obj).__name__)
        self.objects[(type(obj).__name__, obj.metadata.name)] = obj
        return obj

    async def delete(self, kind: Any, name: str, namespace: str | None = None, **_: Any) -> None:
        self._called("delete", kind.__name__)
        del self.objects[(kind.__name__, name)]

    async def patch(self, kind: Any, name: str, namespace: str | None, body: Any, **_: Any) -> Any:
        self._called("patch", kind.__name__)
        found = self.objects[(kind.__name__, name)]
        if kind is CSINode:
            found = msgspec.convert(
                {"metadata": {**msgspec.to_builtins(found.metadata)}, "spec": body["spec"]}, CSINode
            )
        else:
            annotations = {k: v for k, v in body["metadata"].get("annotations", {}).items() if v is not None}
            found = msgspec.structs.replace(
                found, metadata=msgspec.structs.replace(found.metadata, annotations=annotations or None)
            )
        self.objects[(kind.__name__, name)] = found
        return found

    @property
    def listed(self) -> list[str]:
        return [each.name for each in self.objects[("CSINode", "n")].drivers]

    @property
    def annotation(self) -> str | None:
        return (self.objects[("Node", "n")].metadata.annotations or {}).get(node_objects.NODE_IDS)


async def no_time(seconds: float) -> None:
    await asyncio.sleep(0)


async def until(check: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if check():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come to that")


@pytest.fixture
def api() -> Api:
    return Api({("Node", "n"): Node(metadata=ObjectMeta(name="n", uid="node-uid"))})


@pytest.fixture
def records(api: Api) -> NodeRecords:
    client: Any = api
    return NodeRecords(client, "n", sleep=no_time)


async def test_the_csi_node_is_made(api: Api, records: NodeRecords) -> None:
    """The node has trouble until there is one, and says which; one of a Node that is gone is replaced."""
    old = node_objects.new_csi_node("n", "other-uid")
    api.objects[("CSINode", "n")] = old
    assert records.trouble() == NOT_YET
    api.failing = [Unavailable("nobody there", Fault.REFUSED)]
    await records.initialise()
    assert records.trouble() == ""
    assert node_objects.is_of(api.objects[("CSINode", "n")], "node-uid")
    assert api.calls == ["get Node", "get Node", "get CSINode", "delete CSINode", "create CSINode"]


async def test_an_api_without_such_objects(api: Api, records: NodeRecords) -> None:
    """The node is not kept from its work by them."""
    api.failing = [NotServed(404, "NotFound", "the server could not find the requested resource")]
    await records.initialise()
    assert records.trouble() == ""


async def test_a_driver_is_written_and_struck(api: Api, records: NodeRecords) -> None:
    """Both objects say so; a write that meets another's is tried again; what is gone is struck when the API can be asked."""
    await records.initialise()
    api.failing = []
    await records.add("d", INFO)
    assert (api.listed, api.annotation) == (["d"], '{"d":"i-1"}')
    records.remove("d")
    api.failing = [Unavailable("nobody there", Fault.REFUSED)]
    running = asyncio.create_task(records.run())
    await until(lambda: not api.failing)
    records.remove("d")  # woken, it need not wait for its back-off
    await until(lambda: not api.listed and api.annotation is None)
    running.cancel()


async def test_a_node_that_was_made_again(api: Api, records: NodeRecords) -> None:
    """Its CSINode is of the new Node, and both list the drivers that are here: no others, and not those that left."""
    await records.initialise()
    for driver in ("d", "left", "e"):
        await records.add(driver, INFO)
    records.remove("left")
    api.objects[("Node", "n")] = Node(metadata=ObjectMeta(name="n", uid="another"))
    await records.begin_again()
    assert node_objects.is_of(api.objects[("CSINode", "n")], "another")
    assert (api.listed, api.annotation) == (["d", "e"], '{"d":"i-1","e":"i-1"}')


async def test_a_driver_that_is_back_before_it_was_struck(api: Api, records: NodeRecords) -> None:
    """It stays."""
    await records.initialise()
    records.remove("d")
    await records.add("d", INFO)
    running = asyncio.create_task(records.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert api.listed == ["d"]
    running.cancel()


async def test_an_api_that_says_no(api: Api, records: NodeRecords) -> None:
    """After a few tries the driver is told, and asked again later."""
    await records.initialise()
    conflict = Conflict(409, "Conflict", "somebody else was here")
    await api.get(Node, "n")
    api.failing = []
    await records.add("d", INFO)
    api.failing = [conflict] * 4
    with pytest.raises(NodeRecordFailed, match="somebody else was here"):
        await records.recount("d", NodeInfo(node_id="i-1", max_volumes=5))
    await records.recount("d", NodeInfo(node_id="i-1", max_volumes=5))
    (entry,) = api.objects[("CSINode", "n")].drivers
    assert entry.allocatable.count == 5


@dataclass
class Objects:
    """CSIDriver objects, as an informer has them."""

    found: dict[str, CSIDriver] = field(default_factory=dict)
    event: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: str = "it is forbidden"

    @property
    def has_synced(self) -> bool:
        return self.event.is_set()

    def get(self, namespace: str, name: str) -> CSIDriver | None:
        return self.found.get(name)

    async def synced(self) -> None:
        await self.event.wait()


async def test_objects_that_are_not_known_yet() -> None:
    """They are waited for, not taken for missing; a volume that waits too long is told why."""
    objects = Objects({"d": msgspec.convert({"spec": {"attachRequired": False}}, CSIDriver)})
    with pytest.raises(VolumeError, match="CSIDrivers has not been synced yet: it is forbidden"):
        await DriverSpecs(objects, sync_seconds=0.0).get("d")
    specs = DriverSpecs(objects)
    waiting = asyncio.create_task(specs.get("d"))
    await asyncio.sleep(0)
    objects.event.set()
    assert await waiting == DriverSpec(declared=True, attach=False)
    assert await specs.get("other") == DriverSpec()


@dataclass
class Nodes:
    """The own Node, as an informer has it."""

    attached: list[str] = field(default_factory=list)
    callbacks: list[Callable[..., None]] = field(default_factory=list)

    def items(self) -> list[Node]:
        return [Node(status=NodeStatus(volumesAttached=[AttachedVolume(name=n, devicePath="") for n in self.attached]))]

    def subscribe(self, callback: Callable[[object, object, object], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


def attachment(**status: Any) -> VolumeAttachment:
    spec = {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}
    return msgspec.convert(
        {"metadata": {"name": "a"}, "spec": spec, "status": {"attached": False, **status}}, VolumeAttachment
    )


async def test_a_volume_is_attached(api: Api) -> None:
    """It is waited for without asking; then its context is what the controller has left there."""
    nodes = Nodes(["kubernetes.io/csi/d^other"])
    attachments = Attachments(api, nodes, "n")
    waiting = asyncio.create_task(attachments.wait(VOLUME))
    await asyncio.sleep(0)
    nodes.attached.append("kubernetes.io/csi/d^h")
    for callback in tuple(nodes.callbacks):
        callback(None, None, None)
    await waiting
    assert (nodes.callbacks, api.calls) == ([], [])
    api.objects[("VolumeAttachment", attachment_name(VOLUME, "n"))] = attachment(
        attached=True, attachmentMetadata={"device": "/dev/b"}
    )
    assert await attachments.context(VOLUME) == {"device": "/dev/b"}


@pytest.mark.parametrize(
    ("found", "text", "code"),
    [
        (None, "volume h has GET error for volume attachment csi-", None),
        (attachment(), "volume h is not attached", None),
        (attachment(attached=True), "volume h is attached, and not reported in node.status.volumesAttached", None),
        (
            attachment(attachError={"message": "no slot", "errorCode": 8}),
            "attachment of volume h failed: no slot",
            8,
        ),
    ],
)
async def test_a_volume_that_is_not_attached(
    api: Api, found: VolumeAttachment | None, text: str, code: int | None
) -> None:
    """After a while the cause is looked for, and told."""
    if found is not None:
        api.objects[("VolumeAttachment", attachment_name(VOLUME, "n"))] = found
    with pytest.raises(NotAttached) as caught:
        await Attachments(api, Nodes(), "n", look_seconds=0.0).wait(VOLUME)
    assert str(caught.value).startswith(text)
    assert caught.value.code == code


async def test_an_attachment_on_its_way_out(api: Api) -> None:
    """Nothing is made of a volume that is being detached."""
    found = attachment(attached=True)
    assert found.metadata is not None
    found.metadata.deletionTimestamp = datetime(2026, 1, 1, tzinfo=UTC)
    api.objects[("VolumeAttachment", attachment_name(VOLUME, "n"))] = found
    with pytest.raises(NotAttached, match="volume attachment is being deleted"):
        await Attachments(api, Nodes(), "n").context(VOLUME)


@dataclass
class Mint:
    keys: list[TokenKey] = field(default_factory=list)

    async def get(self, key: TokenKey) -> Token:
        self.keys.append(key)
        return Token(value="t", expires_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), expiration_seconds=600)

    def forget(self, pod_uid: str) -> None:
        return


async def test_secrets(api: Api) -> None:
    """They go to the driver as text; what is none is refused, and shown to nobody."""
    credentials, name = Credentials(api, Mint()), SecretName(namespace="ns", name="s")
    assert await credentials.secret(None, "NodeStageSecretRef") == {}
    api.objects[("Secret", "ns/s")] = Secret(data={"key": base64.b64encode("wörd".encode()).decode()})
    assert await credentials.secret(name, "NodeStageSecretRef") == {"key": "wörd"}
    for wrong in (base64.b64encode(b"\xff\xfe").decode(), "no base64!"):
        api.objects[("Secret", "ns/s")] = Secret(data={"key": wrong})
        with pytest.raises(VolumeError) as caught:
            await credentials.secret(name, "NodeStageSecretRef")
        assert str(caught.value) == (
            "fetching NodeStageSecretRef ns/s failed: the value of key is not text, which CSI needs"
        )
        assert caught.value.__cause__ is None
    del api.objects[("Secret", "ns/s")]
    with pytest.raises(VolumeError, match='fetching NodeStageSecretRef ns/s failed: secrets "s" not found'):
        await credentials.secret(name, "NodeStageSecretRef")


async def test_tokens(api: Api) -> None:
    """One for each audience that the driver asks for, bound to the pod; as one entry, in a kubelet's form."""
    mint = Mint()
    spec = DriverSpec(tokens=(("", None), ("vault", 600)))
    found = await Credentials(api, mint).tokens(POD, spec)
    assert [(key.audiences, key.expiration_seconds, key.pod_uid) for key in mint.keys] == [
        ((), 3600, "u"),
        (("vault",), 600, "u"),
    ]
    entry = '{"token":"t","expirationTimestamp":"2026-01-02T03:04:05Z"}'
    assert pod_context.tokens(found) == {"csi.storage.k8s.io/serviceAccount.tokens": f'{{"":{entry},"vault":{entry}}}'}


async def test_drivers_are_asked_again_how_much_they_can_hold() -> None:
    """At the pace that their objects say, and those alone; a failure of one is nobody's end."""
    now, asked = [100.0], list[str]()

    class Records:
        async def recount(self, driver: str, info: NodeInfo) -> None:
            raise AssertionError

    class Asked(Recounting):
        async def ask(self, driver: Driver) -> None:
            asked.append(driver.name)

    drivers = Drivers()
    client: Any = None
    for name in ("often", "seldom", "never"):
        drivers.add(Driver(name=name, client=client, version=(1, 0, 0), socket=Path("/s")))
    objects = Objects(
        {
            name: msgspec.convert({"spec": {"nodeAllocatableUpdatePeriodSeconds": seconds}}, CSIDriver)
            for name, seconds in (("often", 10), ("seldom", 25))
        }
    )
    recounting = Asked(drivers, DriverSpecs(objects), Records(), clock=lambda: now[0])
    assert await recounting.once() == 10
    now[0] += 10
    assert (await recounting.once(), asked) == (10, ["often"])
    now[0] += 15
    assert (await recounting.once(), asked) == (10, ["often", "often", "seldom"])
    drivers.remove("often")
    drivers.remove("seldom")
    assert await recounting.once() is None
