"""iscsi: disks of an iSCSI target, logged in to by the host's own iscsiadm (docs/facts/storage.md 4.11).

A target may be reached by several portals: one that answers is enough, and multipath joins those that do. A session, of one
interface with one portal, serves every disk of its target, so it ends with the last of them.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from lightkube.models.core_v1 import ISCSIPersistentVolumeSource, ISCSIVolumeSource, SecretReference

from nodeagent.volumes.contract import VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.sources import SecretSource
from nodeagent.volumes.types.remote_disk import Disk, Others, Record, texts
from nodeagent.volumes.types.scsi import ScsiHost
from runtimes.linux.tasks import run_blocking

NAME = "kubernetes.io/iscsi"
_PORT = "3260"
_SESSION_EXISTS, _NOT_FOUND = 15, 21  # exit statuses of iscsiadm
_DEVICE_LOOKS = 20
_LOOK_SECONDS = 0.5
_SESSION_KEYS = ("username", "password", "username_in", "password_in")


class Iscsi:
    """A `remote_disk.Reach`."""

    name = NAME

    def __init__(
        self, host: ScsiHost, secrets: SecretSource, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._host = host
        self._secrets = secrets
        self._sleep = sleep
        self._targets: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def declared(self, source: VolumeSource) -> Disk | None:
        found = _declared(source)
        if found is None:
            return None
        portals = list(dict.fromkeys(map(_portal, (found.targetPortal, *(found.portals or ())))))
        interface = found.iscsiInterface or "default"
        own = f"{portals[0]}:{source.name}" if found.initiatorName else ""
        return Disk(
            place=(f"iface-{own or interface}".replace("/", "_"), f"{portals[0]}-{found.iqn}-lun-{found.lun}"),
            fstype=found.fsType or "",
            read_only=bool(found.readOnly),
            record={
                "portals": portals,
                "iqn": found.iqn,
                "lun": found.lun,
                "interface": own or interface,
                "own": bool(own),
            },
        )

    async def reach(self, disk: Disk, request: VolumeRequest) -> Path:
        record = disk.record
        declared = _declared(request.source)
        assert declared is not None
        chap = await self._chap(declared, request.pod.namespace)
        if record["own"]:
            await self._make_interface(declared.iscsiInterface or "default", str(record["interface"]), declared)
        errors: list[str] = []
        async with self._target(record):
            for portal in texts(record["portals"]):
                try:
                    await self._log_in(portal, record, declared, chap)
                except VolumeError as error:
                    errors.append(f"portal {portal}: {error}")
        for _ in range(_DEVICE_LOOKS if len(errors) < len(texts(record["portals"])) else 1):
            if (device := await run_blocking(self._find, record)) is not None:
                return device
            await self._sleep(_LOOK_SECONDS)
        raise VolumeError("; ".join(errors) or f"no disk of {record['iqn']} lun {record['lun']} has appeared")

    async def release(self, record: Record, device: Path | None, others: Others) -> None:
        if device is not None:
            await self._host.release(device)
        async with self._target(record):
            await self._log_out(record, await others())

    async def _log_out(self, record: Record, others: Sequence[Record]) -> None:
        """Of the portals that no other disk has its session with."""
        beside = [other for other in others if other.get("interface") == record["interface"]]
        same = (other for other in beside if other.get("iqn") == record["iqn"])
        needed = {portal for other in same for portal in texts(other.get("portals"))}
        for portal in texts(record["portals"]):
            if portal in needed:
                continue
            for action in (("--logout",), ("-o", "delete")):
                await self._node(portal, record, *action, fine=(_NOT_FOUND,))
        if record.get("own") and not beside:
            await self._admin("-m", "iface", "-I", str(record["interface"]), "-o", "delete", fine=(_NOT_FOUND,))

    def _target(self, record: Record) -> asyncio.Lock:
        """While it is held nobody logs in to the target, or looks who else needs it: a log-out would end what has just begun."""
        return self._targets.setdefault(str(record["iqn"]), asyncio.Lock())

    async def _log_in(self, portal: str, record: Record, declared: "Declared", chap: Mapping[str, str]) -> None:
        interface = str(record["interface"])
        discovery = ("-m", "discoverydb", "-t", "sendtargets", "-p", portal, "-I", interface)
        await self._admin(*discovery, "-o", "new")
        if declared.chapAuthDiscovery:
            await self._set(discovery, "discovery.sendtargets.auth", chap)
        await self._admin(*discovery, "--discover")
        node = ("-m", "node", "-p", portal, "-T", str(record["iqn"]), "-I", interface)
        if declared.chapAuthSession:
            await self._set(node, "node.session.auth", chap)
        await self._admin(*node, "--login", fine=(_SESSION_EXISTS,))
        # the agent logs in when a pod needs it; a host that starts does not wait for targets
        await self._admin(*node, "-o", "update", "-n", "node.startup", "-v", "manual")

    async def _set(self, of: tuple[str, ...], prefix: str, chap: Mapping[str, str]) -> None:
        await self._admin(*of, "-o", "update", "-n", f"{prefix}.authmethod", "-v", "CHAP")
        for key in _SESSION_KEYS:
            if value := chap.get(f"{prefix}.{key}"):
                await self._admin(*of, "-o", "update", "-n", f"{prefix}.{key}", "-v", value)

    async def _make_interface(self, model: str, name: str, declared: "Declared") -> None:
        """An interface as `model`, with the volume's own initiator."""
        shown = (await self._admin("-m", "iface", "-I", model, "-o", "show")).splitlines()
        settings = dict(line.split(" = ", 1) for line in shown if " = " in line)
        settings = {
            key: value for key, value in settings.items() if value != "<empty>" and key != "iface.iscsi_ifacename"
        }
        await self._admin("-m", "iface", "-I", name, "-o", "new", fine=(_SESSION_EXISTS,))
        for key, value in {**settings, "iface.initiatorname": declared.initiatorName or ""}.items():
            await self._admin("-m", "iface", "-I", name, "-o", "update", "-n", key, "-v", value)

    async def _chap(self, declared: "Declared", namespace: str) -> dict[str, str]:
        """The secret's values, where anything is to be proven. Raises VolumeError."""
        if not (declared.chapAuthDiscovery or declared.chapAuthSession):
            return {}
        reference = declared.secretRef
        if reference is None or not reference.name:
            raise VolumeError("CHAP is asked for, and no secret is named")
        if isinstance(reference, SecretReference):  # a PersistentVolume's
            namespace = reference.namespace or namespace
        where = f"cannot read secret {namespace}/{reference.name}"
        try:
            secret = await self._secrets.get_secret(namespace, reference.name)
        except Exception as error:
            raise VolumeError(f"{where}: {error}") from error
        try:
            return {key: base64.b64decode(value).decode() for key, value in (secret.data or {}).items()}
        except ValueError:  # the error would show it
            raise VolumeError(f"{where}: there is a value that is no text") from None

    async def _node(self, portal: str, record: Record, *action: str, fine: tuple[int, ...]) -> None:
        interface = str(record["interface"])
        await self._admin("-m", "node", "-p", portal, "-T", str(record["iqn"]), "-I", interface, *action, fine=fine)

    async def _admin(self, *arguments: str, fine: tuple[int, ...] = ()) -> str:
        done = await self._host.call("iscsiadm", *arguments)
        if not done.ok and done.returncode not in fine:
            raise VolumeError(f"iscsiadm {' '.join(arguments[:2])}: {done.error_text}")
        return done.stdout.decode(errors="replace")

    def _find(self, record: Record) -> Path | None:
        """The multipath device that a portal's disk belongs to, or else the first of the disks."""
        links: list[Path] = []
        for portal in texts(record["portals"]):
            name = f"ip-{portal}-iscsi-{record['iqn']}-lun-{record['lun']}"
            links += self._host.links("by-path", name) or self._host.links("by-path", name, before="pci-*-")
        return self._host.device_of(links)


Declared = ISCSIVolumeSource | ISCSIPersistentVolumeSource


def _declared(source: VolumeSource) -> Declared | None:
    spec = source.persistent_spec
    return (spec.iscsi if spec is not None else None) or source.volume.iscsi


def _portal(text: str) -> str:
    """With its port: `10.0.0.1` -> `10.0.0.1:3260`, `[fd00::1]` -> `[fd00::1]:3260`."""
    host = text.rpartition("]")[2] if text.startswith("[") else text
    return text if ":" in host else f"{text}:{_PORT}"
