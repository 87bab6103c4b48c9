"""Bind claims to volumes, and keep the phases of both.

A claim for which there is none is told what it waits for. Its class may name a provisioner, which is somebody else: who finds
himself named there makes a volume that names the claim (`nodeagent/provisioner`, or a driver's own).
"""

import logging
from fractions import Fraction
from typing import Any

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of, namespace_of, uid_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.controllers.recorder import event, record
from nodeagent.apiserver.kinds.controllers.waiting_claims import (
    OLD_PROVISIONER,
    PROVISIONER,
    Outlook,
    lacks_provisioner,
    outlook,
)
from nodeagent.apiserver.kinds.label_selector import matches_labels
from nodeagent.apiserver.kinds.storage import default_class
from runtimes.kube import quantity
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

VOLUMES = "persistentvolumes"
CLAIMS = "persistentvolumeclaims"
CLASSES = "storageclasses.storage.k8s.io"
NAME = "persistentvolume-controller"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
Key = tuple[str, str]


def matches(volume: JsonObject, claim: JsonObject) -> bool:
    """Whether an unclaimed (or for this claim reserved) volume satisfies a claim."""
    have, want = volume["spec"], claim["spec"]
    reserved = have.get("claimRef")
    if reserved and not is_for(reserved, claim):
        return False
    if (have.get("storageClassName") or "") != (want.get("storageClassName") or ""):
        return False
    if (have.get("volumeAttributesClassName") or "") != (want.get("volumeAttributesClassName") or ""):
        return False
    if have.get("volumeMode", "Filesystem") != want.get("volumeMode", "Filesystem"):
        return False
    if not set(want.get("accessModes") or ()) <= set(have.get("accessModes") or ()):
        return False
    selector = want.get("selector")
    if selector and not matches_labels(selector, volume["metadata"].get("labels") or {}):
        return False
    return size(have.get("capacity")) >= size((want.get("resources") or {}).get("requests"))


def best(volumes: list[JsonObject], claim: JsonObject) -> JsonObject | None:
    """The volume for a claim: the one it names, one reserved for it, else the smallest that is large enough."""
    named = claim["spec"].get("volumeName")
    if named:
        volume = next((item for item in volumes if name_of(item) == named), None)
        reserved = (volume or {}).get("spec", {}).get("claimRef")
        return volume if volume is not None and (not reserved or is_for(reserved, claim)) else None
    free = [item for item in volumes if (_free(item) or _holds(item, claim)) and matches(item, claim)]
    reserved_first = sorted(
        free, key=lambda item: ("claimRef" not in item["spec"], size(item["spec"].get("capacity")), name_of(item))
    )
    return reserved_first[0] if reserved_first else None


def is_for(reference: JsonObject, claim: JsonObject) -> bool:
    """Whether a claimRef means this claim; one without uid reserves the volume by name."""
    same_name = reference.get("name") == name_of(claim) and reference.get("namespace") == namespace_of(claim)
    return same_name and reference.get("uid", uid_of(claim)) in ("", uid_of(claim))


def wanted_phase(volume: JsonObject, claims: dict[Key, JsonObject]) -> str:
    """Available, Bound or Released, from the claim that the volume is for."""
    reference = volume["spec"].get("claimRef")
    if not reference or not reference.get("uid"):
        return "Available"
    claim = claims.get((reference.get("namespace", ""), reference.get("name", "")))
    return "Bound" if claim is not None and is_for(reference, claim) else "Released"


def size(resources: JsonObject | None) -> Fraction:
    return quantity.parse((resources or {}).get("storage") or "0")


