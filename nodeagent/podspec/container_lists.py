"""Walking the three container lists of a pod in its JSON form, which is what defaults and validation work on."""

from collections.abc import Iterator
from typing import Any

from nodeagent.podspec.annotations import MIRROR

Json = dict[str, Any]
LISTS = ("containers", "initContainers", "ephemeralContainers")


def containers(spec: Json, *lists: str) -> Iterator[tuple[str, Json]]:
    """(field path, container) of the lists named, all three when none is: app, init, ephemeral."""
    for name in lists or LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield f"spec.{name}[{index}]", container


def is_sidecar(container: Json) -> bool:
    """An init container that keeps running (restartPolicy Always)."""
    return bool(container.get("restartPolicy") == "Always")


def is_mirror(pod: Json) -> bool:
    return MIRROR in (pod.get("metadata", {}).get("annotations") or {})
