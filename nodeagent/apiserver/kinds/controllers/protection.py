"""Keep claims that pods use, and volumes that claims are bound to, from going away when they are deleted.

Admission gives each a finalizer; this takes it off an object that is being deleted as soon as nobody uses it any more.
"""

import logging
from collections.abc import Iterable

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of, namespace_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.scheduling import claims
from nodeagent.apiserver.kinds.storage import CLAIM_PROTECTION, VOLUME_PROTECTION
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

PODS = "pods"
CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
_FINALIZERS = {CLAIMS: CLAIM_PROTECTION, VOLUMES: VOLUME_PROTECTION}
_SETTLED = (404, 409)
Place = tuple[str, tuple[str, str]]


def is_used_by(pods: Iterable[JsonObject], claim: JsonObject) -> bool:
    """Whether one of the pods of the claim's namespace uses it: any that a node has, in whatever phase, until it is gone."""
    name = name_of(claim)
    return any(pod["spec"].get("nodeName") and name in claims.names(pod) for pod in pods)


class StorageProtection:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._ending: dict[Place, JsonObject] = {}

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._ending = {}
        async with follow(self._api, [Watch(resource=name) for name in (CLAIMS, VOLUMES, PODS)]) as feed:
            while True:
                for change in await feed.batch():
                    if change.type != "SYNCED" and change.resource != PODS:
                        await self._apply(change)
                # also after a pod has come, changed or gone
                for (resource, _), obj in list(self._ending.items()):
                    if not await self._in_use(resource, obj):
                        await self._set(resource, obj, protected=False)

    async def _apply(self, change: Change) -> None:
        place, obj = (change.resource, change.key), change.object
        protected = _FINALIZERS[change.resource] in (obj["metadata"].get("finalizers") or ())
        ending = bool(obj["metadata"].get("deletionTimestamp"))
        self._ending.pop(place, None)
        if change.type == "DELETED":
            return
        if ending and protected:
            self._ending[place] = obj
        elif not ending and not protected:
            # stored before there was a protection, or taken off by hand
            await self._set(change.resource, obj, protected=True)

    async def _in_use(self, resource: str, obj: JsonObject) -> bool:
        if resource == VOLUMES:
            return bool((obj.get("status") or {}).get("phase") == "Bound")
        return is_used_by(await self._api.list(PODS, namespace_of(obj)), obj)

    async def _set(self, resource: str, obj: JsonObject, *, protected: bool) -> None:
        meta, finalizer = obj["metadata"], _FINALIZERS[resource]
        finalizers = [name for name in meta.get("finalizers") or () if name != finalizer]
        if protected:
            finalizers.append(finalizer)
        change = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": finalizers}}
        try:
            await self._api.patch(resource, namespace_of(obj), name_of(obj), change, patch_type="merge")
        except ApiError as error:
            # changed meanwhile: the watch brings the newer state
            if error.code not in _SETTLED:
                log.warning("%s %s: finalizers not written: %s", resource, name_of(obj), error.message)
