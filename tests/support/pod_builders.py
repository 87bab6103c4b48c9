"""Pods of a few words, as JSON objects and typed."""

import copy
from typing import Any

import msgspec
from agent_pods import agent_pod
from lightkube.models.core_v1 import PodSpec

from nodeagent.podspec.pod import AgentPod


def pod_body(name: str = "p", **spec: Any) -> Any:
    """The smallest pod that validates, as an author writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "busybox:1"}], **copy.deepcopy(spec)},
    }


def resources(requests: Any = None, limits: Any = None) -> dict[str, Any]:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


def sidecar(requests: Any = None, limits: Any = None) -> dict[str, Any]:
    return {**resources(requests, limits), "restartPolicy": "Always"}


def pod(*containers: dict[str, Any], init: Any = (), meta: Any = None, **spec: Any) -> AgentPod:
    """Containers c0, c1, … and init containers i0, i1, … with what is said of them."""
    return agent_pod({"metadata": {"name": "p", **(meta or {})}, "spec": _spec(containers, init, spec)})


def pod_spec(*containers: dict[str, Any], init: Any = (), **spec: Any) -> PodSpec:
    """The same, the spec alone."""
    return msgspec.convert(_spec(containers, init, spec), PodSpec)


def _spec(containers: Any, init: Any, spec: dict[str, Any]) -> dict[str, Any]:
    return {"containers": _named("c", containers), "initContainers": _named("i", init), **spec}


def _named(prefix: str, items: Any) -> list[dict[str, Any]]:
    return [{"name": f"{prefix}{index}", **item} for index, item in enumerate(items)]
