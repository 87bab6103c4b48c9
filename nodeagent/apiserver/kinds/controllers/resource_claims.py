"""Make the ResourceClaims of pods' templates, and give back what claims have when the last of their pods is over."""

import logging

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import FINISHED, name_of, namespace_of, uid_of
from nodeagent.apiserver.kinds.controllers.ephemeral_claims import is_owned_by
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.controllers.recorder import WARNING, event, record
from nodeagent.apiserver.kinds.controllers.reservations import PROTECTION, key_of, release, set_consumers
from nodeagent.apiserver.kinds.scheduling.resource_claims import CLAIMS, uses_claims
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

NAME = "resource_claim"
PODS, TEMPLATES = "pods", "resourceclaimtemplates.resource.k8s.io"
POD_ENTRY = "resource.kubernetes.io/pod-claim-name"
RETRY_SECONDS = 1.0
_SETTLED = (403, 404, 409)  # the namespace is going away, or somebody was there before: the watch tells
Key = tuple[str, str]


def is_over(pod: JsonObject) -> bool:
    """Whether a pod has no use for claims any more; one that was deleted before it had a node never will."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in FINISHED or bool(pod["metadata"].get("deletionTimestamp") and not pod["spec"].get("nodeName"))


class ResourceClaimController:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._pods: dict[str, JsonObject] = {}  # by UID
        self._claims: dict[Key, JsonObject] = {}
        self._templates: dict[Key, JsonObject] = {}
        self._unsynced: set[str] = set()
        self._told: dict[str, set[str]] = {}  # by the pod's uid
        self._retry = False

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._pods, self._claims, self._templates = {}, {}, {}
        self._unsynced = {PODS, CLAIMS, TEMPLATES}
        async with follow(self._api, [Watch(resource=name) for name in (PODS, CLAIMS, TEMPLATES)]) as feed:
            while True:
                for change in await feed.batch(RETRY_SECONDS if self._retry else None):
                    self._apply(change)
                self._retry = False
                if not self._unsynced:
                    await self._sync()

    def _apply(self, change: Change) -> None:
        gone = change.type == "DELETED"
        if change.type == "SYNCED":
            self._unsynced.discard(change.resource)
        elif change.resource == PODS:
            uid = uid_of(change.object)
            self._pods.pop(uid, None)
            if gone:
                self._told.pop(uid, None)
            elif uses_claims(change.object):
                self._pods[uid] = change.object
        else:
            known = self._claims if change.resource == CLAIMS else self._templates
            known.pop(change.key, None)
            if not gone:
                known[change.key] = change.object

    async def _sync(self) -> None:
        for pod in list(self._pods.values()):
            if not is_over(pod) and not pod["metadata"].get("deletionTimestamp"):
                await self._make(pod)
        for claim in list(self._claims.values()):
            try:
                await self._tidy(claim)
            except ApiError as error:
                if error.code not in _SETTLED:
                    log.warning("claim %s/%s: %s", *key_of(claim), error.message)
                    self._retry = True

    async def _make(self, pod: JsonObject) -> None:
        there = {each["name"]: each for each in (pod.get("status") or {}).get("resourceClaimStatuses") or ()}
        made = []
        for entry in pod["spec"]["resourceClaims"]:
            template = entry.get("resourceClaimTemplateName")
            if template and entry["name"] not in there:
                name = await self._claim_of(pod, entry["name"], template)
                if name:
                    made.append({"name": entry["name"], "resourceClaimName": name})
        if not made:
            return
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"resourceClaimStatuses": made}}
        try:
            changed = await self._api.patch(PODS, namespace_of(pod), name_of(pod), patch, subresource="status")
        except ApiError as error:
            self._retry = error.code not in _SETTLED
            return
        self._pods[uid_of(pod)] = changed

    async def _claim_of(self, pod: JsonObject, entry: str, template: str) -> str:
        """The name of the claim, which is made unless it was made already; empty: not yet."""
        for claim in self._claims.values():
            if is_owned_by(claim, uid_of(pod)) and (claim["metadata"].get("annotations") or {}).get(POD_ENTRY) == entry:
                return name_of(claim)
        found = self._templates.get((namespace_of(pod), template))
        if found is None:
            await self._tell(pod, f'resource claim template "{template}" not found')
            return ""
        try:
            made = await self._api.create(CLAIMS, claim_from(found, pod, entry))
        except ApiError as error:
            if error.code not in _SETTLED:
                await self._tell(pod, f"create ResourceClaim for {entry}: {error.message}")
            return ""
        self._claims[key_of(made)] = made
        return name_of(made)

    async def _tidy(self, claim: JsonObject) -> None:
        status = claim.get("status") or {}
        reserved = status.get("reservedFor") or []
        left = [each for each in reserved if each.get("resource") != PODS or await self._uses(claim, each)]
        if left != reserved or (status.get("allocation") and not reserved):
            await set_consumers(self._api, claim, left)
        elif not status.get("allocation") and PROTECTION in (claim["metadata"].get("finalizers") or ()):
            if claim["metadata"].get("deletionTimestamp"):
                await release(self._api, claim)
        elif self._was_made_for_one_that_is_over(claim) and not claim["metadata"].get("deletionTimestamp"):
            await self._api.delete(CLAIMS, *key_of(claim), uid=uid_of(claim))

    async def _uses(self, claim: JsonObject, consumer: JsonObject) -> bool:
        """Asked of the API where the pod is not known: the claim may have been seen before it. Raises ApiError."""
        pod = self._pods.get(consumer["uid"])
        if pod is None:
            try:
                pod = await self._api.get(PODS, namespace_of(claim), consumer["name"])
            except ApiError as error:
                if error.code != 404:
                    raise
                return False
        return uid_of(pod) == consumer["uid"] and not is_over(pod)

    def _was_made_for_one_that_is_over(self, claim: JsonObject) -> bool:
        if POD_ENTRY not in (claim["metadata"].get("annotations") or {}):
            return False
        owners = (owner["uid"] for owner in claim["metadata"].get("ownerReferences") or () if owner.get("controller"))
        return any(uid in self._pods and is_over(self._pods[uid]) for uid in owners)

    async def _tell(self, pod: JsonObject, message: str) -> None:
        told = self._told.setdefault(uid_of(pod), set())
        if message not in told:
            told.add(message)
            about = {"kind": "Pod", "component": NAME, "type_": WARNING, "reason": "FailedResourceClaimCreation"}
            await record(self._api, event(pod, **about, message=f"PodResourceClaim: {message}"))


def claim_from(template: JsonObject, pod: JsonObject, entry: str) -> JsonObject:
    """The claim of one entry of a pod: what the template says, the pod's own, named after both."""
    given = template["spec"].get("metadata") or {}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
    metadata = {
        **{key: given[key] for key in ("labels",) if given.get(key)},
        "annotations": {**(given.get("annotations") or {}), POD_ENTRY: entry},
        "generateName": f"{name_of(pod)}-{entry}-",
        "namespace": namespace_of(pod),
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": template["spec"]["spec"],
    }
