"""What a claim leads to, and every way in which it leads nowhere (docs/facts/storage.md 1.3)."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim, Volume

from nodeagent.api import errors
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.claims import ClaimResolver, supplemental_groups
from nodeagent.volumes.contract import VolumeError, VolumeSource

DATA = {"name": "data", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}}
SCRATCH = {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
NOT_BOUND_YET = "indicating it is not yet bound to the claim"


@dataclass
class Api:
    """One claim and one volume. `asked`: what was read, in order."""

    claim: dict[str, Any] = field(
        default_factory=lambda: {
            "metadata": {"name": "c", "namespace": "ns", "uid": "claim-1"},
            "spec": {"volumeName": "pv-1"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }
    )
    bound: dict[str, Any] = field(
        default_factory=lambda: {
            "metadata": {"name": "pv-1"},
            "spec": {"capacity": {"storage": "1Gi"}, "claimRef": {"namespace": "ns", "name": "c", "uid": "claim-1"}},
        }
    )
    missing: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def get(self, kind: type[Any], name: str, namespace: str | None = None) -> Any:
        self.asked.append((name, namespace))
        given, plural = (
            (self.claim, "persistentvolumeclaims")
            if kind is PersistentVolumeClaim
            else (self.bound, "persistentvolumes")
        )
        if plural == self.missing:
            raise errors.not_found(plural, name)
        return msgspec.convert(given, kind)


def pod_with(pod_of: Any, volume: dict[str, Any], *, devices: bool = False) -> AgentPod:
    use: dict[str, Any] = {"volumeDevices": [{"name": "data", "devicePath": "/dev/x"}]}
    if not devices:
        use = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    found: AgentPod = pod_of({"containers": [{"name": "a", **use}], "volumes": [volume]})
    return found


async def resolve(api: Api, pod: AgentPod) -> VolumeSource:
    (volume,) = pod.spec.volumes or ()
    resolver = ClaimResolver(api)
    assert resolver.follows(volume)
    return await resolver.resolve(pod, volume)


def test_other_volumes_are_not_followed() -> None:
    """Their declaration says all."""
    assert not ClaimResolver(Api()).follows(msgspec.convert({"name": "v", "emptyDir": {}}, Volume))


async def test_a_claim_leads_to_the_volume_that_it_is_bound_to(pod_of: Any) -> None:
    """By two reads, by name, at every attempt; readOnly is the pod's word."""
    api, pod = Api(), pod_with(pod_of, DATA)
    source = await resolve(api, pod)
    assert (source.name, source.read_only, source.block, source.expand_to_bytes) == ("pv-1", True, False, None)
    assert source.claim == msgspec.convert(api.claim, PersistentVolumeClaim)
    assert source.persistent_volume == msgspec.convert(api.bound, PersistentVolume)
    await resolve(api, pod)
    assert api.asked == [("c", "ns"), ("pv-1", None)] * 2


async def test_a_claim_made_for_the_pod(pod_of: Any) -> None:
    """Named after the pod and the volume; only the pod that owns it, and controls it, has it."""
    api, pod = Api(), pod_with(pod_of, SCRATCH)
    refused = "PVC ns/p-data was not created for pod ns/p (pod is not owner)"
    for owners in (
        [],
        [{"kind": "Pod", "name": "p", "uid": "other", "controller": True}],
        [{"kind": "Pod", "name": "p", "uid": "u"}],
    ):
        api.claim["metadata"]["ownerReferences"] = [{"apiVersion": "v1", **owner} for owner in owners]
        with pytest.raises(VolumeError) as caught:
            await resolve(api, pod)
        assert str(caught.value) == refused
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    api.claim["metadata"]["ownerReferences"] = [owner]
    source = await resolve(api, pod)
    assert (source.name, source.read_only) == ("pv-1", False)
    assert api.asked[-2:] == [("p-data", "ns"), ("pv-1", None)]


def _without_phase(api: Api) -> None:
    api.claim["status"]["phase"] = "Pending"


def _without_status(api: Api) -> None:
    del api.claim["status"]


def _without_volume(api: Api) -> None:
    del api.claim["spec"]["volumeName"]


def _deleted(api: Api) -> None:
    api.claim["metadata"]["deletionTimestamp"] = "2026-11-28T10:00:00Z"


def _unclaimed(api: Api) -> None:
    del api.bound["spec"]["claimRef"]


def _of_another(api: Api) -> None:
    api.bound["spec"]["claimRef"]["uid"] = "claim-0"


def _no_claim(api: Api) -> None:
    api.missing = "persistentvolumeclaims"


def _no_volume(api: Api) -> None:
    api.missing = "persistentvolumes"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (_no_claim, 'failed to fetch PVC from API server: persistentvolumeclaims "c" not found'),
        (_deleted, "PVC is being deleted"),
        (_without_phase, "PVC is not bound"),
        (_without_status, "PVC is not bound"),
        (_without_volume, "PVC has empty pvc.Spec.VolumeName"),
        (_no_volume, 'failed to fetch PV pv-1 from API server: persistentvolumes "pv-1" not found'),
        (_unclaimed, f"found PV object pv-1 but it has a nil pv.Spec.ClaimRef {NOT_BOUND_YET}"),
        (
            _of_another,
            "found PV object pv-1 but its pv.Spec.ClaimRef.UID claim-0 does not point to claim.UID claim-1",
        ),
    ],
)
async def test_claims_that_lead_nowhere(pod_of: Any, change: Any, cause: str) -> None:
    """The claim is named, and what is wrong, in a kubelet's words."""
    api = Api()
    change(api)
    with pytest.raises(VolumeError) as caught:
        await resolve(api, pod_with(pod_of, DATA))
    assert str(caught.value) == f"error processing PVC ns/c: {cause}"


async def test_a_claim_that_goes_when_its_pods_have_gone_is_still_theirs(pod_of: Any) -> None:
    """Deleted, and kept by its protection: a pod that has it may start again."""
    api = Api()
    _deleted(api)
    api.claim["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
    assert (await resolve(api, pod_with(pod_of, DATA))).name == "pv-1"


@pytest.mark.parametrize(
    ("mode", "devices", "refusal"),
    [
        ("Block", False, "volume data has volumeMode Block, but is specified in volumeMounts"),
        ("Filesystem", True, "volume data has volumeMode Filesystem, but is specified in volumeDevices"),
        (None, True, "volume data has volumeMode Filesystem, but is specified in volumeDevices"),
        ("Block", True, ""),
        (None, False, ""),
    ],
)
async def test_devices_are_no_file_systems(pod_of: Any, mode: str | None, devices: bool, refusal: str) -> None:
    """A container has to want of the volume what it is."""
    api = Api()
    if mode is not None:
        api.bound["spec"]["volumeMode"] = mode
    pod = pod_with(pod_of, DATA, devices=devices)
    if not refusal:
        assert (await resolve(api, pod)).block == devices
        return
    with pytest.raises(VolumeError) as caught:
        await resolve(api, pod)
    assert str(caught.value) == refusal


@pytest.mark.parametrize(
    ("text", "groups"), [("1234", (1234,)), ("", ()), ("-1", ()), ("wheel", ()), ("4294967296", ())]
)
async def test_the_group_of_a_volumes_files(pod_of: Any, text: str, groups: tuple[int, ...]) -> None:
    """An annotation of the volume; one that is no group is none."""
    api = Api()
    api.bound["metadata"]["annotations"] = {"pv.beta.kubernetes.io/gid": text}
    assert supplemental_groups(await resolve(api, pod_with(pod_of, DATA))) == groups
