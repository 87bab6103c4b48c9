"""Which service account tokens a node is given: for pods that run on it, for audiences that these name (NodeRestriction with
ServiceAccountNodeAudienceRestriction, docs/facts/api-client-and-server.md E)."""

from collections.abc import Callable, Iterator

from nodeagent.apiserver.auth.attributes import Attributes, Decision
from nodeagent.apiserver.auth.node import node_of
from nodeagent.apiserver.auth.roles import AUDIENCE_VERB
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.context import Context
from runtimes.kube.json_object import JsonObject


class NodeTokens:
    """`authorize`: who may have a token for an audience that no pod names."""

    def __init__(self, authorize: Callable[[Attributes], Decision]) -> None:
        self._authorize = authorize

    def check(self, request: JsonObject, ctx: Context) -> None:
        """Of a TokenRequest for the service account `ctx.name`. Who is no node passes. Raises ApiError 403."""
        node = node_of(ctx.user)
        if not node:
            return
        spec = request.get("spec") or {}
        pod = _bound_pod(node, spec.get("boundObjectRef") or {}, ctx)
        audiences = spec.get("audiences") or [""]
        if len(audiences) > 1:
            raise _refused(ctx, "node may only request 0 or 1 audiences")
        if audiences[0] not in _audiences(pod, ctx) and not self._may(audiences[0], ctx):
            why = f'audience "{audiences[0]}" not found in pod spec volume, {ctx.user.name} is not authorized to request tokens'
            raise _refused(ctx, f"{why} for this audience")

    def _may(self, audience: str, ctx: Context) -> bool:
        asked = Attributes(user=ctx.user, verb=AUDIENCE_VERB, resource=audience, namespace=ctx.namespace, name=ctx.name)
        return self._authorize(asked).allowed


def _refused(ctx: Context, why: str) -> ApiError:
    return ApiError.forbidden("serviceaccounts", ctx.name, why)


def _bound_pod(node: str, bound: JsonObject, ctx: Context) -> JsonObject:
    pod = None
    if bound.get("kind") == "Pod" and bound.get("name") and bound.get("uid"):
        pod = ctx.get("pods", ctx.namespace, bound["name"])
    spec = (pod or {}).get("spec") or {}
    if pod is None:
        why = f'node "{node}" requested token not bound to a pod'
    elif pod["metadata"]["uid"] != bound["uid"]:
        why = f'node "{node}" requested token with a bad uid of the pod'
    elif spec.get("nodeName") != node:
        why = f'node "{node}" requested token bound to a pod scheduled on a different node'
    elif spec.get("serviceAccountName") != ctx.name:
        why = f'node "{node}" requested token of a service account that the pod does not use'
    else:
        return pod
    raise _refused(ctx, why)


def _audiences(pod: JsonObject, ctx: Context) -> Iterator[str]:
    """Those that the pod's volumes are for; "" is the API's own."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if token := source.get("serviceAccountToken"):
                yield token.get("audience") or ""
        if driver := _driver(volume, pod, ctx):
            declared = ctx.get("csidrivers.storage.k8s.io", "", driver) or {}
            for wanted in (declared.get("spec") or {}).get("tokenRequests") or ():
                yield wanted.get("audience") or ""


def _driver(volume: JsonObject, pod: JsonObject, ctx: Context) -> str:
    """The CSI driver of a volume, by its claim where it has one; empty: none."""
    if inline := volume.get("csi"):
        return str(inline.get("driver") or "")
    claim_name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if volume.get("ephemeral"):
        claim_name = f"{pod['metadata']['name']}-{volume['name']}"
    if not claim_name:
        return ""
    claim = ctx.get("persistentvolumeclaims", ctx.namespace, claim_name) or {}
    found = ctx.get("persistentvolumes", "", (claim.get("spec") or {}).get("volumeName") or "") or {}
    return str(((found.get("spec") or {}).get("csi") or {}).get("driver") or "")
