"""flexVolume: volumes of a driver that is a program on the host. A plug-in for each driver (`drivers` has them all).

With a driver that can attach, a volume is attached, staged by `mountdevice` and published by `mount`; with any other, `mount` is
all there is. What a driver does not support is done in its place where that is possible: a staged volume is bound.
`getvolumename` is not asked: a kubelet takes the name of the PersistentVolume, or of the pod's volume, whatever the answer.
"""

import base64
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from nodeagent.api.events import Events
from nodeagent.volumes import device_mount
from nodeagent.volumes.contract import (
    Capabilities,
    MountedVolume,
    VolumeError,
    VolumeRequest,
    VolumeSource,
    VolumeUsage,
)
from nodeagent.volumes.flex.driver import Driver, DriverCannot
from nodeagent.volumes.fs_group import hand_over
from nodeagent.volumes.layout import Layout, make_directories, safe_component
from nodeagent.volumes.sources import SecretSource
from nodeagent.volumes.types.publish_only import PublishOnly
from runtimes.linux import file_systems, mounts, syscalls
from runtimes.linux.mounts import is_mount_point, unmount_all
from runtimes.linux.tasks import run_blocking

PLUGIN = "kubernetes.io/flexvolume"
_PREFIX = "flexvolume-"
_OPTION = "kubernetes.io/"


class Attacher(Protocol):
    """Who attaches volumes to this node."""

    async def attach(self, driver: Driver, volume_id: str, options: str) -> str:
        """The device, or nothing where there is none to name; waits. Raises VolumeError."""
        ...

    async def detach(self, driver: Driver, volume_name: str) -> None:
        """Raises VolumeError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a volume says of its driver, in a pod or in a PersistentVolume."""

    driver: str
    fs_type: str
    options: Mapping[str, str]
    read_only: bool
    secret: tuple[str, str] | None  # namespace, empty for the pod's; name


def declared(source: VolumeSource) -> Declared | None:
    """None: it is of another type."""
    spec = source.persistent_spec
    persistent = spec.flexVolume if spec is not None else None
    found = persistent or source.volume.flexVolume
    if found is None:
        return None
    namespace = (persistent.secretRef.namespace if persistent and persistent.secretRef else None) or ""
    secret = found.secretRef.name if found.secretRef is not None else None
    return Declared(
        driver=found.driver,
        fs_type=found.fsType or "",
        options=found.options or {},
        read_only=bool(found.readOnly) or source.read_only,
        secret=(namespace, secret) if secret else None,
    )


def options_json(source: VolumeSource, what: Declared, extra: Mapping[str, str] | None = None) -> str:
    """The argument that most calls have. What the agent says cannot be said otherwise by the volume."""
    own = {
        f"{_OPTION}fsType": what.fs_type,
        f"{_OPTION}readwrite": "ro" if what.read_only else "rw",
        f"{_OPTION}pvOrVolumeName": source.name,
    }
    return json.dumps({**what.options, **own, **(extra or {})})


