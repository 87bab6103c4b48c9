"""Make the claims of pods' ephemeral volumes. They are their pods', and go with them (`objects/garbage.py`)."""

from collections.abc import Iterator

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import FINISHED, name_of, namespace_of, uid_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.controllers.recorder import WARNING, event, record
from runtimes.kube.json_object import JsonObject

PODS = "pods"
CLAIMS = "persistentvolumeclaims"
NAME = "ephemeral_volume"
_GONE = (403, 404, 409)  # the namespace is going away, or the claim has come meanwhile
Key = tuple[str, str]


def claims_of(pod: JsonObject) -> Iterator[JsonObject]:
    """The claims that a pod's ephemeral volumes are to have; none of a pod that is over."""
    if pod["metadata"].get("deletionTimestamp") or (pod.get("status") or {}).get("phase") in FINISHED:
        return
    for volume in pod["spec"].get("volumes") or ():
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template:
            given = template.get("metadata") or {}
            owner = {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
            metadata = {
                **{key: given[key] for key in ("annotations", "labels") if given.get(key)},
                "name": f"{name_of(pod)}-{volume['name']}",
                "namespace": namespace_of(pod),
                "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
            }
            yield {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}


def is_owned_by(claim: JsonObject, pod_uid: str) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == pod_uid for owner in owners)


class EphemeralClaims:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._pods: dict[Key, JsonObject] = {}
        self._claims: dict[Key, JsonObject] = {}
        self._unsynced: set[str] = set()
        self._told: dict[str, set[str]] = {}  # by the pod's uid

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._pods, self._claims, self._unsynced = {}, {}, {PODS, CLAIMS}
        async with follow(self._api, [Watch(resource=PODS), Watch(resource=CLAIMS)]) as feed:
            while True:
                for change in await feed.batch():
                    self._apply(change)
                if not self._unsynced:
                    for pod in list(self._pods.values()):
                        await self._sync(pod)

    def _apply(self, change: Change) -> None:
        if change.type == "SYNCED":
            self._unsynced.discard(change.resource)
        elif change.resource == CLAIMS:
            self._claims.pop(change.key, None)
            if change.type != "DELETED":
                self._claims[change.key] = change.object
        else:
            self._pods.pop(change.key, None)
            if change.type == "DELETED":
                self._told.pop(uid_of(change.object), None)
            elif next(claims_of(change.object), None) is not None:
                self._pods[change.key] = change.object

    async def _sync(self, pod: JsonObject) -> None:
        for wanted in claims_of(pod):
            key = (namespace_of(wanted), name_of(wanted))
            there = self._claims.get(key)
            if there is None:
                await self._create(pod, key, wanted)
            elif not is_owned_by(there, uid_of(pod)):
                text = f'PVC "{key[0]}/{key[1]}" was not created for pod "{key[0]}/{name_of(pod)}" (pod is not owner)'
                await self._tell(pod, key[1], text)

    async def _create(self, pod: JsonObject, key: Key, wanted: JsonObject) -> None:
        try:
            self._claims[key] = await self._api.create(CLAIMS, wanted)
        except ApiError as error:
            if error.code not in _GONE:
                await self._tell(pod, key[1], f"create PVC {key[1]}: {error.message}")

    async def _tell(self, pod: JsonObject, claim: str, message: str) -> None:
        told = self._told.setdefault(uid_of(pod), set())
        if message in told:
            return
        told.add(message)
        volume = claim.removeprefix(f"{name_of(pod)}-")
        about = {"kind": "Pod", "component": NAME, "type_": WARNING, "reason": "FailedBinding"}
        await record(self._api, event(pod, **about, message=f"ephemeral volume {volume}: {message}"))
