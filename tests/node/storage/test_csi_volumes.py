"""Volumes of a CSI driver in pods: the real agent and runc, the reference driver, and one in front of it that sees all calls."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from csi_driver import MEBIBYTE
from csi_site import STAYS, Site, claim_pod, inline_pod, serve_inline
from csi_under_test import Fault
from node_under_test import eventually, is_ready
from pods_under_test import container, finished, make_pod

from proto import csi_pb2 as csi
from runtimes.linux import mounts

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("csi-on-the-node")]

VERBS = ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]
SINGLE_NODE_MULTI_WRITER = 7  # ReadWriteOnce, for a driver that knows the difference


def verbs(site: Site) -> list[str]:
    return [method for method, _ in site.front.calls if method in VERBS]


def secret(name: str, **content: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": data}


def test_what_is_written_is_there_for_the_next_pod(site: Site) -> None:
    """Staged, published, unpublished and unstaged in order; the data stays, and nothing else does. The agent is killed while the
    first pod runs: the next one knows what to take down."""
    node = site.node
    site.provision("keeps")
    node.apply(claim_pod("first", "keeps", f"echo hello >/data/file; sync; {STAYS}"))
    node.running("first")
    node.kill()
    node.start()
    eventually(lambda: site.registrar.registered, "the driver is registered again")
    site.delete_pod("first")
    assert site.left() == []
    node.apply(claim_pod("second", "keeps", "cat /data/file"))
    node.pod_when("second", finished)
    assert node.container_log("second", "c") == "hello"
    site.delete_pod("second")
    eventually(lambda: site.left() == [], "nothing is left")
    assert list(dict.fromkeys(verbs(site))) == VERBS
    assert verbs(site)[-4:] == VERBS


def test_what_a_driver_is_asked(site: Site) -> None:
    """Paths, contexts, secrets, capabilities: what drivers rely on, whole requests of them; and the notes on the disk."""
    node, root = site.node, site.node.root_dir
    site.csi_driver(podInfoOnMount=True, tokenRequests=[{"audience": "vault"}])
    node.apply(secret("stage", user="admin"), secret("publish", password="hunter2"))
    handle = site.provision(
        "asked",
        nodeStageSecretRef={"name": "stage", "namespace": "default"},
        nodePublishSecretRef={"name": "publish", "namespace": "default"},
        volumeAttributes={"tier": "gold"},
        mountOptions=["noatime"],
    )
    node.apply(claim_pod("asks", "asked", securityContext={"fsGroup": 4711}))
    pod = node.running("asks")
    uid = pod["metadata"]["uid"]
    (stage,), (publish,) = site.front.named("NodeStageVolume"), site.front.named("NodePublishVolume")
    target = root / f"pods/{uid}/volumes/kubernetes.io~csi/pv-asked"
    (data,) = (root / "plugins/kubernetes.io/csi" / site.name).glob("*/vol_data.json")
    assert json.loads(data.read_text()) == {"driverName": site.name, "volumeHandle": handle}
    assert stage.staging_target_path == str(data.parent / "globalmount")
    assert (dict(stage.secrets), dict(stage.volume_context)) == ({"user": "admin"}, {"tier": "gold"})
    assert stage.volume_capability.access_mode.mode == SINGLE_NODE_MULTI_WRITER
    assert list(stage.volume_capability.mount.mount_flags) == ["noatime"]
    assert stage.volume_capability == publish.volume_capability
    assert (publish.target_path, publish.staging_target_path) == (f"{target}/mount", stage.staging_target_path)
    assert (publish.readonly, dict(publish.secrets)) == (False, {"password": "hunter2"})
    context = dict(publish.volume_context)
    tokens = json.loads(context.pop("csi.storage.k8s.io/serviceAccount.tokens"))
    assert set(tokens) == {"vault"}
    assert set(tokens["vault"]) == {"token", "expirationTimestamp"}
    prefix = "csi.storage.k8s.io"
    assert context == {
        "tier": "gold",
        f"{prefix}/pod.name": "asks",
        f"{prefix}/pod.namespace": "default",
        f"{prefix}/pod.uid": uid,
        f"{prefix}/serviceAccount.name": "default",
        f"{prefix}/ephemeral": "false",
    }
    assert json.loads((target / "vol_data.json").read_text()) == {
        "specVolID": "pv-asked",
        "volumeHandle": handle,
        "driverName": site.name,
        "nodeName": node.name,
        "attachmentID": site.attachment(handle),
        "volumeLifecycleMode": "Persistent",
    }
    assert "hunter2" not in node.log()
    assert tokens["vault"]["token"] not in node.log()
    site.delete_pod("asks")


def test_a_volume_in_the_pods_own_spec(site: Site) -> None:
    """Nothing is attached or staged; the driver makes it for this pod, is told so, and takes it away with the pod. A driver
    that is not made for it is refused."""
    node = site.node
    serve_inline(site.front)
    node.apply(inline_pod("refused"))
    text = node.event_when("refused", "FailedMount")
    why = f'volume mode "Ephemeral" not supported by driver {site.name} (only supports ["Persistent"])'
    assert text == f'MountVolume.SetUp failed for volume "v" : {why}'
    site.csi_driver(volumeLifecycleModes=["Persistent", "Ephemeral"], podInfoOnMount=True)
    pod = node.running("refused")
    site.delete_pod("refused")
    (publish,) = site.front.named("NodePublishVolume")
    assert publish.volume_id.startswith("csi-")
    assert publish.staging_target_path == ""
    assert publish.volume_context["csi.storage.k8s.io/ephemeral"] == "true"
    assert publish.target_path.endswith(f"pods/{pod['metadata']['uid']}/volumes/kubernetes.io~csi/v/mount")
    assert verbs(site) == ["NodePublishVolume", "NodeUnpublishVolume"]
    assert site.left() == []


def test_a_raw_block_device(site: Site) -> None:
    """The container has the device; the pod's link leads to where the driver has made it."""
    node, root = site.node, site.node.root_dir
    handle = site.provision("raw", block=True)
    devices = [{"name": "v", "devicePath": "/dev/volume"}]
    script = "echo raw-bytes | dd of=/dev/volume bs=16 count=1 conv=sync 2>/dev/null; dd if=/dev/volume bs=9 count=1"
    node.apply(
        make_pod(
            "device",
            container("c", "sh", "-c", f"{script}; {STAYS}", volumeDevices=devices),
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "raw"}}],
        )
    )
    uid = node.running("device")["metadata"]["uid"]
    eventually(lambda: "raw-bytes" in node.container_log("device", "c"), "the device can be read")
    top = root / "plugins/kubernetes.io/csi/volumeDevices"
    (publish,) = site.front.named("NodePublishVolume")
    assert publish.target_path == str(top / "publish/pv-raw" / uid)
    assert publish.staging_target_path == str(top / "staging/pv-raw")
    assert publish.volume_capability.HasField("block")
    assert (root / f"pods/{uid}/volumeDevices/kubernetes.io~csi/pv-raw").readlink() == Path(publish.target_path)
    assert json.loads((top / "pv-raw/data/vol_data.json").read_text())["volumeHandle"] == handle
    site.delete_pod("device")
    assert verbs(site) == VERBS
    assert list(top.rglob("*pv-raw*")) == []


