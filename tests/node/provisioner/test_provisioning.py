"""Volumes for claims: made, kept or deleted, copied and grown; cut off at every step; refused where there is no room."""

import asyncio
import contextlib
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from components import needs
from csi_driver import DriverProcess
from provisioned import Claims, Strikes, controller, until, volumes
from small_disk import small_disk

from csi.driver.settings import NAME
from nodeagent.api import kubeconfig
from nodeagent.api.client import ApiClient
from nodeagent.provisioner import standard_class

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs("mkfs.ext4", "resize2fs", "e2fsck"),
]
_numbers = itertools.count(1)


@pytest.fixture
def claims(server: ApiServer) -> Claims:
    return Claims(server)


@pytest.fixture
def name() -> str:
    """Of a claim, and a class, of the test's own."""
    return f"c{next(_numbers)}"


def bound(claims: Claims, name: str) -> str:
    """The volume of a bound claim."""
    claim = claims.get(name)
    return claim["spec"]["volumeName"] if claim and claim["status"]["phase"] == "Bound" else ""


async def test_made_and_deleted(server: ApiServer, driver: DriverProcess, claims: Claims, name: str) -> None:
    """A claim is bound to a volume of its size, which goes with it; what happened is told as upstream tells it."""
    claims.storage_class(name)
    async with controller(server, driver, Strikes()):
        claims.make(name, name, "16Mi")
        volume = claims.volume(await until(lambda: bound(claims, name), "bound"))
        claim = claims.get(name)
        assert volume["metadata"]["name"] == f"pvc-{claim['metadata']['uid']}"
        assert claim["status"]["capacity"] == {"storage": "16Mi"}
        assert [each.volume_id for each in await volumes(driver)] == [volume["spec"]["csi"]["volumeHandle"]]
        await until(lambda: "nodeagent.dev/provisioning" not in claims.get(name)["metadata"]["finalizers"], "let go")
        told = await until(lambda: len(claims.events(name)) == 3 and claims.events(name), "told")
        assert {reason for reason, _ in told} == {"ExternalProvisioning", "Provisioning", "ProvisioningSucceeded"}
        assert ("ProvisioningSucceeded", f"Successfully provisioned volume {volume['metadata']['name']}") in told
        claims.delete(name)
        await until(lambda: claims.volume(volume["metadata"]["name"]) is None, "gone")
    assert await volumes(driver) == []


async def test_retained(server: ApiServer, driver: DriverProcess, claims: Claims, name: str) -> None:
    """With Retain the volume is there after its claim, and its data after its PersistentVolume; a changed policy counts."""
    claims.storage_class(name, reclaimPolicy="Retain")
    async with controller(server, driver, Strikes()):
        claims.make(name, name, "16Mi")
        volume = await until(lambda: bound(claims, name), "bound")
        claims.delete(name)
        await until(lambda: (claims.volume(volume) or {})["status"]["phase"] == "Released", "released")
        (kept,) = await volumes(driver)
        claims.patch(f"/api/v1/persistentvolumes/{volume}", {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
        await until(lambda: claims.volume(volume) is None, "gone")
        assert kept.volume_id not in [each.volume_id for each in await volumes(driver)]


async def test_first_consumer(server: ApiServer, driver: DriverProcess, claims: Claims, name: str) -> None:
    """A claim of such a class waits until a node is chosen for a pod of it."""
    claims.storage_class(name, volumeBindingMode="WaitForFirstConsumer")
    async with controller(server, driver, Strikes()):
        claims.make(name, name, "16Mi", accessModes=["ReadWriteMany"])
        waits = ("WaitForFirstConsumer", "waiting for first consumer to be created before binding")
        await until(lambda: waits in claims.events(name), "told")
        chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "node-1"}}}
        claims.patch(f"/api/v1/namespaces/default/persistentvolumeclaims/{name}", chosen)
        volume = await until(lambda: bound(claims, name), "bound")
        claims.delete(name)
        await until(lambda: claims.volume(volume) is None, "gone")


async def test_a_copy(server: ApiServer, driver: DriverProcess, claims: Claims, name: str) -> None:
    """A claim may be a copy of another; one of what is not there is told so, and made when that has come."""
    claims.storage_class(name)
    source = f"{name}-source"
    async with controller(server, driver, Strikes()):
        claims.make(name, name, "16Mi", dataSource={"kind": "PersistentVolumeClaim", "name": source})
        await until(lambda: any("source not found" in text for _, text in claims.events(name)), "told")
        claims.make(source, name, "16Mi")
        volume = await until(lambda: bound(claims, name), "bound")
        copied = {each.content_source.volume.volume_id for each in await volumes(driver)}
        assert claims.volume(bound(claims, source))["spec"]["csi"]["volumeHandle"] in copied
        for each in (name, source):
            claims.delete(each)
        await until(lambda: claims.volume(volume) is None, "gone")


