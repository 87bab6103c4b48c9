"""The events of a resize: reason and message, with the pod's resources as JSON. Source: docs/facts/pod-lifecycle.md 4.7."""

from collections.abc import Iterable

import msgspec
from lightkube.models.core_v1 import Container, ResourceRequirements

from nodeagent.podspec.pod import AgentPod

STARTED = "ResizeStarted"
COMPLETED = "ResizeCompleted"
DEFERRED = "ResizeDeferred"
INFEASIBLE = "ResizeInfeasible"
ERROR = "ResizeError"


class _Resources(msgspec.Struct, omit_defaults=True):
    limits: dict[str, str] | None = None
    requests: dict[str, str] | None = None


class _Container(msgspec.Struct):
    name: str
    resources: _Resources


class _Summary(msgspec.Struct, omit_defaults=True, rename="camel"):
    init_containers: list[_Container] = []
    containers: list[_Container] = []
    generation: int = 0
    error: str = ""


def started(pod: AgentPod, generation: int) -> str:
    return f"Pod resize started: {summary(pod, generation)}"


def completed(pod: AgentPod, generation: int) -> str:
    return f"Pod resize completed: {summary(pod, generation)}"


def pending(pod: AgentPod, generation: int, reason: str, error: str) -> str:
    """`reason`: the refusing check's own (OutOfcpu), or Infeasible."""
    return f"Pod resize {reason}: {summary(pod, generation, error)}"


def failed(pod: AgentPod, generation: int, error: str) -> str:
    return f"Pod resize error: {summary(pod, generation, error)}"


def summary(pod: AgentPod, generation: int, error: str = "") -> str:
    made = _Summary(
        init_containers=_containers(pod.spec.initContainers or ()),
        containers=_containers(pod.spec.containers),
        generation=generation,
        error=error,
    )
    return msgspec.json.encode(made).decode()


def _containers(containers: Iterable[Container]) -> list[_Container]:
    return [_Container(item.name, _resources(item.resources)) for item in containers]


def _resources(given: ResourceRequirements | None) -> _Resources:
    if given is None:
        return _Resources()
    return _Resources(limits=_sorted(given.limits), requests=_sorted(given.requests))


def _sorted(values: dict[str, str] | None) -> dict[str, str] | None:
    return dict(sorted(values.items())) if values else None
