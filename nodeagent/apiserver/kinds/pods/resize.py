"""The `resize` subresource of pods, while they run: CPU and memory of containers and of the pod, sizes of volumes in memory.

Source: docs/facts/pod-lifecycle.md 0.3 and 4.7, docs/facts/embedded-api.md 11.
"""

import copy
import math

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.pods.typed_spec import resources_spec
from nodeagent.podspec.container_lists import containers, is_mirror, is_sidecar
from nodeagent.podspec.effective import effective_requests, parsed
from nodeagent.podspec.qos import qos_class
from nodeagent.podspec.validation.pod import validate_pod
from runtimes.kube.field_errors import FieldError, forbidden, invalid
from runtimes.kube.json_object import JsonObject

RESIZABLE = ("cpu", "memory")
POD_LEVEL_FEATURE = "InPlacePodLevelResourcesVerticalScaling"
INIT_FEATURE = "InPlacePodVerticalScalingInitContainers"
VOLUMES_FEATURE = "InPlacePodVerticalScalingMemoryBackedVolumes"
REORDERED = "containers may not be renamed or reordered on resize"
_LISTS = ("containers", "initContainers")


def keep_resources(new: JsonObject, old: JsonObject) -> None:
    """Undo, in place, whatever the request changed besides resources, resize policies and size limits of volumes in memory."""
    asked = new.get("spec", {})
    new["spec"] = copy.deepcopy(old["spec"])
    for name in _LISTS:
        wanted = {item.get("name"): item for item in asked.get(name) or ()}
        for container in new["spec"].get(name) or ():
            _take(container, wanted.get(container.get("name")))
    if "resources" in asked:
        new["spec"]["resources"] = asked["resources"]
    volumes = {item.get("name"): item for item in asked.get("volumes") or ()}
    for volume in new["spec"].get("volumes") or ():
        _take_size(volume, volumes.get(volume.get("name")))


def reordered(new: JsonObject, old: JsonObject) -> bool:
    """Whether the request names other containers, or in another order, than the pod has. Before `keep_resources`."""
    return any(
        [item.get("name") for item in new.get("spec", {}).get(name) or ()]
        != [item.get("name") for item in old["spec"].get(name) or ()]
        for name in _LISTS
    )


def check_node(new: JsonObject, old: JsonObject, ctx: AdmissionContext) -> None:
    """Refuse what the pod's node can never do. Raises ApiError (403)."""
    node_name = old["spec"].get("nodeName")
    node = ctx.get("nodes", "", node_name) if node_name else None
    if node is None or new["spec"] == old["spec"]:
        return
    status = node.get("status") or {}
    missing = [name for name in _needed(new, old) if name not in (status.get("declaredFeatures") or ())]
    if missing:
        why = f'pod update requires features {", ".join(missing)} which are not available on node "{node_name}"'
        raise ApiError.forbidden("pods", ctx.name, why)
    capacity = parsed(status.get("allocatable") or status.get("capacity"))
    before, after = (effective_requests(resources_spec(pod["spec"])) for pod in (old, new))
    for name in RESIZABLE:
        if name in capacity and after.get(name, 0) > max(capacity[name], before.get(name, 0)):
            scale = 1000 if name == "cpu" else 1
            asked, there = math.ceil(after[name] * scale), math.ceil(capacity[name] * scale)
            why = f"Node didn't have enough allocatable resources: {name}, requested: {asked}, allocatable: {there}"
            raise ApiError.forbidden("pods", ctx.name, why)


def validate_resize(new: JsonObject, old: JsonObject) -> list[FieldError]:
    if is_mirror(old):
        return [forbidden("", "static pods cannot be resized")]
    if (old["spec"].get("os") or {}).get("name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    errors = validate_pod(new)
    if not _node_can_resize(old):
        errors.append(forbidden("spec", "Pod running on node without support for resize"))
    stored = old.get("status", {}).get("qosClass") or qos_class(resources_spec(old["spec"]))
    if (resized := qos_class(resources_spec(new["spec"]))) != stored:
        errors.append(invalid("spec", resized, "Pod QOS Class may not change as a result of resizing"))
    errors += _resized("spec.resources", new["spec"], old["spec"])
    for (path, own), (_, before) in zip(
        containers(new["spec"], *_LISTS), containers(old["spec"], *_LISTS), strict=True
    ):
        errors += _resized(f"{path}.resources", own, before)
    return errors


def _take(container: JsonObject, change: JsonObject | None) -> None:
    if change is None:
        return
    container["resources"] = change.get("resources") or {}
    if change.get("resizePolicy"):
        container["resizePolicy"] = change["resizePolicy"]


def _take_size(volume: JsonObject, change: JsonObject | None) -> None:
    """A limit can be changed; none can be added or taken away."""
    own, wanted = volume.get("emptyDir") or {}, (change or {}).get("emptyDir") or {}
    if own.get("medium") == "Memory" and "sizeLimit" in own and "sizeLimit" in wanted:
        own["sizeLimit"] = wanted["sizeLimit"]


def _node_can_resize(pod: JsonObject) -> bool:
    """A node that resizes says what its running containers have."""
    running = [
        item
        for item in (pod.get("status") or {}).get("containerStatuses") or ()
        if "running" in (item.get("state") or {})
    ]
    return not running or running[0].get("resources") is not None


def _resized(path: str, own: JsonObject, before: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    new, old = own.get("resources") or {}, before.get("resources") or {}
    for which in ("limits", "requests"):
        now, stored = new.get(which) or {}, old.get(which) or {}
        for name in sorted({*now, *stored}):
            if name not in now:
                errors.append(forbidden(f"{path}.{which}", f"resource {which} cannot be removed"))
            elif name not in RESIZABLE and now[name] != stored.get(name):
                errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    if new.get("claims") != old.get("claims"):
        errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return errors


def _needed(new: JsonObject, old: JsonObject) -> list[str]:
    """What the node must have declared for this change, sorted."""
    needed: list[str] = []
    if new["spec"].get("resources") != old["spec"].get("resources"):
        needed.append(POD_LEVEL_FEATURE)
    changed = (
        own
        for (_, own), (_, before) in zip(
            containers(new["spec"], "initContainers"), containers(old["spec"], "initContainers"), strict=True
        )
        if own.get("resources") != before.get("resources")
    )
    if any(not is_sidecar(container) for container in changed):
        needed.append(INIT_FEATURE)
    if new["spec"].get("volumes") != old["spec"].get("volumes"):
        needed.append(VOLUMES_FEATURE)
    return needed
