"""Have volumes attached to the nodes of the pods that use them, and detached when none does any more.

Attaching is the work of the driver's own attacher, which finds a VolumeAttachment. The node waits until its status lists the
volume, and says there in turn which it has in use: what it has in use is not detached. Source: docs/facts/storage.md 1.1, 10.2.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import FINISHED, name_of, namespace_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.controllers.recorder import NORMAL, WARNING, event, record
from nodeagent.apiserver.kinds.scheduling import claims
from runtimes.kube.json_object import JsonObject

PODS = "pods"
CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
NODES = "nodes"
DRIVERS = "csidrivers.storage.k8s.io"
ATTACHMENTS = "volumeattachments.storage.k8s.io"
NAME = "attachdetach-controller"
_SETTLED = (404, 409)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A volume that is to be attached to a node."""

    driver: str
    handle: str
    node: str
    volume: str

    @property
    def attachment(self) -> str:
        return f"csi-{hashlib.sha256(f'{self.handle}{self.driver}{self.node}'.encode()).hexdigest()}"

    @property
    def device(self) -> str:
        """As in a node's volumesAttached and volumesInUse."""
        return f"kubernetes.io/csi/{self.driver}^{self.handle}"


def use_of(volume: JsonObject, node: str, drivers: Mapping[str, JsonObject]) -> Use | None:
    """None: it is not attached. A driver that nobody has described needs it."""
    source = volume["spec"].get("csi")
    if not source:
        return None
    driver = drivers.get(source["driver"])
    if driver is not None and not (driver.get("spec") or {}).get("attachRequired", True):
        return None
    return Use(driver=source["driver"], handle=source["volumeHandle"], node=node, volume=name_of(volume))


