"""Registration, the status publisher and the lease against an API that does what the test says."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import small_machine
from lightkube.models.coordination_v1 import Lease
from lightkube.models.core_v1 import Node, NodeAddress, NodeSpec, NodeStatus, NodeSystemInfo, Taint
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from nodeagent.api import errors
from nodeagent.api.errors import Fault, Unavailable
from nodeagent.node.capacity import Limits
from nodeagent.node.lease import LeaseRenewer
from nodeagent.node.publisher import NodeInputs, NodePublisher
from nodeagent.node.registration import Registrar, Registration
from nodeagent.node.state import NodeState
from nodeagent.node.status import NodeConfig, RuntimeState

NOW = datetime(2026, 1, 1, 12, 0, 0, 500, tzinfo=UTC)
MACHINE = dataclasses.replace(small_machine.MACHINE, boot_id="boot-2")
AWAY = Unavailable("away", Fault.REFUSED)


class Api:
    """Returns (or raises) the answers in order, and remembers the calls. A callable answer gets the call's body."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[Any, ...]] = []

    async def _next(self, *call: Any) -> Any:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(call[-1]) if callable(answer) else answer

    async def get(self, kind: Any, name: str, namespace: Any = None) -> Any:
        return await self._next("get", kind.__name__, name)

    async def create(self, obj: Any, namespace: Any = None) -> Any:
        return await self._next("create", obj)

    async def replace(self, obj: Any) -> Any:
        return await self._next("replace", obj)

    async def patch(self, kind: Any, name: str, namespace: Any, body: Any, *, subresource: Any = None) -> Any:
        return await self._next("patch", subresource, body)

    @property
    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]


class Events:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def event(self, ref: Any, type: str, reason: str, message: str, **_: Any) -> None:
        assert msgspec.to_builtins(ref) == {"apiVersion": "v1", "kind": "Node", "name": "n"}
        self.said.append((type, reason, message))


class Naps:
    def __init__(self, limit: int = 1000) -> None:
        self.seconds: list[float] = []
        self.limit = limit

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self.limit:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


def same(body: Any) -> Any:
    return body


async def complete(node: Node) -> Node:
    return msgspec.structs.replace(node, status=NodeStatus())


def registration(**fields: Any) -> Registration:
    return Registration(name="n", machine=MACHINE, **fields)


def test_a_node_that_is_not_for_pods_yet() -> None:
    """--register-schedulable=false: with the taint from the first moment on."""
    spec = registration(schedulable=False).node().spec
    assert spec is not None
    assert (spec.unschedulable, spec.taints) == (
        True,
        [Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")],
    )


async def test_a_new_node_is_created_whole() -> None:
    """Labels, annotation, taints, provider id and status go into the first POST; failures are tried again."""
    api, naps = Api(AWAY, AWAY, same), Naps()
    given = registration(
        labels={"a": "1", "kubernetes.io/hostname": "other"},
        taints=(Taint(key="k", effect="NoSchedule"),),
        provider_id="p://1",
        external_cloud=True,
        node_ip="10.0.0.1",
    )
    node = await Registrar(api, given, complete, sleep=naps).register()
    assert msgspec.to_builtins(node) == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "n",
            "labels": {
                "kubernetes.io/hostname": "other",
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux",
                "beta.kubernetes.io/arch": "amd64",
                "a": "1",
            },
            "annotations": {
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                "alpha.kubernetes.io/provided-node-ip": "10.0.0.1",
            },
        },
        "spec": {
            "taints": [
                {"key": "k", "effect": "NoSchedule"},
                {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"},
            ],
            "providerID": "p://1",
        },
        "status": {},
    }
    assert naps.seconds == [0.1, 0.2]


@pytest.mark.parametrize("refusal", [errors.AlreadyExists(409, "AlreadyExists", "x"), errors.Forbidden(403, "", "x")])
async def test_an_existing_node_is_put_right(refusal: Exception) -> None:
    """Well-known labels and the attach annotation are corrected; other labels of the operator are left alone."""
    existing = Node(
        metadata=ObjectMeta(name="n", labels={"kubernetes.io/hostname": "old", "kubernetes.io/os": "linux"})
    )
    api = Api(refusal, existing, same)
    await Registrar(api, registration(labels={"a": "1"}), complete).register()
    assert api.calls[1:] == [
        ("get", "Node", "n"),
        (
            "patch",
            None,
            {
                "metadata": {
                    "labels": {
                        "kubernetes.io/hostname": "n",
                        "kubernetes.io/arch": "amd64",
                        "beta.kubernetes.io/os": "linux",
                        "beta.kubernetes.io/arch": "amd64",
                    },
                    "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
                }
            },
        ),
    ]


