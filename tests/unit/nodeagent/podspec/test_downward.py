"""Fields of pods and resources of containers as text."""

import pytest
from lightkube.models.core_v1 import ResourceFieldSelector, ResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.podspec import downward


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u"),
        ("metadata.labels", 'a="1"\nb="x\\ty"'),
        ("metadata.labels['a']", "1"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['example.com/it.em']", "é"),
        ("metadata.annotations", 'example.com/it.em="é"'),
        ("spec.nodeName", None),
    ],
)
def test_metadata_fields(path: str, expected: str | None) -> None:
    """Whole maps are sorted lines with values quoted as Go does; what is no metadata is None."""
    labels, annotations = {"b": "x\ty", "a": "1"}, {"example.com/it.em": "é"}
    metadata = ObjectMeta(name="p", namespace="ns", uid="u", labels=labels, annotations=annotations)
    assert downward.metadata_field(metadata, path) == expected


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", None, "1"),
        ("limits.cpu", "1m", "250"),
        ("requests.cpu", "1m", "0"),
        ("limits.memory", None, "1048577"),
        ("limits.memory", "1Mi", "2"),
        ("limits.ephemeral-storage", None, "7"),
        ("requests.memory", "0", "0"),
        ("limits.hugepages-2Mi", "1Mi", "4"),
        ("limits.hugepages-1Gi", None, "0"),
    ],
)
def test_resource_fields(resource: str, divisor: str | None, expected: str) -> None:
    """Quantity by divisor, rounded up; a missing limit of the node's resources is the node's, a missing request 0."""
    resources = ResourceRequirements(limits={"cpu": "250m", "memory": "1048577", "hugepages-2Mi": "4Mi"})
    selector = ResourceFieldSelector(resource=resource, divisor=divisor)
    found = downward.resource_value(
        resources, selector, pod_limits={}, allocatable={"cpu": "8", "ephemeral-storage": "7"}
    )
    assert found == expected


def test_pod_level_limits_come_before_the_nodes() -> None:
    """A container without a limit has the pod's, where the pod has one."""
    selector = ResourceFieldSelector(resource="limits.cpu")
    found = downward.resource_value(None, selector, pod_limits={"cpu": "3"}, allocatable={"cpu": "8"})
    assert found == "3"


@pytest.mark.parametrize("resource", ["limits.gpu", "cpu", "limits.", "both.cpu"])
def test_unknown_resources_are_refused(resource: str) -> None:
    """The text names what was asked for."""
    with pytest.raises(downward.UnsupportedField, match="unsupported container resource"):
        downward.resource_value(None, ResourceFieldSelector(resource=resource), pod_limits={}, allocatable={})
