"""Node-side admission: whether this node takes a pod that was given to it.

Pure predicates over the pod, the other pods of the node and a view of the node, in the order in which the first refusal
counts. Resource managers (CPU, memory, devices) and the re-read of the Node after a failed affinity check stand around this,
not in it. Source: facts/pod-lifecycle.md 3.1, facts/node-resources.md 4.4, 4.5 and 5.9.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from lightkube.models.core_v1 import Pod, Taint, Toleration

from nodeagent.pods.model import StartFailure
from nodeagent.pods.node_affinity import matches_node
from nodeagent.pods.restart import has_restart_all_rule
from nodeagent.pods.sysctls import forbidden_sysctl
from nodeagent.resources import quantity
from nodeagent.resources.effective import BEST_EFFORT, effective_requests, is_critical, is_static, qos_class

OS_LABEL = "kubernetes.io/os"
MEMORY_PRESSURE = "MemoryPressure"
MEMORY_PRESSURE_TAINT = "node.kubernetes.io/memory-pressure"
_FIT_ORDER = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The node as admission sees it.

    `allocatable`: quantities by resource name, "pods" included. `pressures`: the pressure conditions that hold
    ("MemoryPressure", "DiskPressure", "PIDPressure"), in the order they are reported. `apparmor_error`: why AppArmor cannot be
    enforced; empty: it can. `allowed_unsafe_sysctls`: patterns. `known`: False while the Node object cannot be read.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Taint] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    pressures: Sequence[str] = ()
    os: str = "linux"
    kernel_version: tuple[int, int] = (5, 0)
    allowed_unsafe_sysctls: Sequence[str] = ()
    supplemental_groups_policy: bool = True
    apparmor_error: str = ""
    declared_features: frozenset[str] = frozenset()
    shutting_down: bool = False
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """One resource of which too little is left. Amounts are whole units; CPU in thousandths of a core."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def failure(self) -> StartFailure:
        return StartFailure(
            reason=f"OutOf{self.resource}",
            message=f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, "
            f"used: {self.used}, capacity: {self.capacity}",
        )


