"""What the cluster adds to a pod before it is validated (docs/facts/embedded-api.md 14).

Most of it happens to new pods only. What would make a second `apply` of the same manifest look like a change is added to updates
too: the default tolerations, and the priority that the first pass computed.
"""

import secrets

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.apiserver.kinds.pods.apparmor import apparmor_annotations
from nodeagent.apiserver.kinds.pods.mountable import limit_secrets
from nodeagent.apiserver.kinds.pods.tolerations import merge_tolerations
from nodeagent.apiserver.kinds.priorityclass import SYSTEM_CLASSES
from nodeagent.podspec.container_lists import containers, is_mirror
from runtimes.kube.canonical_quantity import canonical_map
from runtimes.kube.json_object import JsonObject

TOKEN_VOLUME_PREFIX = "kube-api-access-"
TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_LIFETIME_SECONDS = 3607
ROOT_CA_CONFIGMAP = "kube-root-ca.crt"
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LOST_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_LOST_NODE_SECONDS = 300
_OVERHEAD_WITHOUT_CLASS = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
_ZONE_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


def admit(pod: JsonObject, ctx: AdmissionContext) -> None:
    """Apply every addition in the order in which a kube-apiserver does. Raises ApiError 403."""
    service_account(pod, ctx)
    priority(pod, ctx)
    default_tolerations(pod)
    runtime_class(pod, ctx)
    apparmor_annotations(pod, ctx)
    if pod["spec"].get("nodeName"):
        zone_labels(pod, ctx, pod["spec"]["nodeName"])


def readmit(pod: JsonObject, old: JsonObject) -> None:
    """What an update of the main resource goes through, before it is compared with the stored pod."""
    keep_priority(pod["spec"], old["spec"])
    default_tolerations(pod)


def service_account(pod: JsonObject, ctx: AdmissionContext) -> None:
    """Name the service account, mount its token, take over its image pull secrets."""
    spec = pod["spec"]
    if is_mirror(pod):
        _refuse_references(pod)
        return
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = ctx.get("serviceaccounts", ctx.namespace, name)
    if account is None:
        why = f'error looking up service account {ctx.namespace}/{name}: serviceaccount "{name}" not found'
        raise ApiError.forbidden("pods", name_of(pod), why)
    limit_secrets(pod, account)
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if wanted:
        mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(item) for item in account["imagePullSecrets"]]


def mount_token(spec: JsonObject) -> None:
    """Add the projected token volume and its mounts, where a container has nothing mounted there yet."""
    volumes = spec.get("volumes") or []
    existing = next((v["name"] for v in volumes if v.get("name", "").startswith(TOKEN_VOLUME_PREFIX)), None)
    name = existing or TOKEN_VOLUME_PREFIX + random_suffix()
    needed = False
    for _, container in containers(spec, "initContainers", "containers"):
        mounts = container.get("volumeMounts") or []
        if any(mount.get("mountPath") == TOKEN_MOUNT_PATH for mount in mounts):
            continue
        mounts.append({"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT_PATH})
        container["volumeMounts"] = mounts
        needed = True
    if needed and existing is None:
        spec["volumes"] = [*volumes, token_volume(name)]


def token_volume(name: str) -> JsonObject:
    """The volume that shows a pod its token, the cluster's CA and its namespace."""
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME_SECONDS, "path": "token"}},
                {"configMap": {"name": ROOT_CA_CONFIGMAP, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
            ],
            "defaultMode": 0o644,
        },
    }


def random_suffix(length: int = 5) -> str:
    return "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(length))


def default_tolerations(pod: JsonObject) -> None:
    """Let the pod stay five minutes on a node that is lost, unless it says otherwise."""
    tolerations = pod["spec"].get("tolerations") or []
    for key in _LOST_NODE_TAINTS:
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            tolerations = [
                *tolerations,
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _LOST_NODE_SECONDS},
            ]
    pod["spec"]["tolerations"] = tolerations


def keep_priority(spec: JsonObject, old: JsonObject) -> None:
    """A manifest never carries the numbers that admission computed; an update without them keeps them."""
    for name in ("priority", "preemptionPolicy"):
        if spec.get(name) is None and old.get(name) is not None:
            spec[name] = old[name]


