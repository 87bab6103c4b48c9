"""What has to be known before a driver is asked for anything: who it is, what it can do, what the cluster says of it."""

import asyncio
import contextlib
from dataclasses import dataclass

from csi.errors import CSIError
from csi.values import NodeCapability
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeError, VolumeRequest
from nodeagent.volumes.csi import pod_context, selinux
from nodeagent.volumes.csi.attachments import Attachments
from nodeagent.volumes.csi.credentials import Credentials
from nodeagent.volumes.csi.driver_specs import DriverSpec, DriverSpecs
from nodeagent.volumes.csi.drivers import Driver, Drivers, NotRegistered
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.vol_data import VolData
from nodeagent.volumes.csi.volume import CSIVolume, volume_of
from proto import csi_pb2 as csi

SET_UP = "mounter.SetUpAt failed to get CSI client"
GRACE_SECONDS = 2.0
STAGE = "attacher.MountDevice failed to create newCsiDriverClient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A driver, and what it can do: asked now, as it may be another version by the next call."""

    driver: Driver
    can: frozenset[NodeCapability]

    @property
    def stages(self) -> bool:
        return NodeCapability.STAGE_UNSTAGE_VOLUME in self.can


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A volume for a pod, and its driver (`Reached`). `label`: of SELinux, to mount with; `host`: what that has of it."""

    pod: AgentPod
    volume: CSIVolume
    driver: Driver
    can: frozenset[NodeCapability]
    spec: DriverSpec
    fs_group: int | None
    label: str = ""
    host: selinux.Host = selinux.NO_SELINUX

    @property
    def stages(self) -> bool:
        return NodeCapability.STAGE_UNSTAGE_VOLUME in self.can and not self.volume.ephemeral

    @property
    def may_relabel(self) -> bool:
        """Whether the runtime is to look after the labels of the files, where their file system has any."""
        return bool(self.host.label) and not self.label and not self.volume.read_only

    @property
    def capability(self) -> csi.VolumeCapability:
        found = self.volume.capability(self.can, self.mount_group)
        if self.label:
            found.mount.mount_flags.extend(selinux.flag(self.label))
        return found

    @property
    def mount_group(self) -> str:
        """For drivers that see to the group themselves."""
        if self.fs_group is None or NodeCapability.VOLUME_MOUNT_GROUP not in self.can:
            return ""
        return str(self.fs_group)

    @property
    def sets_group(self) -> bool:
        """Whether the agent hands the volume over to the pod's group (docs/facts/storage.md 7)."""
        volume, policy = self.volume, self.spec.group_policy
        if self.fs_group is None or self.mount_group or volume.read_only or volume.block or policy == "None":
            return False
        return policy == "File" or (bool(volume.fs_type) and volume.single_node)


class Preparation:
    """`host`: what it has of SELinux. `node_name`: this node's."""

    def __init__(
        self,
        drivers: Drivers,
        specs: DriverSpecs,
        attachments: Attachments,
        credentials: Credentials,
        *,
        node_name: str,
        host: selinux.Host,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.specs = specs
        self.attachments = attachments
        self.credentials = credentials
        self._drivers = drivers
        self._node_name = node_name
        self._grace_seconds = grace_seconds
        self._host = host

    async def of(self, request: VolumeRequest, purpose: str) -> Prepared:
        """Raises VolumeError; NotRegistered."""
        volume = volume_of(request.source, request.pod.uid, request.pod.namespace)
        spec = await self.specs.get(volume.driver)
        check_mode(volume, spec)
        found = await self.reach(volume.driver, purpose)
        return Prepared(
            pod=request.pod,
            volume=volume,
            driver=found.driver,
            can=found.can,
            spec=spec,
            fs_group=request.fs_group,
            label=selinux.context(self._host, request.pod, request.volume.name, volume, spec),
            host=self._host,
        )

    async def registered(self, name: str, purpose: str) -> Driver:
        """Waits a moment: an agent that has just started hears of its drivers one after the other. Raises NotRegistered."""
        try:
            return self._drivers.get(name)
        except NotRegistered as error:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace_seconds):
                    await error.came.wait()
        try:
            return self._drivers.get(name)
        except NotRegistered as error:
            raise NotRegistered(f"kubernetes.io/csi: {purpose}: {error}", error.came) from error

    async def reach(self, name: str, purpose: str) -> Reached:
        """Raises NotRegistered, DriverError."""
        driver = await self.registered(name, purpose)
        try:
            return Reached(driver=driver, can=await driver.client.node.capabilities())
        except CSIError as error:
            raise DriverError(name, error) from error

    async def publish_context(self, prepared: Prepared) -> dict[str, str]:
        """What the attachment says. Raises VolumeError."""
        if prepared.volume.ephemeral or not prepared.spec.attach:
            return {}
        return await self.attachments.context(prepared.volume)

    async def publish_parts(self, prepared: Prepared) -> tuple[dict[str, str], dict[str, str]]:
        """(volume context, secrets) of a publish. Raises VolumeError."""
        volume, spec = prepared.volume, prepared.spec
        context = dict(volume.attributes)
        secrets = await self.credentials.secret(volume.publish_secret, "NodePublishSecretRef")
        if spec.pod_info:
            context |= pod_context.pod_info(prepared.pod, ephemeral=volume.ephemeral)
        if spec.tokens and not volume.block:
            found = pod_context.tokens(await self.credentials.tokens(prepared.pod, spec))
            if spec.tokens_in_secrets:
                secrets |= found
            else:
                context |= found
        return context, secrets

    def data(self, prepared: Prepared) -> VolData:
        volume = prepared.volume
        return VolData(
            driver=volume.driver,
            handle=volume.handle,
            spec_name=volume.spec_name,
            node_name=self._node_name,
            attachment=self.attachments.name(volume),
            ephemeral=volume.ephemeral,
            label=prepared.label,
        )


def check_mode(volume: CSIVolume, spec: DriverSpec) -> None:
    """Raises VolumeError for a volume in a pod's spec whose driver is not made for that (docs/facts/storage.md 4.9)."""
    if volume.ephemeral and not spec.ephemeral:
        why = 'only supports ["Persistent"]' if spec.declared else "no CSIDriver object"
        raise VolumeError(f'volume mode "Ephemeral" not supported by driver {volume.driver} ({why})')
