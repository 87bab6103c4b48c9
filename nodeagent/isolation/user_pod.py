"""A pod of a user's own as the spec that probes run in: what is taken of it, what is changed, and what cannot be had here."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.isolation.bounds import CPU_SHARE
from runtimes.kube import bounded_yaml, quantity

NOBODY = 65534
# What a private node has no objects for, or decides itself, and what would keep the probe from running to its end.
_NOT_TAKEN = (
    "containers", "initContainers", "ephemeralContainers", "volumes",
    "nodeName", "nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName", "schedulingGates",
    "priority", "priorityClassName", "preemptionPolicy", "runtimeClassName", "overhead", "resourceClaims", "readinessGates",
    "serviceAccount", "serviceAccountName", "imagePullSecrets",
    "restartPolicy", "terminationGracePeriodSeconds", "activeDeadlineSeconds",
)  # fmt: skip
_NOT_TAKEN_OF_CONTAINER = (
    "name", "image", "imagePullPolicy", "command", "args", "env", "envFrom", "ports", "volumeDevices",
    "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "restartPolicy", "restartPolicyRules",
)  # fmt: skip
_LIMITED = ("cpu", "memory", "ephemeral-storage")
_REQUESTS = {"cpu": "1m", "memory": "1Mi"}  # else a limit is a request too, which this machine may not have
_ALWAYS_CHANGED = frozenset({"containers", "volumes", "name", "image", "imagePullPolicy", "command", "args", "env"})


class PodFileError(ValueError):
    """A file that is no Pod, or one that cannot run here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPod:
    """`pod`: as it is written (a bare spec is one of a Pod). `changes`: those that make a probe's pod like it.

    `told`: how that differs from the pod, a line each.
    """

    pod: Mapping[str, Any]
    changes: Mapping[str, Any]
    told: tuple[str, ...]


def read(path: Path) -> UserPod:
    """Raises PodFileError: no Pod, one of Windows, or with volumes that do not exist on this machine or its private nodes."""
    try:
        document = bounded_yaml.read(path.read_bytes()).value
    except (OSError, ValueError, bounded_yaml.YamlError) as error:
        raise PodFileError(f"{path}: {error}") from error
    pod = document if isinstance(document, dict) and "spec" in document else {"spec": document}
    spec = pod["spec"]
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], dict):
        raise PodFileError(f"{path}: no Pod: it has no spec with containers")
    if isinstance(spec.get("os"), dict) and spec["os"].get("name") == "windows":
        raise PodFileError(f"{path}: a pod of Windows: this is Linux")
    try:
        volumes = [volume for volume in spec.get("volumes") or () if isinstance(volume, dict)]
        if missing := [f"{volume.get('name')}: {why}" for volume in volumes if (why := missing_of(volume))]:
            raise PodFileError(f"{path}: volumes that do not exist here: {'; '.join(missing)}")
        return UserPod(pod=pod, changes=_changes(spec, volumes), told=tuple(_told(spec)))
    except (OSError, TypeError, AttributeError) as error:  # a number where a list belongs, a path that is too long
        raise PodFileError(f"{path}: no Pod: {error}") from error


def missing_of(volume: Mapping[str, Any]) -> str:
    """What a volume needs that is not here; empty: nothing."""
    kinds = [kind for kind, value in volume.items() if kind != "name" and value is not None]
    for kind in kinds:
        source = volume[kind] if isinstance(volume[kind], dict) else {}
        if kind == "hostPath":
            path = str(source.get("path", ""))
            return "" if Path(path).exists() else f"hostPath {path} is not on this machine, and is not made for a look"
        if kind == "projected":
            return _missing_of_projected(source.get("sources") or ())
        if kind in ("configMap", "secret"):
            name = source.get("name") or source.get("secretName")
            return "" if source.get("optional") is True else f"{kind} {name} is not on a private node (optional: true)"
        if kind not in ("emptyDir", "downwardAPI"):
            return f"{kind} is not on a private node"
    return ""