def test_a_volume_that_grows(site: Site) -> None:
    """When it is mounted, by the reference driver, and while its pod runs, by one that can do that: the driver is asked for the
    size that the claim is to have; the claim has it, and the pod was not touched."""
    node = site.node
    handle = site.provision("grows")
    wanted = csi.ControllerExpandVolumeRequest(volume_id=handle)
    wanted.capacity_range.required_bytes = 32 * MEBIBYTE
    asyncio.run(site.driver.client.controller.expand_volume(wanted))
    let_grow(site, "grows", "32Mi")
    node.apply(trigger("grows"), with_trigger(claim_pod("grows", "grows")))
    started = node.running("grows")
    has_grown(site, "grows", "32Mi")
    site.front.own["NodeExpandVolume"] = lambda request: csi.NodeExpandVolumeResponse()
    let_grow(site, "grows", "48Mi")
    pull(site, "grows")
    has_grown(site, "grows", "48Mi")
    expansions, publish = site.front.named("NodeExpandVolume"), site.front.named("NodePublishVolume")[0]
    for each, mebibytes in zip(expansions, (32, 48), strict=True):
        assert (each.volume_id, each.capacity_range.required_bytes) == (handle, mebibytes * MEBIBYTE)
        assert (each.volume_path, each.staging_target_path) == (publish.target_path, publish.staging_target_path)
        assert each.volume_capability == publish.volume_capability
    assert node.pod("grows")["status"]["containerStatuses"] == started["status"]["containerStatuses"]


def let_grow(site: Site, claim: str, size: str) -> None:
    patch = json.dumps({"spec": {"capacity": {"storage": size}}})
    site.node.kubectl("patch", "pv", f"pv-{claim}", "--type=merge", "-p", patch)


