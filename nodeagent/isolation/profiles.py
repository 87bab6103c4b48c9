"""Pod specs that probes run in: baseline, restricted, privileged, or a user's own file; and one pod's changes laid over them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodeagent.isolation.contract import PodRequest
from runtimes.kube import bounded_yaml, merge_patch

CONTAINER = "probe"
LIMITS: Mapping[str, str] = {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "256Mi"}

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "runAsGroup": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# As the Pod Security Standards call them: the least that each of them asks for.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "baseline": {},
    "restricted": {"container": {"securityContext": _RESTRICTED}},
    "privileged": {"container": {"securityContext": {"privileged": True}}},
}
# Of a user's own spec: what a private node has no objects for, and what would keep the probe from running to its end.
_NOT_TAKEN = (
    "containers",
    "initContainers",
    "ephemeralContainers",
    "nodeName",
    "nodeSelector",
    "affinity",
    "imagePullSecrets",
)
_NOT_TAKEN_OF_CONTAINER = (
    "name",
    "image",
    "command",
    "args",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)
_VOLUMES_THAT_WORK = frozenset({"name", "emptyDir", "hostPath", "downwardAPI", "projected"})


class ProfileError(ValueError):
    """No such profile, or a file that is none; the text names the valid ones."""


def profile(name: str) -> Mapping[str, Any]:
    """The changes of a profile, by its name or the path of a Pod (or of a bare spec) in YAML. Raises ProfileError."""
    if name in PROFILES:
        return PROFILES[name]
    try:
        if not Path(name).is_file():
            raise ProfileError(f"{name!r} is none of {', '.join(PROFILES)}, and no file")
        document = bounded_yaml.read(Path(name).read_bytes()).value
    except ProfileError:
        raise
    except (OSError, ValueError, bounded_yaml.YamlError) as error:
        raise ProfileError(f"{name}: {error}") from error
    spec = document.get("spec", document) if isinstance(document, dict) else None
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if (
        not isinstance(spec, dict)
        or not isinstance(containers, list)
        or not containers
        or not isinstance(containers[0], dict)
    ):
        raise ProfileError(f"{name}: no Pod: it has no spec with containers")
    return of_spec(spec)


def of_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that make a probe's pod like this one: its first container, without what is its program's.

    Volumes that need other objects (a Secret, a claim) become empty directories.
    """
    volumes = [
        volume if volume.keys() <= _VOLUMES_THAT_WORK else {"name": volume.get("name"), "emptyDir": {}}
        for volume in spec.get("volumes") or ()
    ]
    container = {key: value for key, value in spec["containers"][0].items() if key not in _NOT_TAKEN_OF_CONTAINER}
    environment = [entry for entry in container.pop("env", None) or () if "value" in entry]
    container.pop("envFrom", None)
    pod = {key: value for key, value in spec.items() if key not in (*_NOT_TAKEN, "volumes")}
    return {**pod, "volumes": volumes, "container": {**container, "env": environment}}


def pod_of(request: PodRequest, *, image: str, profile: Mapping[str, Any]) -> dict[str, Any]:
    """The whole Pod."""
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": dict(request.limits or LIMITS)},
    }
    spec: dict[str, Any] = {}
    for changes in (profile, request.changes):
        spec = merge_patch.apply(spec, {key: value for key, value in changes.items() if key != "container"})
        container = merge_patch.apply(container, changes.get("container", {}))
    container["args"] = list(request.arguments)
    spec |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    metadata = {"name": request.name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
