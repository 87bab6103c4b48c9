"""Walking the three container lists of a pod in its JSON form, which is what defaults and validation work on."""

from collections.abc import Iterator

from nodeagent.podspec.annotations import MIRROR
from runtimes.kube.json_object import JsonObject

LISTS = ("containers", "initContainers", "ephemeralContainers")


def containers(spec: JsonObject, *lists: str) -> Iterator[tuple[str, JsonObject]]:
    """(field path, container) of the lists named, all three when none is: app, init, ephemeral."""
    for name in lists or LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield f"spec.{name}[{index}]", container


def is_sidecar(container: JsonObject) -> bool:
    """An init container that keeps running (restartPolicy Always)."""
    return bool(container.get("restartPolicy") == "Always")


def is_mirror(pod: JsonObject) -> bool:
    return MIRROR in (pod.get("metadata", {}).get("annotations") or {})