def admit(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    """None: the node takes the pod; else the reason and message of the refusal.

    `others`: the node's active pods, with their allocated resources, without `pod`.
    """
    for check in _CHECKS:
        refusal = check(pod, others, node)
        if refusal is not None:
            return refusal
    return None


def shortages(pod: Pod, others: Sequence[Pod], node: NodeView) -> list[Shortage]:
    """Every resource that the pod does not fit in, in the order in which they are reported.

    Resources that the node does not have at all are not asked for.
    """
    found: list[Shortage] = []
    pod_limit = quantity.value(node.allocatable.get("pods", "0"))
    if len(others) + 1 > pod_limit:
        found.append(Shortage(resource="pods", requested=1, used=len(others), capacity=pod_limit))
    wanted = {name: value for name, value in effective_requests(pod).items() if value > 0}
    in_order = [name for name in _FIT_ORDER if name in wanted]
    in_order += sorted(name for name in wanted if name not in _FIT_ORDER and name in node.allocatable)
    used = [effective_requests(other) for other in others] if in_order else []
    for name in in_order:
        taken = sum((requests.get(name, Fraction(0)) for requests in used), Fraction(0))
        capacity = quantity.parse(node.allocatable.get(name, "0"))
        if taken + wanted[name] > capacity:
            amounts = (_whole(name, value) for value in (wanted[name], taken, capacity))
            requested, in_use, available = amounts
            found.append(Shortage(resource=name, requested=requested, used=in_use, capacity=available))
    return found


def tolerates(tolerations: Sequence[Toleration], taint: Taint) -> bool:
    return any(_tolerates(toleration, taint) for toleration in tolerations)


# -- the checks, in their order ----------------------------------------------------------------------------------------


def _pressure(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    assert pod.spec is not None
    if not node.pressures or is_critical(pod):
        return None
    if list(node.pressures) == [MEMORY_PRESSURE]:
        taint = Taint(key=MEMORY_PRESSURE_TAINT, effect="NoSchedule")
        if qos_class(pod) != BEST_EFFORT or tolerates(pod.spec.tolerations or (), taint):
            return None
    message = f"The node had condition: [{' '.join(node.pressures)}]. "
    return StartFailure(reason="Evicted", message=message)


def _sysctls(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    message = forbidden_sysctl(pod, node.allowed_unsafe_sysctls, node.kernel_version)
    return None if message is None else StartFailure(reason="SysctlForbidden", message=message)


def _node_known(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    if node.known:
        return None
    return StartFailure(reason="InvalidNodeInfo", message="Kubelet cannot get node info.")


def _os(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    assert pod.metadata is not None
    assert pod.spec is not None
    label = (pod.metadata.labels or {}).get(OS_LABEL)
    if label is not None and label != node.labels.get(OS_LABEL, node.os):
        return StartFailure(
            reason="PodOSSelectorNodeLabelDoesNotMatch",
            message="Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        )
    if pod.spec.os is not None and pod.spec.os.name != node.os:
        return StartFailure(
            reason="PodOSNotSupported", message="Failed to admit pod as the OS field doesn't match node OS"
        )
    return None


def _supplemental_groups(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    assert pod.spec is not None
    context = pod.spec.securityContext
    if context is None or context.supplementalGroupsPolicy != "Strict" or node.supplemental_groups_policy:
        return None
    return StartFailure(
        reason="SupplementalGroupsPolicyNotSupported",
        message="SupplementalGroupsPolicy=Strict is not supported in this node",
    )


def _fit(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    found = shortages(pod, others, node)
    return found[0].failure if found else None


def _affinity(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    if matches_node(pod, node.name, node.labels):
        return None
    return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")


def _node_name(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    assert pod.spec is not None
    if pod.spec.nodeName in (None, "", node.name):
        return None
    return _predicate("NodeName", "node(s) didn't match the requested node name")


def _host_ports(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    wanted = _ports(pod)
    taken = [port for other in others for port in _ports(other)] if wanted else []
    if any(_clash(one, other) for one in wanted for other in taken):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def _taints(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    assert pod.spec is not None
    if is_static(pod):
        return None
    tolerations = pod.spec.tolerations or ()
    if all(taint.effect != "NoExecute" or tolerates(tolerations, taint) for taint in node.taints):
        return None
    return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")


def _apparmor(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    phase = pod.status.phase if pod.status is not None else None
    if not node.apparmor_error or phase not in (None, "", "Pending") or not _needs_apparmor(pod):
        return None
    return StartFailure(reason="AppArmor", message=f"Cannot enforce AppArmor: {node.apparmor_error}")


def _features(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    missing = sorted(_required_features(pod) - node.declared_features)
    if not missing:
        return None
    return StartFailure(
        reason="PodFeatureUnsupported",
        message=f"Pod requires node features that are not available: {', '.join(missing)}",
    )


def _shutdown(pod: Pod, others: Sequence[Pod], node: NodeView) -> StartFailure | None:
    if not node.shutting_down:
        return None
    return StartFailure(reason="NodeShutdown", message="Pod was rejected as the node is shutting down.")


_CHECKS: tuple[Callable[[Pod, Sequence[Pod], NodeView], StartFailure | None], ...] = (
    _pressure,
    _sysctls,
    _node_known,
    _os,
    _supplemental_groups,
    _fit,
    _affinity,
    _node_name,
    _host_ports,
    _taints,
    _apparmor,
    _features,
    _shutdown,
)


# -- what they ask -----------------------------------------------------------------------------------------------------


def _predicate(name: str, text: str) -> StartFailure:
    return StartFailure(reason=name, message=f"Predicate {name} failed: {text}")


def _whole(resource: str, value: Fraction) -> int:
    return math.ceil(value * 1000) if resource == "cpu" else math.ceil(value)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            # an empty key goes with Exists only, as validation has it
            return bool(toleration.key) and (toleration.value or "") == (taint.value or "")
        case _:
            return False


def _ports(pod: Pod) -> list[tuple[str, str, int]]:
    """(host IP, protocol, port) of every host port; sidecars' count, other init containers' do not."""
    assert pod.spec is not None
    sidecars = [item for item in pod.spec.initContainers or () if item.restartPolicy == "Always"]
    return [
        (port.hostIP or "0.0.0.0", port.protocol or "TCP", port.hostPort)
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports or ()
        if port.hostPort
    ]


def _clash(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    same_address = one[0] == other[0] or "0.0.0.0" in (one[0], other[0])
    return same_address and one[1:] == other[1:]


def _needs_apparmor(pod: Pod) -> bool:
    """Whether a profile other than Unconfined is asked for, by field or by the old annotations."""
    assert pod.metadata is not None
    assert pod.spec is not None
    contexts = [pod.spec.securityContext]
    contexts += [item.securityContext for item in (*pod.spec.containers, *(pod.spec.initContainers or ()))]
    profiles = [context.appArmorProfile for context in contexts if context is not None]
    if any(profile is not None and profile.type != "Unconfined" for profile in profiles):
        return True
    return any(
        key.startswith("container.apparmor.security.beta.kubernetes.io/") and value != "unconfined"
        for key, value in (pod.metadata.annotations or {}).items()
    )


def _required_features(pod: Pod) -> frozenset[str]:
    """Node features that the pod cannot do without (facts 0.3)."""
    required: set[str] = set()
    if has_restart_all_rule(pod):
        required.add("RestartAllContainersOnContainerExits")
    assert pod.spec is not None
    if pod.spec.hostUsers is False and pod.spec.hostNetwork:
        required.add("UserNamespacesHostNetworkSupport")
    return frozenset(required)
