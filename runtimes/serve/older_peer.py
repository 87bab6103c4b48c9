"""A server that stands in for an older peer: the same runtimes, without what newer releases of containerd and CRI-O have brought.

For trying how a client makes do, where no such peer can be had. What a peer says that it cannot do, it is not asked to.
"""

import dataclasses
from collections.abc import Iterable
from enum import StrEnum

from google.protobuf.message import Message

from proto import cri_pb2 as cri
from runtimes.serve.calls import Service, Unary


class Feature(StrEnum):
    """What can be left out: methods, or words of the answer to Status."""

    RUNTIME_CONFIG = "runtime-config"
    EVENTS = "events"
    METRICS = "metrics"
    USER_NAMESPACES = "user-namespaces"
    RECURSIVE_READ_ONLY = "recursive-read-only"
    STRICT_GROUPS = "strict-groups"


_METHODS = {
    Feature.RUNTIME_CONFIG: {"RuntimeConfig"},
    Feature.EVENTS: {"GetContainerEvents"},
    Feature.METRICS: {"ListMetricDescriptors", "ListPodSandboxMetrics", "StreamPodSandboxMetrics"},
}


def older(service: Service, without: Iterable[Feature]) -> Service:
    """The service without those: their methods are UNIMPLEMENTED, Status does not list them."""
    left_out = frozenset(without)
    if not left_out:
        return service
    gone = {method for feature in left_out for method in _METHODS.get(feature, ())}
    unary = {name: verb for name, verb in service.unary.items() if name not in gone}
    if "Status" in unary:
        unary["Status"] = _status_without(unary["Status"], left_out)
    streamed = {name: verb for name, verb in service.streamed.items() if name not in gone}
    return dataclasses.replace(service, unary=unary, streamed=streamed)


def _status_without(verb: Unary, left_out: frozenset[Feature]) -> Unary:
    async def status(request: cri.StatusRequest) -> Message:
        answer = await verb(request)
        assert isinstance(answer, cri.StatusResponse)
        for handler in answer.runtime_handlers:
            handler.features.user_namespaces &= Feature.USER_NAMESPACES not in left_out
            handler.features.recursive_read_only_mounts &= Feature.RECURSIVE_READ_ONLY not in left_out
        answer.features.supplemental_groups_policy &= Feature.STRICT_GROUPS not in left_out
        return answer

    return status
