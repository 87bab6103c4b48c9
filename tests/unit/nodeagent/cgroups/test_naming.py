"""Names of node, QoS and pod cgroups under both drivers."""

import pytest

from nodeagent.cgroups.naming import (
    CgroupfsNaming,
    Naming,
    SystemdNaming,
    check_component,
    pod_components,
    qos_components,
    uid_of_component,
)

UID = "12345678-aaaa-bbbb-cccc-1234567890ab"
UID_ = UID.replace("-", "_")


@pytest.mark.parametrize(
    ("naming", "root", "qos", "expected"),
    [
        (CgroupfsNaming(), ("kubepods",), "Guaranteed", f"/kubepods/pod{UID}"),
        (CgroupfsNaming(), ("kubepods",), "Burstable", f"/kubepods/burstable/pod{UID}"),
        (CgroupfsNaming(), ("kubepods",), "BestEffort", f"/kubepods/besteffort/pod{UID}"),
        (CgroupfsNaming(), ("natest-1", "kubepods"), "Guaranteed", f"/natest-1/kubepods/pod{UID}"),
        (SystemdNaming(), ("kubepods",), "Guaranteed", f"/kubepods.slice/kubepods-pod{UID_}.slice"),
        (
            SystemdNaming(),
            ("kubepods",),
            "Burstable",
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice",
        ),
        (
            SystemdNaming(),
            ("foo", "kubepods"),
            "BestEffort",
            f"/foo.slice/foo-kubepods.slice/foo-kubepods-besteffort.slice/foo-kubepods-besteffort-pod{UID_}.slice",
        ),
    ],
)
def test_a_pods_cgroup_is_named_after_its_class_and_uid(
    naming: Naming, root: tuple[str, ...], qos: str, expected: str
) -> None:
    """The path is the kubelet's for the driver, and its last part leads back to the UID."""
    path = naming.path(pod_components(root, qos, UID))
    assert path == expected
    assert uid_of_component(naming.last_component(path.rpartition("/")[2])) == UID


def test_classes_are_not_taken_for_pods() -> None:
    """Directories beside the pods' have no UID."""
    for naming in (CgroupfsNaming(), SystemdNaming()):
        name = naming.path(qos_components(("kubepods",), "Burstable")).rpartition("/")[2]
        assert uid_of_component(naming.last_component(name)) is None


@pytest.mark.parametrize("component", ["", ".", "..", "a/b", "a_b"])
def test_separators_are_refused_in_names(component: str) -> None:
    """What would be ambiguous, or lead elsewhere, is no cgroup name."""
    with pytest.raises(ValueError, match="must not contain"):
        check_component(component)
