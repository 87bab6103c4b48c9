"""The registry of sandboxes and containers: found by pod, by id, and gone when forgotten."""

from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.oci.config import Paths
from runtimes.oci.entities import Container, Sandbox, SandboxRegistry
from runtimes.oci.lifecycle import ContainerState
from runtimes.oci.records import ContainerRecord, SandboxRecord, raw


def sandbox(registry: SandboxRegistry, name: str, uid: str, *, labels: bool = True) -> Sandbox:
    metadata = cri.PodSandboxMetadata(name=name, namespace="n", uid=uid)
    config = cri.PodSandboxConfig(metadata=metadata, labels={LABEL_POD_UID: uid} if labels else {})
    record = SandboxRecord(id=f"id-{name}", handler="runc", boot_id="b", created_at_ns=1, config=raw(config))
    made = Sandbox.new(record, config, Paths(Path("/nowhere"), Path("/nowhere")))
    registry.add_sandbox(made)
    return made


def container(registry: SandboxRegistry, owner: Sandbox, container_id: str, uid: str) -> Container:
    config = cri.ContainerConfig(metadata=cri.ContainerMetadata(name=container_id), labels={LABEL_POD_UID: uid})
    record = ContainerRecord(
        id=container_id,
        sandbox_id=owner.id,
        boot_id="b",
        created_at_ns=1,
        config=raw(config),
        image_id="i",
        image_ref="i",
        cgroup="/c",
        state=ContainerState.RUNNING,
    )
    made = Container(record=record, config=config, resources=cri.LinuxContainerResources())
    registry.add_container(owner, made)
    return made


async def test_a_pods_own_are_found_by_its_label() -> None:
    """A selector with the pod's UID gets that pod's candidates, any other one all; what is forgotten is in no index."""
    registry = SandboxRegistry()
    one, two, bare = sandbox(registry, "a", "1"), sandbox(registry, "b", "2"), sandbox(registry, "c", "3", labels=False)
    first, foreign = container(registry, one, "k1", "1"), container(registry, one, "k2", "2")
    assert list(registry.candidates({LABEL_POD_UID: "1"})) == [one]
    assert list(registry.candidates({LABEL_POD_UID: "3"})) == []
    assert list(registry.candidates({"app": "x"})) == [one, two, bare]
    assert list(registry.listed_containers({LABEL_POD_UID: "1"})) == [first]
    assert list(registry.listed_containers({LABEL_POD_UID: "2"})) == [foreign]
    assert list(registry.listed_containers()) == [first, foreign]
    registry.forget_container(first)
    registry.forget_sandbox(one)
    registry.forget_sandbox(one)
    assert list(registry.candidates({LABEL_POD_UID: "1"})) == []
    assert list(registry.listed_containers({LABEL_POD_UID: "1"})) == []
    assert list(registry.candidates({})) == [two, bare]


async def test_two_sandboxes_cannot_be_the_same() -> None:
    """Namespace, name, UID and attempt are one sandbox's; they are free again when it is gone."""
    registry = SandboxRegistry()
    first = sandbox(registry, "a", "1")
    with pytest.raises(errors.AlreadyExists, match="n/a/1/0 exists already as id-a"):
        sandbox(registry, "a", "1")
    registry.forget_sandbox(first)
    sandbox(registry, "a", "1")