def has_grown(site: Site, claim: str, size: str) -> None:
    path = f"api/v1/namespaces/default/persistentvolumeclaims/{claim}"
    eventually(lambda: (site.node.api.get(path) or {})["status"]["capacity"] == {"storage": size}, f"it has {size}")


def test_a_driver_that_wants_to_be_asked_again(site: Site) -> None:
    """requiresRepublish: the driver gets the volume's context anew, for the same target, with the tokens of then among the
    secrets where it wants them; a failure leaves the mount, and the pod, as they are."""
    node = site.node
    serve_inline(site.front)
    site.csi_driver(
        volumeLifecycleModes=["Ephemeral"],
        requiresRepublish=True,
        tokenRequests=[{"audience": ""}],
        serviceAccountTokenInSecrets=True,
    )
    node.apply(trigger("again"), with_trigger(inline_pod("again"), "again"))
    node.running("again")
    pull(site, "again")
    eventually(lambda: len(site.front.named("NodePublishVolume")) == 2, "it is published again")
    first, second = site.front.named("NodePublishVolume")
    assert (first.target_path, first.volume_id) == (second.target_path, second.volume_id)
    assert set(second.secrets) == {"csi.storage.k8s.io/serviceAccount.tokens"}
    assert dict(second.volume_context) == {}
    site.front.faults["NodePublishVolume"] = Fault(grpc.StatusCode.INTERNAL, "not now")
    pull(site, "again")
    assert "desc = not now" in node.event_when("again", "FailedMount")
    assert mounts.is_mount_point(Path(first.target_path))
    assert is_ready(node.pod("again"))
    site.delete_pod("again")


def trigger(name: str) -> dict[str, Any]:
    """A config map by whose changes the volumes of a pod are looked at, which happens every minute or so otherwise."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"a": "0"},
    }


def with_trigger(pod: dict[str, Any], name: str = "") -> dict[str, Any]:
    source = {"name": "trigger", "configMap": {"name": name or pod["metadata"]["name"]}}
    pod["spec"].setdefault("volumes", []).append(source)
    pod["spec"]["containers"][0].setdefault("volumeMounts", []).append({"name": "trigger", "mountPath": "/trigger"})
    return pod


def pull(site: Site, name: str) -> None:
    data = json.dumps({"data": {"a": str(len(site.front.calls))}})
    site.node.kubectl("patch", "configmap", name, "--type=merge", "-p", data)


def test_pods_that_share_a_volume(site: Site) -> None:
    """Staged once, published for each, unstaged after the last; one that only reads is kept from writing by the driver."""
    node = site.node
    handle = site.provision("shared", mode="ReadWriteMany")
    node.apply(claim_pod("writer", "shared", f"echo one >/data/f; {STAYS}"))
    node.running("writer")
    node.apply(claim_pod("reader", "shared", f"cat /data/f; echo >/data/g || echo refused; {STAYS}", read_only=True))
    node.running("reader")
    eventually(lambda: "refused" in node.container_log("reader", "c"), "the reader cannot write")
    assert [each.readonly for each in site.front.named("NodePublishVolume")] == [False, True]
    assert len(site.front.named("NodeStageVolume")) == 1
    assert site.staging(handle).parent.is_dir()
    site.delete_pod("writer")
    assert site.front.named("NodeUnstageVolume") == []
    site.delete_pod("reader")
    assert len(site.front.named("NodeUnstageVolume")) == 1
    assert site.left() == []


def test_a_group_of_the_pod(site: Site) -> None:
    """fsGroup: the agent hands the volume over where the driver does not do it by itself, and the object says so."""
    node = site.node
    site.csi_driver(fsGroupPolicy="File")
    site.provision("grouped")
    script = f"stat -c %g:%a /data; {STAYS}"
    node.apply(claim_pod("grouped", "grouped", script, securityContext={"fsGroup": 4711}))
    node.running("grouped")
    eventually(lambda: node.container_log("grouped", "c"), "the pod has looked")
    gid, _, mode = node.container_log("grouped", "c").partition(":")
    assert (gid, int(mode, 8) & 0o2770) == ("4711", 0o2770)
    site.delete_pod("grouped")


def test_how_much_is_used(site: Site) -> None:
    """The driver's figures are in the node's statistics, under the claim's name; what it says is wrong with the volume, too,
    and the pod's owner is told."""
    node = site.node
    site.provision("measured")
    node.apply(claim_pod("measured", "measured", f"dd if=/dev/zero of=/data/f bs=64k count=16; {STAYS}"))
    node.running("measured")

    def volume() -> dict[str, Any]:
        summary = node.api.get(f"api/v1/nodes/{node.name}/proxy/stats/summary") or {"pods": []}
        pods = [pod for pod in summary["pods"] if pod["podRef"]["name"] == "measured"]
        found = [each for pod in pods for each in pod.get("volume", ()) if each["name"] == "v"]
        return found[0] if found else {}

    found = eventually(volume, "the volume is in the summary")
    assert site.front.named("NodeGetVolumeStats")[0].volume_path.endswith("/pv-measured/mount")
    assert found["capacityBytes"] > 0
    assert found["pvcRef"] == {"name": "measured", "namespace": "default"}
    site.front.change["NodeGetVolumeStats"] = worn_out
    eventually(lambda: volume().get("volumeHealthStats") == {"abnormal": True}, "the summary says so")
    assert node.event_when("measured", "VolumeConditionAbnormal") == "Volume v: the disk is worn out"