async def test_no_room(server: ApiServer, driver: DriverProcess, claims: Claims, name: str) -> None:
    """A claim for more than there is says so, in gRPC's words, may be deleted, and leaves nothing."""
    claims.storage_class(name)
    async with controller(server, driver, Strikes()):
        claims.make(name, name, "11Gi")
        failed = f'failed to provision volume with StorageClass "{name}": rpc error: code = OutOfRange desc = '
        await until(lambda: any(text.startswith(failed) for _, text in claims.events(name)), "told")
        claims.delete(name)
        await until(lambda: claims.get(name) is None, "gone")
    assert await volumes(driver) == []


async def test_a_full_disk(server: ApiServer, claims: Claims, name: str, tmp_path: Path) -> None:
    """A claim for which there are no blocks is told so, and gets its volume when there are; nothing half made is left."""
    claims.storage_class(name)
    with small_disk(tmp_path, 8) as disk:
        process = DriverProcess(disk, "--capacity=1Gi")
        await process.start()
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        async with controller(server, process, Strikes()):
            claims.make(name, name, "16Mi")
            no_room = "rpc error: code = ResourceExhausted"
            await until(lambda: any(no_room in text for _, text in claims.events(name)), "told")
            filler.unlink()
            volume = await until(lambda: bound(claims, name), "bound")
            assert len(await volumes(process)) == 1
            claims.delete(name)
            await until(lambda: claims.volume(volume) is None, "gone")
        process.end()
        assert [path.name for path in (process.state / "volumes").iterdir()] == []


async def test_grown(server: ApiServer, driver: DriverProcess, claims: Claims, name: str) -> None:
    """A directory has its new size at once; an image's file system is left to the node; what cannot be is told and taken back."""
    claims.storage_class(name)
    claims.storage_class(f"{name}-image", parameters={"backing": "image"})
    image = f"{name}-image"
    async with controller(server, driver, Strikes()):
        for each in (name, image):
            claims.make(each, each, "16Mi")
            await until(lambda each=each: bound(claims, each), "bound")
            assert claims.grow(each, "32Mi")[0] == 200
        await until(lambda: claims.get(name)["status"]["capacity"] == {"storage": "32Mi"}, "grown")
        status = claims.get(name)["status"]
        assert (status.get("allocatedResourceStatuses"), status.get("conditions")) in (({}, []), (None, None))
        waits = {"storage": "NodeResizePending"}
        await until(lambda: claims.get(image)["status"].get("allocatedResourceStatuses") == waits, "left to the node")
        assert claims.volume(bound(claims, image))["spec"]["capacity"] == {"storage": "32Mi"}
        assert claims.get(image)["status"]["capacity"] == {"storage": "16Mi"}
        (condition,) = claims.get(image)["status"]["conditions"]
        assert condition["type"] == "FileSystemResizePending"
        claims.grow(name, "11Gi")
        no = {"storage": "ControllerResizeInfeasible"}
        await until(lambda: claims.get(name)["status"].get("allocatedResourceStatuses") == no, "refused")
        assert claims.grow(name, "32Mi")[0] == 422
        assert claims.grow(name, "48Mi")[0] == 200
        await until(lambda: claims.get(name)["status"]["capacity"] == {"storage": "48Mi"}, "recovered")
        for each in (name, image):
            claims.delete(each)
        await until(lambda: claims.get(name) is None and claims.get(image) is None, "gone")