class FlexVolumePlugin(PublishOnly):
    """One driver. `name` is the driver's: that is what the volumes' directory is called after."""

    def __init__(
        self, driver: Driver, layout: Layout, attacher: Attacher, secrets: SecretSource, events: Events
    ) -> None:
        self._driver = driver
        self._layout = layout
        self._attacher = attacher
        self._read = secrets
        self._events = events
        self._devices: dict[str, str] = {}  # of attached volumes, by id

    @property
    @override
    def name(self) -> str:
        return self._driver.name

    def supports(self, source: VolumeSource) -> bool:
        what = declared(source)
        return not source.block and what is not None and what.driver == self._driver.name

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        attach = self._driver.capabilities.attach
        return Capabilities(attach=attach, stage=attach)

    @override
    def volume_id(self, source: VolumeSource) -> str:
        return f"{_PREFIX}{self._driver.name}/{source.name}"

    @override
    async def attach(self, request: VolumeRequest) -> None:
        if not self._driver.capabilities.attach:
            return
        volume_id, options = self.volume_id(request.source), options_json(request.source, _known(request.source))
        device = await self._attacher.attach(self._driver, volume_id, options)
        with contextlib.suppress(DriverCannot):
            device = (await self._driver.call("waitforattach", device, options)).device
        self._devices[volume_id] = device

    @override
    async def stage(self, request: VolumeRequest) -> None:
        if not self._driver.capabilities.attach:
            return
        target = self._staging(request.source.name)
        await run_blocking(make_directories, target)
        if await run_blocking(is_mount_point, target):
            return
        device, what = self._devices.get(self.volume_id(request.source), ""), _known(request.source)
        try:
            await self._driver.call("mountdevice", str(target), device, options_json(request.source, what))
        except DriverCannot:
            if device:
                fstype = what.fs_type or file_systems.DEFAULT
                await device_mount.stage(request, Path(device), target, fstype, self._events, read_only=what.read_only)

    @override
    async def unstage(self, volume_id: str) -> None:
        if not (volume_name := volume_id.removeprefix(f"{_PREFIX}{self._driver.name}/")):
            return  # nothing was staged
        await self._take_down(self._staging(volume_name), "unmountdevice", only_mounted=True)
        self._devices.pop(volume_id, None)
        await self._attacher.detach(self._driver, volume_name)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        what = _known(request.source)
        target = self._target(request.pod.uid, request.directory_name)
        await run_blocking(make_directories, target)
        live = await run_blocking(is_mount_point, target)
        if not live:
            await self._mount(request, what, target)
        if self._driver.capabilities.fs_group and not what.read_only:
            # the root of one that is mounted tells whether an agent before has done it
            anew = request.on_root_mismatch or live
            await hand_over(replace(request, on_root_mismatch=anew), target, self._events)
        return MountedVolume(
            host_path=target,
            directory_name=request.directory_name,
            read_only_forced=what.read_only,
            relabel=self._driver.capabilities.selinux_relabel and not what.read_only,
        )

    async def unpublish(self, uid: str, directory_name: str) -> None:
        await self._take_down(self._target(uid, directory_name), "unmount")

    @override
    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        return await super().usage(volume) if self._driver.capabilities.supports_metrics else None

    async def _mount(self, request: VolumeRequest, what: Declared, target: Path) -> None:
        pod = request.pod
        extra = {
            f"{_OPTION}pod.name": pod.name,
            f"{_OPTION}pod.namespace": pod.namespace,
            f"{_OPTION}pod.uid": pod.uid,
            f"{_OPTION}serviceAccount.name": pod.spec.serviceAccountName or "",
            **await self._secrets(pod.namespace, what),
        }
        if request.fs_group is not None and self._driver.capabilities.fs_group:
            extra[f"{_OPTION}mounterArgs.FsGroup"] = str(request.fs_group)
        try:
            await self._driver.call("mount", str(target), options_json(request.source, what, extra))
        except DriverCannot:
            staging = self._staging(request.source.name)
            if not await run_blocking(is_mount_point, staging):
                raise VolumeError(f"FlexVolume driver {self.name} supports neither mount nor mountdevice") from None
            attributes = syscalls.MOUNT_ATTR_RDONLY if what.read_only else 0
            await run_blocking(mounts.bind_path, staging, target, attributes=attributes)

    async def _secrets(self, namespace: str, what: Declared) -> dict[str, str]:
        """Every key as an option, base64 as in the API. A secret is for the driver that its type names."""
        if what.secret is None:
            return {}
        namespace, name = what.secret[0] or namespace, what.secret[1]
        try:
            secret = await self._read.get_secret(namespace, name)
        except Exception as error:
            raise VolumeError(f"cannot read secret {namespace}/{name}: {error}") from error
        if secret.type != what.driver:
            raise VolumeError(f"secret {namespace}/{name} is not of type {what.driver}")
        return {f"{_OPTION}secret/{key}": _base64(value) for key, value in (secret.data or {}).items()}

    async def _take_down(self, path: Path, verb: str, *, only_mounted: bool = False) -> None:
        """By the driver, or, where it cannot, here. Data that is there without a mount stays. Raises VolumeError."""
        if not await run_blocking(os.path.lexists, path):
            return
        if not only_mounted or await run_blocking(is_mount_point, path):
            try:
                await self._driver.call(verb, str(path))
            except DriverCannot:
                await _in_words(unmount_all, path)
        await _in_words(_remove_empty, path)

    def _target(self, uid: str, directory_name: str) -> Path:
        return self._layout.volume_dir(uid, self._driver.name, directory_name)

    def _staging(self, volume_name: str) -> Path:
        return self._layout.root_dir / "plugins" / PLUGIN / self._driver.name / "mounts" / safe_component(volume_name)


def _known(source: VolumeSource) -> Declared:
    what = declared(source)
    assert what is not None
    return what


def _base64(value: str) -> str:
    """Drivers are given standard base64 without line breaks, however the object was written. Raises VolumeError."""
    try:
        return base64.b64encode(base64.b64decode(value)).decode()
    except ValueError as error:
        raise VolumeError("a secret's value is no base64") from error


def _remove_empty(path: Path) -> None:
    """A driver may have removed it. Raises OSError where it did not unmount, or left data."""
    if is_mount_point(path):
        raise mounts.MountError(f"{mounts.shown(path)} is still mounted")
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        path.rmdir()


async def _in_words(work: Callable[[Path], object], path: Path) -> None:
    try:
        await run_blocking(work, path)
    except OSError as error:
        raise VolumeError(
            str(error) if isinstance(error, mounts.MountError) else f"{path}: {error.strerror}"
        ) from error