def test_how_long_a_driver_takes(site: Site) -> None:
    """Its calls are counted under the names that dashboards know."""
    path = f"api/v1/nodes/{site.node.name}/proxy/metrics"
    text = site.node.kubectl("get", "--raw", f"/{path}")
    labels = f'driver_name="{site.name}",grpc_status_code="OK",method_name="/csi.v1.Node/NodeGetInfo",migrated="false"'
    assert f"csi_operations_seconds_count{{{labels}}}" in text


def worn_out(answer: Any) -> Any:
    answer.volume_condition.abnormal, answer.volume_condition.message = True, "the disk is worn out"
    return answer


def test_a_volume_that_is_to_be_attached(site: Site) -> None:
    """The pod waits until the controller says that it is attached; what the driver wrote there goes with each call."""
    node = site.node
    site.csi_driver(attachRequired=True)
    handle = site.provision("attached")
    volume_id = f"kubernetes.io/csi/{site.name}^{handle}"
    node.apply(claim_pod("waits", "attached"))
    eventually(lambda: in_use(site) == [volume_id], "the node says that it needs the volume")
    path = f"apis/storage.k8s.io/v1/volumeattachments/{site.attachment(handle)}"
    asked = eventually(lambda: node.api.get(path), "the API asks the attacher")
    spec = {"attacher": site.name, "nodeName": node.name, "source": {"persistentVolumeName": "pv-attached"}}
    assert asked["spec"] == spec
    assert site.front.named("NodeStageVolume") == []
    merge_patch(site, f"{path}/status", {"status": {"attached": True, "attachmentMetadata": {"device": "/dev/xvdb"}}})
    node.running("waits")
    for method in ("NodeStageVolume", "NodePublishVolume"):
        assert [dict(each.publish_context) for each in site.front.named(method)] == [{"device": "/dev/xvdb"}]
    site.delete_pod("waits")
    eventually(lambda: in_use(site) == [], "the controller may detach it")
    eventually(lambda: node.api.get(path) is None, "the API asks to detach it")
    found = node.api.get(f"api/v1/nodes/{node.name}")
    assert not (found or {})["status"].get("volumesAttached")


def in_use(site: Site) -> list[str]:
    found = site.node.api.get(f"api/v1/nodes/{site.node.name}")
    assert found is not None
    ids: list[str] = found["status"].get("volumesInUse") or []
    return ids


def merge_patch(site: Site, path: str, body: dict[str, Any]) -> None:
    resource, _, _ = path.partition("/status")
    kind, name = resource.split("/")[-2:]
    site.node.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps(body))


def test_a_driver_that_is_killed_and_upgraded_under_a_mounted_volume(site: Site) -> None:
    """The pod goes on, and its volume with it; the new driver takes it down. Meanwhile a pod that ends waits for it."""
    node = site.node
    site.provision("kept")
    node.apply(claim_pod("lives", "kept", f"echo alive >/data/f; {STAYS}"))
    pod = node.running("lives")
    site.registrar.stop()
    site.driver.kill()
    eventually(lambda: site.csi_node() == {}, "the driver is gone")
    assert node.kubectl("exec", "lives", "--", "cat", "/data/f").strip() == "alive"
    node.api.request("DELETE", "api/v1/namespaces/default/pods/lives", {"gracePeriodSeconds": 1})
    target = node.root_dir / f"pods/{pod['metadata']['uid']}/volumes/kubernetes.io~csi/pv-kept/mount"
    eventually(lambda: not is_ready(node.pod("lives")), "the pod has stopped")
    assert mounts.is_mount_point(target)
    asyncio.run(site.driver.start())
    site.registrar.start()
    eventually(lambda: node.find_pod("lives") is None, "the pod is gone", 120)
    assert site.left() == []