async def test_another_class(server: ApiServer, driver: DriverProcess, claims: Claims, name: str) -> None:
    """A volume is made with its claim's attributes, and changed to another class; what cannot be is told, and taken back."""
    claims.storage_class(name, parameters={"backing": "image"})
    thin, thick, odd, late = (f"{name}-{each}" for each in ("thin", "thick", "odd", "late"))
    claims.attributes_class(thin, allocation="thin")
    claims.attributes_class(thick, allocation="thick")
    claims.attributes_class(odd, allocation="none")

    def state() -> tuple[str, str]:
        """(the class it has, how far the change to another is)."""
        status = claims.get(name)["status"]
        return status.get("currentVolumeAttributesClassName"), (status.get("modifyVolumeStatus") or {}).get("status")

    async with controller(server, driver, Strikes()):
        claims.make(name, name, "16Mi", volumeAttributesClassName=thin)
        volume = await until(lambda: bound(claims, name), "bound")
        assert (state(), claims.volume(volume)["spec"]["volumeAttributesClassName"]) == ((thin, None), thin)
        image = driver.state / "volumes" / claims.volume(volume)["spec"]["csi"]["volumeHandle"] / "image"
        assert image.stat().st_blocks * 512 < 16 * 2**20
        assert claims.name_class(name, thick)[0] == 200
        await until(lambda: state() == (thick, None), "changed")
        assert claims.volume(volume)["spec"]["volumeAttributesClassName"] == thick
        assert image.stat().st_blocks * 512 >= 16 * 2**20
        claims.name_class(name, odd)
        await until(lambda: state() == (thick, "Infeasible"), "refused")
        (condition,) = claims.get(name)["status"]["conditions"]
        assert condition["type"] == "ModifyVolumeError"
        why = "ModifyVolume failed with error: rpc error: code = InvalidArgument desc = "
        assert condition["message"].startswith(why)
        claims.name_class(name, thick)
        await until(lambda: state() == (thick, None) and not claims.get(name)["status"].get("conditions"), "back")
        claims.name_class(name, late)
        await until(lambda: state() == (thick, "Pending"), "waits")
        claims.attributes_class(late, allocation="thin")
        await until(lambda: state() == (late, None), "changed when there was one")
        told = {
            ("VolumeModify", f"external resizer is modifying volume {name} with vac {thick}"),
            ("VolumeModifySuccessful", f"external resizer modified volume {name} with vac {thick} successfully"),
            ("VolumeModifyFailed", f"VAC {late} does not exist."),
        }
        await until(lambda: told <= set(claims.events(name)), "told")
        claims.delete(name)
        await until(lambda: claims.volume(volume) is None, "gone")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("deleted", [False, True], ids=["kept", "deleted"])
async def test_cut_off_at_every_call(
    server: ApiServer, driver: DriverProcess, claims: Claims, name: str, after: bool, deleted: bool
) -> None:
    """A controller that ends at any call is followed by one that goes on: one volume, which grows and goes with its claim.

    `deleted`: the claim is deleted while nobody is there. Nothing is left of it, whatever had been made.
    """
    claims.storage_class(name)
    number = 0
    while await _cut_off(server, driver, claims, name, Strikes(number := number + 1, after=after), deleted=deleted):
        pass
    assert number > 8  # so many calls there are


async def _cut_off(
    server: ApiServer, driver: DriverProcess, claims: Claims, name: str, strikes: Strikes, *, deleted: bool
) -> bool:
    """Whether it was: the last call has been struck otherwise."""
    claims.make(name, name, "16Mi")
    async with controller(server, driver, strikes):
        await _whole_life(claims, name, strikes.dead)
    if deleted:
        claims.delete(name)
    async with controller(server, driver, Strikes()):
        if not deleted:
            await _whole_life(claims, name)
            assert len(await volumes(driver)) == 1
            claims.delete(name)
        await until(lambda: claims.get(name) is None, "gone")
        await until(lambda: not _volumes_known(server), "volumes gone")
    assert await volumes(driver) == []
    return strikes.dead.is_set()


async def _whole_life(claims: Claims, name: str, stop: asyncio.Event | None = None) -> None:
    """Bound, grown, and nothing left to be done."""
    await until(lambda: bound(claims, name), "bound", stop)
    claims.grow(name, "32Mi")

    def grown() -> bool:
        claim = claims.get(name)
        return claim["status"].get("capacity") == {"storage": "32Mi"} and _settled(claim)

    await until(grown, "grown", stop)


def _settled(claim: Any) -> bool:
    return "nodeagent.dev/provisioning" not in claim["metadata"]["finalizers"] and not claim["status"].get(
        "allocatedResourceStatuses"
    )


def _volumes_known(server: ApiServer) -> list[object]:
    items: list[object] = server.request("GET", "/api/v1/persistentvolumes")[1]["items"]
    return items


async def test_the_standard_class(server: ApiServer, claims: Claims) -> None:
    """It is made once, is the default, and stays away when a user has deleted it."""
    path = "/apis/storage.k8s.io/v1/storageclasses/standard"
    async with ApiClient(kubeconfig.load(server.state_dir / "storage.kubeconfig")) as client:
        await standard_class.make_once(client, NAME)
        made = server.request("GET", path)[1]
        assert made["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
        assert (made["allowVolumeExpansion"], made["volumeBindingMode"]) == (True, "Immediate")
        server.request("DELETE", path)
        await standard_class.make_once(client, NAME)
        assert server.request("GET", path)[0] == 404