async def test_a_node_that_is_right_is_not_written() -> None:
    """Nothing to correct, nothing sent; a refusal without a Node is tried again."""
    good = registration().node()
    forbidden = errors.Forbidden(403, "", "x")
    api, naps = Api(forbidden, errors.NotFound(404, "", "x"), forbidden, good), Naps()
    assert await Registrar(api, registration(), complete, sleep=naps).register() is good
    assert api.verbs == ["create", "get", "create", "get"]
    assert naps.seconds == [0.1]


class World:
    """A publisher with everything around it in the hands of the test."""

    def __init__(self, api: Api, *, reset_extended: bool = False) -> None:
        self.api = api
        self.seconds = 0.0
        self.skew_seconds = 0.0
        self.runtime = RuntimeState(errors=("container runtime is down",))
        self.listed: Node | None = None
        self.volumes_in_use: list[str] | None = None
        self.events = Events()

        async def addresses() -> list[NodeAddress]:
            return [NodeAddress(type="Hostname", address="n")]

        self.state = NodeState(MACHINE, Limits(), storage_bytes=2**30, host_ips=())
        inputs = NodeInputs(
            addresses=addresses, runtime=lambda: self.runtime, volumes_in_use=lambda: self.volumes_in_use
        )
        self.publisher = NodePublisher(
            api,
            NodeConfig(name="n", machine=MACHINE, version="v1"),
            self.state,
            inputs,
            lambda: self.listed,
            self.events,
            reset_extended=reset_extended,
            now=lambda: NOW + timedelta(seconds=self.seconds + self.skew_seconds),
            clock=lambda: self.seconds,
            chance=lambda: 0.5,
        )


class Store:
    """The API's side of a Node: applies the agent's patches, each answer under a new version."""

    def __init__(self, status: NodeStatus | None = None) -> None:
        self.status: dict[str, Any] = msgspec.to_builtins(status or NodeStatus())
        self.version = 1
        self.node: Node | None = None

    def apply(self, body: Any) -> Node:
        conditions = {item["type"]: item for item in self.status.get("conditions", [])}
        for key, value in body["status"].items():
            if value is None:
                self.status.pop(key, None)
            elif key == "conditions":
                conditions |= {item["type"]: item for item in value}
            elif isinstance(value, dict):
                self.status[key] = {**self.status.get(key, {}), **value}
            elif not key.startswith("$"):
                self.status[key] = [item for item in value if "$patch" not in item]
        self.status["conditions"] = list(conditions.values())
        self.version += 1
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        self.node = Node(
            metadata=ObjectMeta(name="n", uid="u", resourceVersion=str(self.version), labels=labels),
            status=msgspec.convert(self.status, NodeStatus),
        )
        return self.node


