"""Container mounts as CRI messages."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.volumes.container_mounts import MountInputs, container_devices, container_mounts
from nodeagent.volumes.contract import MountedVolume, VolumeError
from nodeagent.volumes.layout import Layout
from proto import cri_pb2 as cri

DATA = MountedVolume(host_path=Path("/v/data"), directory_name="data", relabel=True)
CONFIG = MountedVolume(host_path=Path("/v/config"), directory_name="config", read_only_forced=True)
DISK = MountedVolume(host_path=Path("/dev/disk"), directory_name="disk", block=True)
MOUNTED = {"data": DATA, "config": CONFIG, "disk": DISK}


def mounts_of(pod_of: Any, *declared: dict[str, Any], **inputs: Any) -> list[cri.Mount]:
    pod = pod_of(
        {
            "containers": [{"name": "c", "volumeMounts": list(declared), **inputs.pop("container", {})}],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "img", "image": {"reference": "x"}}],
        }
    )
    return container_mounts(
        pod, pod.spec.containers[0], MountInputs(layout=Layout(Path("/r")), mounted=MOUNTED, **inputs)
    )


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, cri.Mount(host_path="/v/data", selinux_relabel=True)),
        ({"readOnly": True}, cri.Mount(host_path="/v/data", selinux_relabel=True, readonly=True)),
        ({"name": "config"}, cri.Mount(host_path="/v/config", readonly=True)),
        (
            {"mountPropagation": "HostToContainer"},
            cri.Mount(host_path="/v/data", selinux_relabel=True, propagation=cri.PROPAGATION_HOST_TO_CONTAINER),
        ),
        (
            {"mountPropagation": "Bidirectional"},
            cri.Mount(host_path="/v/data", selinux_relabel=True, propagation=cri.PROPAGATION_BIDIRECTIONAL),
        ),
        (
            {"readOnly": True, "recursiveReadOnly": "IfPossible"},
            cri.Mount(host_path="/v/data", selinux_relabel=True, readonly=True),
        ),
    ],
)
def test_volume_mounts(pod_of: Any, declared: dict[str, Any], expected: cri.Mount) -> None:
    """readOnly is the container's or the volume's; propagation is private unless asked for."""
    expected.container_path = "/x"
    assert mounts_of(pod_of, {"name": "data", "mountPath": "/x", **declared}) == [expected]


def test_recursive_read_only(pod_of: Any) -> None:
    """With a runtime that can, it is passed on; Enabled with one that cannot is an error."""
    declared = {"name": "data", "mountPath": "/x", "readOnly": True, "recursiveReadOnly": "Enabled"}
    (mount,) = mounts_of(pod_of, declared, recursive_read_only=True)
    assert mount.recursive_read_only
    with pytest.raises(VolumeError) as caught:
        mounts_of(pod_of, declared)
    assert str(caught.value) == (
        'volume "data" requested recursive read-only mode, but it is not supported by the runtime'
    )


def test_managed_files_come_last(pod_of: Any) -> None:
    """The hosts file and the termination message file, writable, at their paths."""
    found = mounts_of(
        pod_of,
        {"name": "data", "mountPath": "x"},
        hosts_file=Path("/r/etc-hosts"),
        termination_log=Path("/r/1234"),
        container={"terminationMessagePath": "/tmp/last"},
    )
    assert [(mount.container_path, mount.host_path, mount.readonly) for mount in found] == [
        ("/x", "/v/data", False),
        ("/etc/hosts", "/r/etc-hosts", False),
        ("/tmp/last", "/r/1234", False),
    ]


def test_a_container_may_bring_its_own_hosts_file(pod_of: Any) -> None:
    """A volume mounted exactly at /etc/hosts takes the place of the agent's file; the default message path is used."""
    found = mounts_of(
        pod_of,
        {"name": "data", "mountPath": "/etc/hosts"},
        hosts_file=Path("/r/etc-hosts"),
        termination_log=Path("/r/1234"),
    )
    assert [(mount.container_path, mount.host_path) for mount in found] == [
        ("/etc/hosts", "/v/data"),
        ("/dev/termination-log", "/r/1234"),
    ]


def test_image_volumes_are_the_runtimes(pod_of: Any) -> None:
    """The image and its sub path are handed over, read-only; without the image the volume cannot be found."""
    declared = {"name": "img", "mountPath": "/x", "subPath": "a/b"}
    image = cri.ImageSpec(image="sha256:1")
    assert mounts_of(pod_of, declared, images={"img": image}) == [
        cri.Mount(container_path="/x", image=image, image_sub_path="a/b", readonly=True, selinux_relabel=True)
    ]
    with pytest.raises(VolumeError, match='cannot find volume "img" to mount into container "c"'):
        mounts_of(pod_of, declared)


def test_a_subpath_is_mounted_from_where_it_was_prepared(pod_of: Any) -> None:
    """A place of its own below the pod's directory; what the path may be is looked at once more."""
    declared = {"name": "data", "mountPath": "/x", "subPathExpr": "$(POD)/a"}
    (mount,) = mounts_of(pod_of, {"name": "config", "mountPath": "/y"}, declared, environment={"POD": "p-0"})[1:]
    assert mount == cri.Mount(container_path="/x", host_path="/r/pods/u/volume-subpaths/data/c/1", selinux_relabel=True)
    with pytest.raises(VolumeError, match="must not contain"):
        mounts_of(pod_of, declared, environment={"POD": ".."})


@pytest.mark.parametrize("name", ["none", "disk"])
def test_missing_volumes(pod_of: Any, name: str) -> None:
    """A volume that is not mounted, or is a device, cannot be mounted into a container."""
    with pytest.raises(VolumeError, match=f'cannot find volume "{name}" to mount into container "c"'):
        mounts_of(pod_of, {"name": name, "mountPath": "/x"})


def test_mounts_of_a_pod_in_a_user_namespace_carry_its_mappings(pod_of: Any) -> None:
    """Uid and gid mappings are those of the pod."""
    mapping = cri.IDMapping(host_id=65536, container_id=0, length=65536)
    namespace = cri.UserNamespace(mode=cri.POD, uids=[mapping], gids=[mapping])
    (mount,) = mounts_of(pod_of, {"name": "data", "mountPath": "/x"}, user_namespace=namespace)
    assert (list(mount.uidMappings), list(mount.gidMappings)) == ([mapping], [mapping])


def test_devices(pod_of: Any) -> None:
    """A block volume is a device, read-only where its claim is; a file system cannot be one."""
    pod = pod_of({"containers": [{"name": "c", "volumeDevices": [{"name": "disk", "devicePath": "/dev/x"}]}]})
    container = pod.spec.containers[0]
    expected = cri.Device(container_path="/dev/x", host_path="/dev/disk", permissions="mrw")
    assert container_devices(container, MOUNTED) == [expected]
    assert container_devices(container, {"disk": replace(MOUNTED["disk"], read_only_forced=True)})[0].permissions == "r"
    with pytest.raises(VolumeError, match='cannot find volume "disk" to pass into container "c"'):
        container_devices(container, {"disk": DATA})