class AttachmentController:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._known: dict[str, dict[Key, JsonObject]] = {}
        self._unsynced: set[str] = set()
        self._told: dict[str, str] = {}  # attachment -> what was last told about it

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        resources = (PODS, CLAIMS, VOLUMES, NODES, DRIVERS, ATTACHMENTS)
        self._known, self._unsynced, self._told = {name: {} for name in resources}, set(resources), {}
        async with follow(self._api, [Watch(resource=name) for name in resources]) as feed:
            while True:
                relevant = False
                for change in await feed.batch():
                    relevant = self._apply(change) or relevant
                if relevant and not self._unsynced:
                    await self._sync()

    def _apply(self, change: Change) -> bool:
        """Whether what is to be attached may be another now."""
        if change.type == "SYNCED":
            self._unsynced.discard(change.resource)
            return True
        known = self._known[change.resource]
        before = known.pop(change.key, None)
        if change.type != "DELETED" and (kept := _kept(change.resource, change.object)) is not None:
            known[change.key] = kept
        return known.get(change.key) != before

    async def _sync(self) -> None:
        wanted = {use.attachment: (use, pods) for use, pods in self._wanted().items()}
        attachments = {name: each for (_, name), each in self._known[ATTACHMENTS].items()}
        for name, (use, pods) in wanted.items():
            if name not in attachments:
                await self._attempt(self._create(use))
            else:
                await self._tell(use, pods, attachments[name])
        unwanted = [each for name, each in attachments.items() if name not in wanted and _is_ours(name, each)]
        await self._list_attached(wanted, attachments)
        for each in unwanted:
            if not each["metadata"].get("deletionTimestamp") and not self._in_use(each):
                self._told.pop(name_of(each), None)
                await self._attempt(self._api.delete(ATTACHMENTS, "", name_of(each)))

    def _wanted(self) -> dict[Use, list[JsonObject]]:
        """What is to be attached where, and the pods for which it is."""
        found: dict[Use, list[JsonObject]] = {}
        drivers = {name: each for (_, name), each in self._known[DRIVERS].items()}
        for pod in self._known[PODS].values():
            node = pod["spec"].get("nodeName")
            if node and pod["phase"] not in FINISHED:
                for volume in self._volumes_of(pod):
                    if (use := use_of(volume, node, drivers)) is not None:
                        found.setdefault(use, []).append(pod)
        return found

    def _volumes_of(self, pod: JsonObject) -> Iterator[JsonObject]:
        for name in claims.names(pod):
            claim = self._known[CLAIMS].get((namespace_of(pod), name))
            if claim is not None and claims.bound(claim):
                volume = self._known[VOLUMES].get(("", claim["spec"]["volumeName"]))
                if volume is not None:
                    yield volume

    async def _create(self, use: Use) -> None:
        spec = {"attacher": use.driver, "nodeName": use.node, "source": {"persistentVolumeName": use.volume}}
        obj = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": use.attachment}}
        stored = await self._api.create(ATTACHMENTS, {**obj, "spec": spec})
        self._known[ATTACHMENTS]["", use.attachment] = stored

    async def _list_attached(
        self, wanted: Mapping[str, tuple[Use, Any]], attachments: Mapping[str, JsonObject]
    ) -> None:
        """Nodes' volumesAttached: before anything is detached it is not listed any more."""
        for (_, node), known in self._known[NODES].items():
            listed = [
                {"name": use.device, "devicePath": ""}
                for name, (use, _) in sorted(wanted.items())
                if use.node == node and _is_attached(attachments.get(name))
            ]
            if listed != known["attached"] and (listed or known["attached"]):
                await self._attempt(self._list(node, listed))

    async def _list(self, node: str, listed: list[JsonObject]) -> None:
        patch = {"status": {"volumesAttached": listed}}
        await self._api.patch(NODES, "", node, patch, subresource="status", patch_type="merge")
        self._known[NODES]["", node]["attached"] = listed

    def _in_use(self, attachment: JsonObject) -> bool:
        """Whether the node says so. One that is gone uses nothing, and so it is with a volume that nobody can look up."""
        spec = attachment["spec"]
        node = self._known[NODES].get(("", spec["nodeName"]))
        volume = self._known[VOLUMES].get(("", spec["source"]["persistentVolumeName"]))
        use = use_of(volume, spec["nodeName"], {}) if volume is not None else None
        return node is not None and use is not None and use.device in node["in_use"]

    async def _tell(self, use: Use, pods: Iterable[JsonObject], attachment: JsonObject) -> None:
        status = attachment.get("status") or {}
        if status.get("attached"):
            kind, reason = NORMAL, "SuccessfulAttachVolume"
            message = f'AttachVolume.Attach succeeded for volume "{use.volume}" '
        elif (told := (status.get("attachError") or {}).get("message")) is not None:
            kind, reason = WARNING, "FailedAttachVolume"
            message = f'AttachVolume.Attach failed for volume "{use.volume}" : {told}'
        else:
            return
        if self._told.get(use.attachment) != message:
            self._told[use.attachment] = message
            about = {"kind": "Pod", "component": NAME, "type_": kind, "reason": reason, "message": message}
            for pod in pods:
                await record(self._api, event(pod, **about))

    async def _attempt(self, work: Any) -> None:
        try:
            await work
        except ApiError as error:
            # changed by somebody else meanwhile: the watch brings the newer state
            if error.code not in _SETTLED:
                raise


def _kept(resource: str, obj: JsonObject) -> JsonObject | None:
    """What matters here of an object: others' changes to the rest are no reason to look at everything again. None: nothing, as
    of a pod without claims.
    """
    status = obj.get("status") or {}
    if resource == NODES:
        return {"attached": status.get("volumesAttached") or [], "in_use": status.get("volumesInUse") or []}
    if resource == PODS:
        if not claims.names(obj):
            return None
        metadata = {key: obj["metadata"].get(key) for key in ("name", "namespace", "uid")}
        spec = {key: obj["spec"].get(key) for key in ("nodeName", "volumes")}
        return {"metadata": metadata, "spec": spec, "phase": status.get("phase")}
    return obj


def _is_attached(attachment: JsonObject | None) -> bool:
    found = attachment or {}
    return bool((found.get("status") or {}).get("attached")) and not found["metadata"].get("deletionTimestamp")


def _is_ours(name: str, attachment: JsonObject) -> bool:
    """Whether it is named as those are that are made here."""
    source = attachment["spec"].get("source") or {}
    return bool(source.get("persistentVolumeName")) and name.startswith("csi-") and len(name) == 4 + 64