async def test_extended_resources_are_reset_once() -> None:
    """At the start of an agent that never counted devices; what is written down later stays."""
    known = NodeStatus(capacity={"example.com/d": "3"}, allocatable={"example.com/d": "3"})
    api = Api(Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1"), status=known))
    world, store = World(api, reset_extended=True), Store(known)
    api.answers += [store.apply] * 2
    await world.publisher.publish()
    assert (store.status["capacity"]["example.com/d"], store.status["allocatable"]["example.com/d"]) == ("0", "0")
    world.listed = store.apply({"status": {"capacity": {"example.com/d": "4"}}})
    await world.publisher.publish()
    assert (store.status["capacity"]["example.com/d"], store.status["allocatable"]["example.com/d"]) == ("4", "4")


async def test_what_others_find_out_reaches_the_node() -> None:
    """A pressure that was told to the node's state, and the volumes that are to stay attached, are in the next patch.

    Volumes that are not known leave what was told before; none is none.
    """
    api = Api(Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1")))
    world, store = World(api), Store(NodeStatus(volumesInUse=["driver^told-before"]))
    api.answers[0].status = NodeStatus(volumesInUse=["driver^told-before"])
    api.answers += [store.apply] * 3
    await world.publisher.publish()
    assert "volumesInUse" not in api.calls[1][2]["status"]
    world.volumes_in_use = ["driver^b", "driver^a"]
    world.state.set_pressure(disk=True)
    await world.publisher.publish()
    status = api.calls[2][2]["status"]
    assert status["volumesInUse"] == ["driver^a", "driver^b"]
    assert {item["type"]: item["status"] for item in status["conditions"]}["DiskPressure"] == "True"
    world.volumes_in_use = []
    await world.publisher.publish()
    assert api.calls[3][2]["status"]["volumesInUse"] is None


async def test_only_changes_and_due_reports_are_sent() -> None:
    """First report at once; then silence until something changes or the report is due, with the spread after a change."""
    node = Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1"))
    api = Api(node)
    world = World(api)
    store = Store()
    api.answers += [store.apply] * 3
    await world.publisher.publish()
    assert api.verbs == ["get", "patch"]
    assert api.calls[1][1] == "status"
    assert api.calls[1][2]["metadata"] == {"labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}}
    for world.seconds in (10.0, 299.0):
        await world.publisher.publish()
        world.listed = store.node
    assert api.verbs == ["get", "patch"]
    world.seconds = 300.0
    await world.publisher.publish()
    assert sorted(api.calls[2][2]["status"]) == ["$setElementOrder/conditions", "conditions"]
    world.listed = store.node
    world.seconds = 310.0
    world.runtime = RuntimeState(errors=(), version="runc://1")
    await world.publisher.publish()
    assert sorted(api.calls[3][2]["status"]) == ["$setElementOrder/conditions", "conditions", "nodeInfo"]
    assert world.events.said == [
        ("Normal", "NodeNotReady", "Node n status is now: NodeNotReady"),
        ("Normal", "NodeReady", "Node n status is now: NodeReady"),
    ]


async def test_a_clock_that_jumps_changes_nothing_of_what_is_sent_when() -> None:
    """Hours back or forth in the time of day: no report more, and none less."""
    store = Store()
    api = Api(Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1")), store.apply, store.apply)
    world = World(api)
    await world.publisher.publish()
    world.listed = store.node
    for world.skew_seconds in (-7200.0, 7200.0, -86400.0):
        world.seconds += 90.0
        await world.publisher.publish()
    assert api.verbs == ["get", "patch"]
    world.seconds = 300.0
    await world.publisher.publish()
    assert api.verbs == ["get", "patch", "patch"]


async def test_an_api_that_was_set_back_is_told_again() -> None:
    """A backup's Node has a lower version than the answer to the last patch: after a moment it is taken for the truth."""
    store = Store()
    old = Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1"))
    api = Api(old, store.apply, store.apply)
    world = World(api)
    await world.publisher.publish()
    world.listed = old
    await world.publisher.publish()
    assert api.verbs == ["get", "patch"]
    world.seconds = 11.0
    await world.publisher.publish()
    assert api.verbs == ["get", "patch", "patch"]
    assert sorted(api.calls[2][2]["status"]) == sorted(api.calls[1][2]["status"])


@pytest.mark.parametrize("registers", [True, False])
async def test_a_node_that_was_deleted_is_made_again(registers: bool) -> None:
    """When the informer does not show it any more, and the API has none; where the agent may not make it, it waits."""
    store, gone = Store(), errors.NotFound(404, "NotFound", "x")
    world = World(Api(Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1")), store.apply, gone, gone))
    world.runtime = RuntimeState(errors=())
    await world.publisher.publish()
    world.seconds = 11.0
    made = asyncio.Event()

    async def register() -> None:
        made.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(world.publisher.run(register if registers else None))
    for _ in range(100):
        await asyncio.sleep(0)
        world.state.notify()
        if len(world.api.calls) == 4:
            break
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert made.is_set() == registers
    assert world.api.verbs == ["get", "patch", "get"] + ([] if registers else ["get"])


async def test_retries_start_from_the_truth() -> None:
    """After a failed patch from the informer's copy the Node is read again; the fifth failure is raised."""
    node = Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1"))
    conflict = errors.Conflict(409, "Conflict", "x")
    api = Api(conflict, node, conflict, node, conflict, node, conflict, AWAY)
    world = World(api)
    world.listed = node
    with pytest.raises(Unavailable):
        await world.publisher.publish()
    assert api.verbs == ["patch", "get", "patch", "get", "patch", "get", "patch", "get"]


async def test_reboot_and_cordon_are_events() -> None:
    """Another boot id than the Node shows is Rebooted, once; cordoning is seen on the Node."""
    info = NodeSystemInfo(
        architecture="",
        bootID="boot-1",
        containerRuntimeVersion="",
        kernelVersion="",
        kubeProxyVersion="",
        kubeletVersion="",
        machineID="",
        operatingSystem="",
        osImage="",
        systemUUID="",
    )
    node = Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1"), status=NodeStatus(nodeInfo=info))
    api = Api()
    world = World(api)
    world.listed = node
    api.answers += [Store(node.status).apply, Store(node.status).apply]
    await world.publisher.publish()
    world.listed = msgspec.structs.replace(node, spec=NodeSpec(unschedulable=True))
    world.listed.metadata = ObjectMeta(name="n", uid="u", resourceVersion="9")
    await world.publisher.publish()
    assert world.events.said == [
        ("Normal", "NodeNotReady", "Node n status is now: NodeNotReady"),
        ("Warning", "Rebooted", "Node n has been rebooted, boot id: boot-2"),
        ("Normal", "NodeNotReady", "Node n status is now: NodeNotReady"),
        ("Normal", "NodeNotSchedulable", "Node n status is now: NodeNotSchedulable"),
    ]


async def test_a_change_is_published_at_once() -> None:
    """A change of the node's state wakes the loop; a failing API does not end it."""
    node = Node(metadata=ObjectMeta(name="n", uid="u", resourceVersion="1"))
    arrived = asyncio.Event()

    def note(body: Any) -> Node:
        arrived.set()
        return node

    failed = asyncio.Event()

    def fail(_: Any) -> Node:
        failed.set()
        raise AWAY

    api = Api(*[AWAY] * 4, fail)
    world = World(api)
    world.publisher._update_seconds = 3600.0
    world.seconds = 500.0
    task = asyncio.create_task(world.publisher.run())
    await failed.wait()
    world.listed = node
    api.answers += [note]
    world.state.notify()
    await arrived.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


NODE = Node(metadata=ObjectMeta(name="n", uid="u"))


def renewer(api: Api, naps: Naps, node: Node | None = NODE) -> LeaseRenewer:
    return LeaseRenewer(api, "n", lambda: node, now=lambda: NOW, sleep=naps, chance=lambda: 0.5)


async def run(renewer: LeaseRenewer) -> None:
    with pytest.raises(asyncio.CancelledError):
        await renewer.run()


async def test_a_lease_is_created_with_its_owner_and_renewed() -> None:
    """404 creates it, owned by the Node; then it is replaced every quarter of its duration, with jitter."""
    api, naps = Api(errors.NotFound(404, "", "x"), same, same, same), Naps(3)
    await run(renewer(api, naps))
    assert api.verbs == ["get", "create", "replace", "replace"]
    assert msgspec.json.decode(msgspec.json.encode(api.calls[1][1])) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "n",
            "namespace": "kube-node-lease",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
        },
        "spec": {"holderIdentity": "n", "leaseDurationSeconds": 40, "renewTime": "2026-01-01T12:00:00.000500Z"},
    }
    assert naps.seconds == [10.2, 10.2, 10.2]


async def test_an_existing_lease_is_adopted_at_once() -> None:
    """A lease that is there is renewed in the first round, and gets the owner it lacks."""
    api, naps = Api(Lease(metadata=ObjectMeta(name="n", resourceVersion="7")), same), Naps(1)
    await run(renewer(api, naps))
    lease = api.calls[1][1]
    assert (lease.metadata.resourceVersion, lease.metadata.ownerReferences[0].uid) == ("7", "u")


async def test_a_lease_outlives_its_node() -> None:
    """Of a Node that was made again it is not collected: it gets the new owner."""
    known = OwnerReference(apiVersion="v1", kind="Node", name="n", uid="of the Node before")
    api, naps = Api(Lease(metadata=ObjectMeta(name="n", ownerReferences=[known])), same), Naps(1)
    await run(renewer(api, naps))
    assert [owner.uid for owner in api.calls[1][1].metadata.ownerReferences] == ["u"]


async def test_creation_waits_for_the_node() -> None:
    """Without the Node there is no owner, and no lease."""
    api, naps = Api(*[errors.NotFound(404, "", "x")] * 3), Naps(3)
    await run(renewer(api, naps, node=None))
    assert api.verbs == ["get", "get", "get"]
    assert naps.seconds == [0.2, 0.4, 0.8]


async def test_failed_renewals() -> None:
    """A conflict reads again; outages are tried five times; then the lease is ensured again in the next period."""
    lease = Lease(metadata=ObjectMeta(name="n"))
    conflict = errors.Conflict(409, "Conflict", "x")
    api, naps = Api(lease, conflict, lease, *[AWAY] * 4, lease, same), Naps(2)
    await run(renewer(api, naps))
    assert api.verbs == ["get", "replace", "get"] + ["replace"] * 4 + ["get", "replace"]


async def test_an_outage_from_the_start() -> None:
    """The ensure path backs off from 200 ms to 7 s."""
    api, naps = Api(*[AWAY] * 8), Naps(8)
    await run(renewer(api, naps))
    assert naps.seconds == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 7.0, 7.0]