class VolumeBinder:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._volumes: dict[str, JsonObject] = {}
        self._claims: dict[Key, JsonObject] = {}
        self._classes: dict[str, JsonObject] = {}
        self._unsynced: set[str] = set()
        self._told: dict[str, Outlook] = {}  # by the claim's uid

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._volumes, self._claims, self._classes = {}, {}, {}
        self._unsynced = {VOLUMES, CLAIMS, CLASSES}
        async with follow(self._api, [Watch(resource=name) for name in sorted(self._unsynced)]) as feed:
            while True:
                for change in await feed.batch():
                    self._apply(change)
                if not self._unsynced:
                    await self._sync()

    def _apply(self, change: Change) -> None:
        if change.type == "SYNCED":
            self._unsynced.discard(change.resource)
            return
        by_name = {VOLUMES: self._volumes, CLASSES: self._classes}
        known: dict[Any, JsonObject] = by_name.get(change.resource, self._claims)
        key = change.key if change.resource == CLAIMS else change.key[1]
        if change.type == "DELETED":
            known.pop(key, None)
            self._told.pop(uid_of(change.object), None)
        else:
            known[key] = change.object

    async def _sync(self) -> None:
        """One pass over what is not yet as it should be; the answers of the API are the new state."""
        for key, claim in list(self._claims.items()):
            if (claim.get("status") or {}).get("phase") == "Bound" or claim["metadata"].get("deletionTimestamp"):
                continue
            volume = best(list(self._volumes.values()), claim)
            if volume is not None:
                await self._attempt(self._bind(key, claim, volume))
            else:
                await self._attempt(self._wait(key, claim))
        for volume in list(self._volumes.values()):
            phase = wanted_phase(volume, self._claims)
            if (volume.get("status") or {}).get("phase") != phase:
                await self._attempt(self._set_phase(volume, phase))

    async def _attempt(self, work: Any) -> None:
        try:
            await work
        except ApiError as error:
            # Changed by somebody else meanwhile: the watch brings the newer state and with it another pass.
            if error.code not in (404, 409):
                raise

    async def _wait(self, key: Key, claim: JsonObject) -> None:
        """No volume satisfies the claim: say so once, give it the default class that there is by now, name who is to make one."""
        default = default_class(self._classes.values())
        if claim["spec"].get("storageClassName") is None and not claim["spec"].get("volumeName") and default:
            patch: JsonObject = {"metadata": {"uid": uid_of(claim)}, "spec": {"storageClassName": default}}
            claim = self._claims[key] = await self._api.patch(CLAIMS, *key, patch)
        found = outlook(claim, self._classes)
        if found is None:
            return
        if found.provisioner and lacks_provisioner(claim, found.provisioner):
            names = {PROVISIONER: found.provisioner, OLD_PROVISIONER: found.provisioner}
            patch = {"metadata": {"uid": uid_of(claim), "annotations": names}}
            claim = self._claims[key] = await self._api.patch(CLAIMS, *key, patch)
        if self._told.get(uid_of(claim)) != found:
            self._told[uid_of(claim)] = found
            about = {"kind": "PersistentVolumeClaim", "component": NAME, "type_": found.type}
            await record(self._api, event(claim, **about, reason=found.reason, message=found.message))

    async def _bind(self, key: Key, claim: JsonObject, volume: JsonObject) -> None:
        """Volume first, then claim: a crash in between is finished by the next pass, for the volume names its claim."""
        name = name_of(volume)
        reference = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": namespace_of(claim),
            "name": name_of(claim),
            "uid": uid_of(claim),
        }
        if not _holds(volume, claim):
            metadata: JsonObject = {"resourceVersion": volume["metadata"].get("resourceVersion")}
            if not volume["spec"].get("claimRef"):  # else somebody has reserved it
                metadata["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
            patch = {"metadata": metadata, "spec": {"claimRef": reference}}
            volume = self._volumes[name] = await self._api.patch(VOLUMES, "", name, patch)
        await self._set_phase(volume, "Bound")
        await self._finish_claim(key, claim, volume)

    async def _finish_claim(self, key: Key, claim: JsonObject, volume: JsonObject) -> None:
        namespace, name = key
        annotations = {BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            annotations[BOUND_BY_CONTROLLER] = "yes"
        # by its uid: another of its name may have come meanwhile
        metadata: JsonObject = {"uid": uid_of(claim), "annotations": annotations}
        patch: JsonObject = {"metadata": metadata, "spec": {"volumeName": name_of(volume)}}
        await self._api.patch(CLAIMS, namespace, name, patch)
        status = {
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes") or [],
            "capacity": volume["spec"].get("capacity") or {},
        }
        if volume["spec"].get("volumeAttributesClassName"):
            status["currentVolumeAttributesClassName"] = volume["spec"]["volumeAttributesClassName"]
        patch = {"metadata": {"uid": uid_of(claim)}, "status": status}
        self._claims[key] = await self._api.patch(CLAIMS, namespace, name, patch, subresource="status")

    async def _set_phase(self, volume: JsonObject, phase: str) -> None:
        name = name_of(volume)
        patch = {"status": {"phase": phase}}
        self._volumes[name] = await self._api.patch(VOLUMES, "", name, patch, subresource="status")


def _holds(volume: JsonObject, claim: JsonObject) -> bool:
    """Whether it is this claim's already, as far as the volume goes: what is left is to tell the claim."""
    reference = volume["spec"].get("claimRef") or {}
    return reference.get("uid") == uid_of(claim) and not volume["metadata"].get("deletionTimestamp")


def _free(volume: JsonObject) -> bool:
    phase = (volume.get("status") or {}).get("phase")
    return phase in ("Available", "Pending", None) and not volume["metadata"].get("deletionTimestamp")
