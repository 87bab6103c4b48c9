"""What a driver is told of a volume, by what the cluster and the driver say of themselves."""

from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import PersistentVolume, Volume
from lightkube.models.storage_v1 import CSIDriver

from csi.values import AccessMode, NodeCapability
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeError, VolumeSource
from nodeagent.volumes.csi import selinux
from nodeagent.volumes.csi.driver_specs import DriverSpec
from nodeagent.volumes.csi.preparation import Prepared, check_mode
from nodeagent.volumes.csi.volume import CSIVolume, SecretName, inline_handle, parted, volume_of

MULTI = frozenset({NodeCapability.SINGLE_NODE_MULTI_WRITER})
GROUPS = frozenset({NodeCapability.VOLUME_MOUNT_GROUP})
NOBODY = frozenset[NodeCapability]()


def source(read_only: bool = False, **spec: Any) -> VolumeSource:
    csi = {"driver": "d", "volumeHandle": "h", **spec.pop("csi", {})}
    claim = {"claimName": "c", "readOnly": read_only}
    return VolumeSource(
        volume=msgspec.convert({"name": "v", "persistentVolumeClaim": claim}, Volume),
        persistent_volume=msgspec.convert({"metadata": {"name": "pv"}, "spec": {"csi": csi, **spec}}, PersistentVolume),
    )


def inline(**csi: Any) -> VolumeSource:
    return VolumeSource(volume=msgspec.convert({"name": "v", "csi": {"driver": "d", **csi}}, Volume))


