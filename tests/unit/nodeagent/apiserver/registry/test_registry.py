"""The registry of kinds."""

from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource


def resource(registry: Registry, name: str) -> Resource:
    found = registry.by_id(name)
    assert found is not None
    return found


def test_names_are_unique(registry: Registry) -> None:
    """No two kinds share a path, an id or a short name inside their group."""
    assert len({r.id for r in RESOURCES}) == len(RESOURCES)
    names = [(r.group, name) for r in RESOURCES for name in r.short_names]
    assert len(set(names)) == len(names)


def test_index_of_a_pod(registry: Registry) -> None:
    """What selectors need is read from the object once."""
    pod = {
        "metadata": {
            "name": "p",
            "namespace": "d",
            "uid": "u",
            "labels": {"a": "b"},
            "ownerReferences": [{"uid": "o"}],
        },
        "spec": {"nodeName": "n", "hostNetwork": True},
        "status": {"phase": "Running", "podIPs": [{"ip": "1"}, {"ip": "2"}]},
    }
    index = resource(registry, "pods").index(pod)
    assert (index.labels, index.uid, index.owners) == ({"a": "b"}, "u", ("o",))
    assert index.fields == {
        "metadata.name": "p",
        "metadata.namespace": "d",
        "spec.nodeName": "n",
        "spec.restartPolicy": "",
        "spec.schedulerName": "",
        "spec.serviceAccountName": "",
        "spec.hostNetwork": "true",
        "status.phase": "Running",
        "status.podIP": "",
        "status.podIPs": "1,2",
        "status.nominatedNodeName": "",
    }