def priority(pod: JsonObject, ctx: AdmissionContext) -> None:
    """Resolve the priority class into a number and a preemption policy."""
    spec = pod["spec"]
    name = spec.get("priorityClassName") or ""
    value, policy = 0, "PreemptLowerPriority"
    if name:
        found = ctx.get("priorityclasses.scheduling.k8s.io", "", name)
        if found is not None:
            value, policy = int(found.get("value", 0)), found.get("preemptionPolicy") or policy
        elif name in SYSTEM_CLASSES:
            value = SYSTEM_CLASSES[name]
        else:
            raise ApiError.forbidden("pods", name_of(pod), f"no PriorityClass with name {name} was found")
    else:
        default = _global_default(ctx)
        if default is not None:
            spec["priorityClassName"] = name_of(default)
            value, policy = int(default.get("value", 0)), default.get("preemptionPolicy") or policy
    if spec.get("priority") is not None and spec["priority"] != value:
        why = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name"
        )
        raise ApiError.forbidden("pods", name_of(pod), why)
    if spec.get("preemptionPolicy") is not None and spec["preemptionPolicy"] != policy:
        why = (
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
            f"priority admission controller computed {policy} from the given PriorityClass name"
        )
        raise ApiError.forbidden("pods", name_of(pod), why)
    spec["priority"], spec["preemptionPolicy"] = value, policy


def runtime_class(pod: JsonObject, ctx: AdmissionContext) -> None:
    """Merge the runtime class's overhead and scheduling rules into the pod."""
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    if not name:
        if spec.get("overhead"):
            raise ApiError.forbidden("pods", name_of(pod), _OVERHEAD_WITHOUT_CLASS)
        return
    found = ctx.get("runtimeclasses.node.k8s.io", "", name)
    if found is None:
        # Classes are found in the informer of the node too: one that goes away later leaves its new pods Pending there.
        raise ApiError.forbidden("pods", name_of(pod), f'pod rejected: RuntimeClass "{name}" not found')
    overhead = (found.get("overhead") or {}).get("podFixed")
    if found.get("overhead") is not None:
        overhead = dict(overhead or {})
        canonical_map(overhead)
        if spec.get("overhead") and spec["overhead"] != overhead:
            why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            raise ApiError.forbidden("pods", name_of(pod), why)
        if overhead:
            spec["overhead"] = overhead
    elif spec.get("overhead"):
        raise ApiError.forbidden("pods", name_of(pod), _OVERHEAD_WITHOUT_CLASS)
    _merge_scheduling(pod, found.get("scheduling") or {})


def zone_labels(pod: JsonObject, ctx: AdmissionContext, node_name: str) -> None:
    """Copy the node's zone and region to a pod that is bound to it."""
    node = ctx.get("nodes", "", node_name)
    labels = (node or {}).get("metadata", {}).get("labels") or {}
    for key in _ZONE_LABELS:
        if key in labels:
            pod["metadata"].setdefault("labels", {})[key] = labels[key]


def _merge_scheduling(pod: JsonObject, scheduling: JsonObject) -> None:
    spec = pod["spec"]
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        own = spec.setdefault("nodeSelector", {})
        if own.setdefault(key, value) != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {own[key]}"
            )
            raise ApiError.forbidden("pods", name_of(pod), why)
    if scheduling:
        spec["tolerations"] = merge_tolerations(
            spec.get("tolerations") or [], [dict(item) for item in scheduling.get("tolerations") or ()]
        )


def _tolerates(toleration: JsonObject, key: str) -> bool:
    return toleration.get("key", "") in (key, "") and toleration.get("effect", "") in ("NoExecute", "")


def _global_default(ctx: AdmissionContext) -> JsonObject | None:
    candidates = [item for item in ctx.list("priorityclasses.scheduling.k8s.io") if item.get("globalDefault")]
    return min(candidates, key=lambda item: int(item.get("value", 0)), default=None)


def _refuse_references(pod: JsonObject) -> None:
    """A mirror pod stands for a static one, which has no API objects to refer to."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise ApiError.forbidden("pods", name_of(pod), "a mirror pod may not reference service accounts")
    sources = [volume.get("projected", {}).get("sources") or [volume] for volume in spec.get("volumes") or ()]
    if any("secret" in source for group in sources for source in group):
        raise ApiError.forbidden("pods", name_of(pod), "a mirror pod may not reference secrets")
    if any("serviceAccountToken" in source for group in sources for source in group):
        why = "a mirror pod may not use ServiceAccountToken volume projections"
        raise ApiError.forbidden("pods", name_of(pod), why)