def pod(**spec: Any) -> AgentPod:
    container = {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    return agent_pod(
        {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": [container], **spec}}
    )


def prepared(
    volume: CSIVolume, *, can: frozenset[NodeCapability] = NOBODY, group: int | None = 7, **spec: Any
) -> Prepared:
    # the driver itself is not asked for anything here
    made: Any = {"driver": None, "pod": pod(), "volume": volume, "can": can, "fs_group": group}
    return Prepared(spec=DriverSpec(**spec), **made)


def test_a_volume_of_a_persistent_volume() -> None:
    """Handle, options and secrets are the PersistentVolume's; whether it is read only, the pod's."""
    found = volume_of(
        source(
            read_only=True,
            csi={
                "fsType": "xfs",
                "volumeAttributes": {"a": "b"},
                "nodeStageSecretRef": {"name": "s", "namespace": "n"},
            },
            accessModes=["ReadWriteOncePod"],
            mountOptions=["noatime"],
        ),
        "u",
        "ns",
    )
    assert found == CSIVolume(
        driver="d",
        handle="h",
        spec_name="pv",
        read_only=True,
        fs_type="xfs",
        mount_flags=("noatime",),
        access_modes=("ReadWriteOncePod",),
        attributes={"a": "b"},
        stage_secret=SecretName(namespace="n", name="s"),
    )
    assert (found.id, parted(found.id)) == ("kubernetes.io/csi/d^h", ("d", "h"))


def test_a_volume_in_a_pods_spec() -> None:
    """Its handle is the pod's and the volume's alone; its secret is of the pod's namespace."""
    found = volume_of(inline(readOnly=True, nodePublishSecretRef={"name": "s"}), "u", "ns")
    assert found.handle == inline_handle("u", "v") == volume_of(inline(), "u", "other").handle
    assert found.handle != inline_handle("u", "w")
    assert (found.spec_name, found.ephemeral, found.read_only) == ("v", True, True)
    assert found.publish_secret == SecretName(namespace="ns", name="s")
    assert len(found.handle) == len("csi-") + 64


def test_ids_of_other_types() -> None:
    """A handle may have any character; what is no CSI volume is said to be none."""
    assert parted("kubernetes.io/csi/d^a^b/c") == ("d", "a^b/c")
    for wrong in ("kubernetes.io/csi/d", "other/d^h", ""):
        with pytest.raises(ValueError, match="is not the id of a CSI volume"):
            parted(wrong)


@pytest.mark.parametrize(
    ("modes", "plain", "several"),
    [
        (["ReadWriteOnce"], AccessMode.SINGLE_NODE_WRITER, AccessMode.SINGLE_NODE_MULTI_WRITER),
        (["ReadWriteOncePod"], AccessMode.SINGLE_NODE_WRITER, AccessMode.SINGLE_NODE_SINGLE_WRITER),
        (["ReadOnlyMany"], AccessMode.MULTI_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY),
        (["ReadWriteMany", "ReadWriteOnce"], AccessMode.MULTI_NODE_MULTI_WRITER, AccessMode.MULTI_NODE_MULTI_WRITER),
        ([], AccessMode.SINGLE_NODE_WRITER, AccessMode.SINGLE_NODE_MULTI_WRITER),
    ],
)
def test_access_modes(modes: list[str], plain: AccessMode, several: AccessMode) -> None:
    """The first counts, in words that the driver knows (docs/facts/storage.md 10.3)."""
    volume = volume_of(source(accessModes=modes), "u", "ns")
    assert volume.capability(NOBODY).access_mode.mode == plain
    assert volume.capability(MULTI).access_mode.mode == several


def test_a_block_device() -> None:
    """No file system, no options, no group."""
    volume = volume_of(source(volumeMode="Block", mountOptions=["noatime"]), "u", "ns")
    found = prepared(volume, can=GROUPS).capability
    assert found.HasField("block")
    assert not found.HasField("mount")


def test_the_pods_group() -> None:
    """Who sees to it: the driver that says it can, else the agent, as the driver's object says."""
    once = volume_of(source(accessModes=["ReadWriteOnce"], csi={"fsType": "ext4"}), "u", "ns")
    many = volume_of(source(accessModes=["ReadWriteMany"], csi={"fsType": "ext4"}), "u", "ns")
    untyped = volume_of(source(accessModes=["ReadWriteOnce"]), "u", "ns")
    reading = volume_of(source(read_only=True, csi={"fsType": "ext4"}, accessModes=["ReadWriteOnce"]), "u", "ns")
    own = volume_of(inline(fsType="ext4"), "u", "ns")
    by_default = [prepared(volume).sets_group for volume in (once, many, untyped, reading, own)]
    assert by_default == [True, False, False, False, True]
    by_file = [prepared(volume, group_policy="File").sets_group for volume in (once, many, untyped, reading, own)]
    assert by_file == [True, True, True, False, True]
    assert not prepared(once, group_policy="None").sets_group
    assert not prepared(once, group=None).sets_group
    mounted = prepared(once, can=GROUPS, group_policy="File")
    assert (mounted.sets_group, mounted.capability.mount.volume_mount_group) == (False, "7")


def test_inline_volumes_need_the_drivers_word() -> None:
    """In a kubelet's words, which tell an object that is missing from one that says no."""
    volume = volume_of(inline(), "u", "ns")
    check_mode(volume, DriverSpec(declared=True, ephemeral=True))
    for spec, why in (
        (DriverSpec(), "no CSIDriver object"),
        (DriverSpec(declared=True), 'only supports ["Persistent"]'),
    ):
        with pytest.raises(VolumeError) as caught:
            check_mode(volume, spec)
        assert str(caught.value) == f'volume mode "Ephemeral" not supported by driver d ({why})'


def test_what_an_object_says_of_a_driver() -> None:
    """Its defaults are not those of a driver without one only in that it is declared."""
    assert DriverSpec.of(None) == DriverSpec()
    assert DriverSpec.of(msgspec.convert({"spec": {}}, CSIDriver)) == DriverSpec(declared=True)
    spec = {"attachRequired": False, "tokenRequests": [{"audience": ""}, {"audience": "a", "expirationSeconds": 600}]}
    found = DriverSpec.of(msgspec.convert({"spec": spec}, CSIDriver))
    assert (found.attach, found.tokens) == (False, (("", None), ("a", 600)))


HOST = selinux.Host(label="system_u:object_r:container_file_t:s0")
ONE_POD = volume_of(source(accessModes=["ReadWriteOncePod"]), "u", "ns")
LEVEL = {"seLinuxOptions": {"level": "s0:c1,c2"}}


def test_selinux_labels() -> None:
    """A volume of one pod alone is mounted with the pod's label, completed from the policy's, where host and driver have it."""
    spec = DriverSpec(selinux=True)
    label = selinux.context(HOST, pod(securityContext=LEVEL), "v", ONE_POD, spec)
    assert label == "system_u:object_r:container_file_t:s0:c1,c2"
    assert selinux.flag(label) == (f'context="{label}"',)
    many = volume_of(source(accessModes=["ReadWriteOnce"]), "u", "ns")
    recursive = pod(securityContext={**LEVEL, "seLinuxChangePolicy": "Recursive"})
    for host, user, volume, said in (
        (selinux.Host(), pod(securityContext=LEVEL), ONE_POD, spec),
        (HOST, pod(), ONE_POD, spec),
        (HOST, recursive, ONE_POD, spec),
        (HOST, pod(securityContext=LEVEL), many, spec),
        (HOST, pod(securityContext=LEVEL), ONE_POD, DriverSpec()),
    ):
        assert selinux.context(host, user, "v", volume, said) == ""
    assert selinux.flag("") == ()


def test_selinux_labels_that_differ() -> None:
    """Two containers that want different ones cannot have the volume."""
    containers = [
        {"name": name, "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}], "securityContext": context}
        for name, context in (("a", LEVEL), ("b", {"seLinuxOptions": {"level": "s0:c3"}}))
    ]
    with pytest.raises(VolumeError, match="conflicting SELinux labels of volume v"):
        selinux.context(HOST, pod(containers=containers), "v", ONE_POD, DriverSpec(selinux=True))
