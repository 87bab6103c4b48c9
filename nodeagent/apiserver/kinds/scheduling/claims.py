"""What a pod's PersistentVolumeClaims say about scheduling it."""

from nodeagent.apiserver.kinds.pods.typed_spec import volumes_with_claims
from nodeagent.podspec.references import claim_names
from runtimes.kube.json_object import JsonObject

Key = tuple[str, str]

SELECTED_NODE = "volume.kubernetes.io/selected-node"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
_WAITS = "WaitForFirstConsumer"


def names(pod: JsonObject) -> list[str]:
    """The claims a pod uses, those of its ephemeral volumes included."""
    return claim_names(pod["metadata"]["name"], volumes_with_claims(pod["spec"]))


def problem(pod: JsonObject, claims: dict[Key, JsonObject], classes: dict[str, JsonObject]) -> str:
    """Why no node can take the pod because of its claims; empty when they are no obstacle."""
    namespace = pod["metadata"].get("namespace", "")
    unbound = False
    for name in names(pod):
        claim = claims.get((namespace, name))
        if claim is None and _is_made_for(pod, name):
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if claim["metadata"].get("deletionTimestamp"):
            return f'persistentvolumeclaim "{name}" is being deleted'
        unbound = unbound or not (bound(claim) or _waits(claim, classes))
    return UNBOUND if unbound else ""


def delayed(pod: JsonObject, claims: dict[Key, JsonObject], classes: dict[str, JsonObject]) -> list[JsonObject]:
    """Claims that are bound only once a node is chosen."""
    namespace = pod["metadata"].get("namespace", "")
    found = [claims[(namespace, name)] for name in names(pod) if (namespace, name) in claims]
    return [claim for claim in found if not bound(claim) and _waits(claim, classes)]


def _is_made_for(pod: JsonObject, name: str) -> bool:
    """Whether the claim is that of an ephemeral volume of the pod."""
    volume = name.removeprefix(f"{pod['metadata']['name']}-")
    return any(each["name"] == volume and each.get("ephemeral") for each in pod["spec"].get("volumes") or ())


def bound(claim: JsonObject) -> bool:
    return bool((claim.get("status") or {}).get("phase") == "Bound" and claim["spec"].get("volumeName"))


def _waits(claim: JsonObject, classes: dict[str, JsonObject]) -> bool:
    storage_class = classes.get(claim["spec"].get("storageClassName") or "")
    return storage_class is not None and storage_class.get("volumeBindingMode") == _WAITS
