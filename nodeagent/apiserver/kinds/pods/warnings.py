"""What kubectl tells about a new pod that is valid, but perhaps not what its author means.

Updates are silent. A negative terminationGracePeriodSeconds is too: a pod is stored with 1 before anybody looks.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nodeagent.apiserver.kinds import deprecated
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.apiserver.kinds.pods.projections import overlapping_paths
from nodeagent.podspec.container_lists import containers
from runtimes.kube import names
from runtimes.kube.json_object import JsonObject

# of one sort: what is in a response is a few kilobytes, and pairs of things may be as many as their number squared
MAX_PAIRS = 1000
_ORDER = ("initContainers", "containers", "ephemeralContainers")
_BYTES = ("memory", "ephemeral-storage")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_MATCHES_NONE = "a null labelSelector results in matching no pod"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP_TEXT = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}


def pod_warnings(pod: JsonObject) -> list[str]:
    """In the order in which a kube-apiserver gives them."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations") or {}
    found = _name(name_of(pod)) + deprecated.node_labels("spec.nodeSelector", spec.get("nodeSelector") or {})
    found += _node_affinity(spec) + _spreading(spec)
    found += [f"metadata.annotations[{key}]: {text}" for key, text in _ANNOTATIONS.items() if key in annotations]
    found += _volumes(spec.get("volumes") or [])
    found += itertools.islice(overlapping_paths(spec.get("volumes") or []), MAX_PAIRS)
    found += _repeated("spec.hostAliases", "ip", spec.get("hostAliases") or [])
    found += _repeated("spec.imagePullSecrets", "name", spec.get("imagePullSecrets") or [])
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if not reference.get("name"):
            found.append(f'spec.imagePullSecrets[{index}].name: invalid empty name ""')
    for name in _BYTES:
        found += deprecated.fractional("spec.overhead", name, spec.get("overhead"))
    if _SECCOMP_POD in annotations and not (spec.get("securityContext") or {}).get("seccompProfile"):
        found.append(f"metadata.annotations[{_SECCOMP_POD}]: {_SECCOMP_TEXT}")
    for path, container in containers(spec, *_ORDER):
        found += _container(path, container, annotations)
    return [*found, *itertools.islice(_ports(spec), MAX_PAIRS), *_pod_affinity(spec)]


def _name(name: str) -> list[str]:
    wrong = names.dns1123_label(name)
    if not wrong:
        return []
    text = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
    return [f"metadata.name: {text}: [{' '.join(wrong)}]"]


def _node_affinity(spec: JsonObject) -> list[str]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    path = "spec.affinity.nodeAffinity"
    found: list[str] = []
    for index, term in enumerate((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        found += deprecated.node_selector_term(f"{path}.{_REQUIRED}.nodeSelectorTerms[{index}]", term)
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}].preference"
        found += deprecated.node_selector_term(where, weighted.get("preference") or {}, values=True)
    return found


def _spreading(spec: JsonObject) -> list[str]:
    found: list[str] = []
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        path, key = f"spec.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        if deprecated.node_label(key):
            found.append(f"{path}.topologyKey: {key} is {deprecated.node_label(key)}")
        if constraint.get("labelSelector") is None:
            found.append(f"{path}.labelSelector: {_MATCHES_NONE}")
    return found


def _pod_affinity(spec: JsonObject) -> list[str]:
    found: list[str] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity, path = (spec.get("affinity") or {}).get(kind) or {}, f"spec.affinity.{kind}"
        for index, term in enumerate(affinity.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                found.append(f"{path}.{_REQUIRED}[{index}].labelSelector: {_MATCHES_NONE}")
        for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                found.append(f"{path}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_MATCHES_NONE}")
    return found


def _volumes(volumes: list[JsonObject]) -> list[str]:
    found: list[str] = []
    for index, volume in enumerate(volumes):
        path = f"spec.volumes[{index}]"
        found += deprecated.volume_plugins(path, volume)
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template is not None:
            where = f"{path}.ephemeral.volumeClaimTemplate.spec"
            found += deprecated.claim_spec(where, template.get("spec") or {})
    return found


def _repeated(path: str, key: str, items: list[JsonObject]) -> list[str]:
    """Elements of a list that an apply would merge into one."""
    found: list[str] = []
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(key) or ""
        if value in seen:
            found.append(f'{path}[{index}].{key}: duplicate {key} "{value}"')
        seen.add(value)
    return found


def _container(path: str, container: JsonObject, annotations: JsonObject) -> list[str]:
    found: list[str] = []
    key = f"{_SECCOMP_CONTAINER}{container.get('name')}"
    if key in annotations and not (container.get("securityContext") or {}).get("seccompProfile"):
        found.append(f"metadata.annotations[{key}]: {_SECCOMP_TEXT}")
    resources = container.get("resources") or {}
    for name in _BYTES:
        for which in ("limits", "requests"):
            found += deprecated.fractional(f"{path}.resources.{which}", name, resources.get(which))
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        builds_on_it = variable.get("valueFrom") is None and reference in value and value != reference
        if name in seen and not builds_on_it:
            why = f'hides previous definition of "{name}", which may be dropped when using apply'
            found.append(f"{path}.env[{index}]: {why}")
        seen.add(name)
    return found


@dataclass(slots=True)
class _Ports:
    """Container ports of one number and protocol so far, by what may clash with the next one; by their places in the pod."""

    every: list[int] = field(default_factory=list)
    container_only: list[int] = field(default_factory=list)
    of_host: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    somewhere: dict[int, list[int]] = field(default_factory=dict)  # host ports on one address

    def clashing(self, address: str, host_port: int) -> list[int]:
        if not host_port:
            return self.every
        others = self.somewhere.get(host_port, []) if not address else self.of_host.get(("", host_port), [])
        return sorted([*self.container_only, *self.of_host.get((address, host_port), []), *others])

    def add(self, place: int, address: str, host_port: int) -> None:
        self.every.append(place)
        if not host_port:
            self.container_only.append(place)
            return
        self.of_host.setdefault((address, host_port), []).append(place)
        if address:
            self.somewhere.setdefault(host_port, []).append(place)


def _ports(spec: JsonObject) -> Iterator[str]:
    """Ports that are said twice, in one container or in several."""
    listed: list[tuple[str, str, int]] = []
    known: dict[tuple[Any, Any], _Ports] = {}
    for path, container in containers(spec, *_ORDER):
        for index, port in enumerate(container.get("ports") or ()):
            where, address, host_port = f"{path}.ports[{index}]", port.get("hostIP") or "", port.get("hostPort") or 0
            if address and not host_port:
                yield f"{where}: hostIP set without hostPort: {_shown(port)}"
            others = known.setdefault((port.get("containerPort"), port.get("protocol")), _Ports())
            for place in others.clashing(address, host_port):
                there, its_address, its_port = listed[place]
                yield f"{where}: {_clash((address, host_port), (its_address, its_port))} port definition with {there}"
            others.add(len(listed), address, host_port)
            listed.append((where, address, host_port))


def _clash(one: tuple[str, int], other: tuple[str, int]) -> str:
    if one == other:
        return "duplicate"
    return "dangerously ambiguous" if one[1] and other[1] else "overlapping"


def _shown(port: JsonObject) -> str:
    """As Go prints a ContainerPort with its field names."""
    return (
        f"{{Name:{port.get('name') or ''} HostPort:{port.get('hostPort') or 0} ContainerPort:{port.get('containerPort') or 0} "
        f"Protocol:{port.get('protocol') or ''} HostIP:{port.get('hostIP') or ''}}}"
    )
