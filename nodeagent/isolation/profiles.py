"""Pod specs that probes run in: baseline, restricted, privileged, or a user's own file; and one pod's changes laid over them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.isolation import user_pod
from nodeagent.isolation.contract import PodRequest
from nodeagent.isolation.standards.judgement import Judgement, judge
from runtimes.kube import merge_patch

CONTAINER = "probe"
# less than the evaluation has itself (bounds.CPU_SHARE): cgroup v1 refuses more
_CPU = "1" if (os.cpu_count() or 1) > 1 else "800m"
LIMITS: Mapping[str, str] = {"cpu": _CPU, "memory": "512Mi", "ephemeral-storage": "256Mi"}

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "runAsGroup": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# As the Pod Security Standards call them: each the loosest container that still meets its level.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "baseline": {},
    "restricted": {"container": {"securityContext": _RESTRICTED}},
    "privileged": {"container": {"securityContext": {"privileged": True}}},
}


class ProfileError(ValueError):
    """No such profile, or a file that cannot be one; the text names the valid ones, or says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`changes`: of the probes' pods. `judgement`: by the Pod Security Standards. `told`: how they differ from a user's pod."""

    name: str
    changes: Mapping[str, Any]
    judgement: Judgement
    told: tuple[str, ...] = ()


def profile(name: str) -> Profile:
    """By its name, or the path of a Pod (or of a bare spec) in YAML. Raises ProfileError."""
    if name in PROFILES:
        pod = pod_of(PodRequest(name=CONTAINER, arguments=()), image="", profile=PROFILES[name])
        return Profile(name=name, changes=PROFILES[name], judgement=judge(pod))
    try:
        if not Path(name).is_file():
            raise ProfileError(f"{name!r} is none of {', '.join(PROFILES)}, and no file")
        return of_file(Path(name))
    except (OSError, ValueError) as error:
        raise ProfileError(str(error)) from error


def of_file(path: Path) -> Profile:
    """A Pod of a user's own, in YAML or JSON. Raises ProfileError."""
    try:
        found = user_pod.read(path)
    except user_pod.PodFileError as error:
        raise ProfileError(str(error)) from error
    return Profile(name=str(path), changes=found.changes, judgement=judge(found.pod), told=found.told)


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
