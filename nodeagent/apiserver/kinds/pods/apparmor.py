"""AppArmor profiles that a new pod asks for in the annotations of older days, carried over into its fields."""

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.podspec.annotations import APPARMOR_PREFIX
from nodeagent.podspec.container_lists import containers
from runtimes.kube.json_object import JsonObject

_LOCALHOST = "localhost/"
_LOCALHOST_MAX = 4095
_NAMED = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}


def apparmor_annotations(pod: JsonObject, ctx: AdmissionContext) -> None:
    """Set `securityContext.appArmorProfile` of the containers that only have an annotation, and warn about it.

    An annotation that says nothing a field could say is warned about and stays; one that repeats the pod's own profile is
    neither copied nor warned about.
    """
    annotations = pod["metadata"].get("annotations") or {}
    spec = pod["spec"]
    if (spec.get("os") or {}).get("name") == "windows":
        return
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for _, container in containers(spec):
        key = f"{APPARMOR_PREFIX}{container.get('name')}"
        if key not in annotations or (container.get("securityContext") or {}).get("appArmorProfile") is not None:
            continue
        profile = profile_of(annotations[key])
        if profile is not None and profile == of_pod:
            continue
        if profile is not None:
            container["securityContext"] = {**(container.get("securityContext") or {}), "appArmorProfile": profile}
        ctx.warn(f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead')


def profile_of(annotation: str) -> JsonObject | None:
    """The field that means the same as the value of an annotation."""
    if annotation in _NAMED:
        return {"type": _NAMED[annotation]}
    name = annotation.removeprefix(_LOCALHOST)
    if name == annotation or not name or name != name.strip() or len(name) > _LOCALHOST_MAX:
        return None
    return {"type": "Localhost", "localhostProfile": name}