def _missing_of_projected(sources: Iterable[Any]) -> str:
    for source in sources:
        for kind, value in source.items() if isinstance(source, dict) else ():
            optional = isinstance(value, dict) and value.get("optional") is True
            if kind not in ("serviceAccountToken", "downwardAPI") and not optional:
                return f"{kind} of a projected volume is not on a private node (optional: true)"
    return ""


def _changes(spec: Mapping[str, Any], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    first: Mapping[str, Any] = spec["containers"][0]
    container = {key: value for key, value in first.items() if key not in _NOT_TAKEN_OF_CONTAINER}
    container["env"] = [entry for entry in first.get("env") or () if _is_plain(entry)]
    limits = _limits(first)
    container["resources"] = {
        "limits": limits,
        "requests": {name: _REQUESTS[name] for name in _REQUESTS if name in limits},
    }
    if _needs_user(spec):
        container["securityContext"] = {**(container.get("securityContext") or {}), "runAsUser": NOBODY}
    pod = {key: value for key, value in spec.items() if key not in _NOT_TAKEN}
    return {**pod, "volumes": volumes, "container": container}


def _limits(container: Mapping[str, Any]) -> dict[str, Any]:
    """Those that every node has, of CPU no more than an evaluation may use; devices and huge pages are a node's own."""
    resources = container.get("resources")
    limits = resources.get("limits") if isinstance(resources, dict) else None
    found = {name: value for name, value in limits.items() if name in _LIMITED} if isinstance(limits, dict) else {}
    if "cpu" in found and _milli(found["cpu"]) > (os.cpu_count() or 1) * CPU_SHARE * 1000:
        del found["cpu"]
    return found


def _milli(value: Any) -> int:
    """0: it is no quantity, and the API says so."""
    try:
        return quantity.milli(value)
    except (quantity.InvalidQuantity, TypeError):
        return 0


def _is_plain(entry: Any) -> bool:
    """Whether a variable is here without any object: a value, or a field of the pod itself."""
    source = entry.get("valueFrom") if isinstance(entry, dict) else None
    return isinstance(entry, dict) and (source is None or "fieldRef" in source or "resourceFieldRef" in source)


def _needs_user(spec: Mapping[str, Any]) -> bool:
    """Whether the pod counts on its image for a user who is not root: the probe's names none."""
    contexts = [spec.get("securityContext") or {}, spec["containers"][0].get("securityContext") or {}]
    asked = next((each["runAsNonRoot"] for each in reversed(contexts) if each.get("runAsNonRoot") is not None), False)
    return bool(asked) and all(each.get("runAsUser") is None for each in contexts)


def _told(spec: Mapping[str, Any]) -> Iterable[str]:
    first: Mapping[str, Any] = spec["containers"][0]
    yield f"container {first.get('name')}: image, command and arguments are the probe's"
    others = [
        str(each.get("name"))
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for each in spec.get(kind) or ()
        if isinstance(each, dict) and each is not first
    ]
    if others:
        yield f"left out: containers {', '.join(others)}"
    kinds = ("initContainers", "ephemeralContainers")
    fields = [f"spec.{name}" for name in _NOT_TAKEN if name in spec and name not in (*_ALWAYS_CHANGED, *kinds)]
    fields += [
        f"spec.containers[0].{name}"
        for name in _NOT_TAKEN_OF_CONTAINER
        if name in first and name not in _ALWAYS_CHANGED
    ]
    fields += [
        f"env {each.get('name')}" for each in first.get("env") or () if isinstance(each, dict) and not _is_plain(each)
    ]
    if fields:
        yield f"left out: {', '.join(fields)}"
    resources = first.get("resources") if isinstance(first.get("resources"), dict) else {}
    if resources and resources != {"limits": _limits(first)}:
        yield "resources: its limits of CPU, memory and storage alone, as far as an evaluation may use them"
    if _needs_user(spec):
        yield f"securityContext.runAsUser: {NOBODY}, as the probe's image names no user"
