"""The messages that put a volume on the node, with all that goes into them, and their sending (docs/facts/storage.md 10.3)."""

from pathlib import Path

from csi.call import Bound, Request, Response
from csi.errors import CSIError
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi.drivers import Driver
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.preparation import Preparation, Prepared
from proto import csi_pb2 as csi
from runtimes.linux.mounts import shown


async def ask(driver: Driver, call: Bound[Request, Response], request: Request) -> Response:
    """Raises DriverError."""
    try:
        return await call(request)
    except CSIError as error:
        raise DriverError(driver.name, error) from error


def text(path: Path) -> str:
    """A path in a message. Raises VolumeError for one that is no UTF-8, as the agent's directory may be."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise VolumeError(f"{shown(path)} is not text, and no CSI driver can be told of it") from None
    return str(path)


async def stage_request(preparation: Preparation, prepared: Prepared, target: Path) -> csi.NodeStageVolumeRequest:
    """Reads what it needs from the API. Raises VolumeError."""
    volume = prepared.volume
    return csi.NodeStageVolumeRequest(
        volume_id=volume.handle,
        publish_context=await preparation.publish_context(prepared),
        staging_target_path=text(target),
        volume_capability=prepared.capability,
        secrets=await preparation.credentials.secret(volume.stage_secret, "NodeStageSecretRef"),
        volume_context=dict(volume.attributes),
    )


async def publish_request(
    preparation: Preparation, prepared: Prepared, target: Path, staging: Path | None
) -> csi.NodePublishVolumeRequest:
    """Likewise. `staging`: where it is staged, None: it is not. Raises VolumeError."""
    volume = prepared.volume
    attachment = await preparation.publish_context(prepared)
    context, secrets = await preparation.publish_parts(prepared)
    return csi.NodePublishVolumeRequest(
        volume_id=volume.handle,
        publish_context=attachment,
        staging_target_path=text(staging) if staging is not None else "",
        target_path=text(target),
        volume_capability=prepared.capability,
        readonly=volume.read_only,
        secrets=secrets,
        volume_context=context,
    )


async def unstage(preparation: Preparation, driver: str, handle: str, target: Path) -> None:
    """Of a driver that stages nothing there is nothing to undo. Raises VolumeError."""
    found = await preparation.reach(driver, "unmounter failed to get CSI client")
    if found.stages:
        request = csi.NodeUnstageVolumeRequest(volume_id=handle, staging_target_path=text(target))
        await ask(found.driver, found.driver.client.node.unstage_volume, request)


async def unpublish(preparation: Preparation, driver: str, handle: str, target: Path) -> None:
    """Raises VolumeError."""
    found = await preparation.registered(driver, "unmounter failed to get CSI client")
    await ask(
        found,
        found.client.node.unpublish_volume,
        csi.NodeUnpublishVolumeRequest(volume_id=handle, target_path=text(target)),
    )
