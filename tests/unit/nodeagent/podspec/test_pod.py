"""The agent's pod: what it takes over from an API object, and what it says of itself."""

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import ObjectReference, Pod, PodSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.podspec.pod import API, FILE, HTTP, AgentPod

WHOLE = msgspec.convert(
    {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "4", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    },
    Pod,
)


def test_a_pod_there_and_back() -> None:
    """Who it is stands in fields, its metadata, spec and status are those of the API object, which it becomes again."""
    pod = AgentPod.of(WHOLE, HTTP)
    assert (pod.uid, pod.namespace, pod.name, pod.source, pod.key) == ("u", "ns", "p", "http", ("ns", "p"))
    assert (pod.metadata, pod.spec, pod.status) == (WHOLE.metadata, WHOLE.spec, WHOLE.status)
    assert (pod.labels, pod.annotations, pod.describe()) == ({"a": "b"}, {}, "p_ns(u)")
    assert pod.reference == ObjectReference(
        apiVersion="v1", kind="Pod", name="p", namespace="ns", uid="u", resourceVersion="4"
    )
    assert pod.to_api() == WHOLE


def test_what_an_api_object_may_lack() -> None:
    """Without a namespace it is in the default one; without metadata and spec it has empty ones, and no status."""
    assert AgentPod.of(Pod(), API) == AgentPod(
        uid="", namespace="default", name="", source="api", metadata=ObjectMeta(), spec=PodSpec(containers=[])
    )


@pytest.mark.parametrize(("source", "static"), [(API, False), (FILE, True), (HTTP, True)])
def test_a_static_pod_is_one_that_does_not_come_from_the_api(source: str, static: bool) -> None:
    """Whatever its annotations say: those of an API object are its owner's."""
    metadata = ObjectMeta(annotations={"kubernetes.io/config.source": "file"})
    assert AgentPod.of(Pod(metadata=metadata), source).is_static is static


def test_mirrors_and_deleted_pods() -> None:
    """The mirror annotation and the deletionTimestamp tell them."""
    mirror = agent_pod({"metadata": {"annotations": {"kubernetes.io/config.mirror": ""}}})
    deleted = agent_pod({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert [(pod.is_mirror, pod.is_deleted) for pod in (mirror, deleted)] == [(True, False), (False, True)]
