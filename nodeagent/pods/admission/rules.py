"""Node-side admission: whether this node takes a pod that was given to it.

Pure predicates over the pod, the other pods of the node and a view of the node, in the order in which the first refusal
counts. What may turn a refusal (preemption, a fresh look at the Node) is done by `gate`, which asks the resource managers (CPU,
memory, devices), too. Source: docs/facts/pod-lifecycle.md 3.1, docs/facts/node-resources.md 4.4, 4.5 and 5.9.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from lightkube.models.core_v1 import Taint

from nodeagent.pods.admission.fit import Shortage, shortages
from nodeagent.pods.admission.sysctls import forbidden_sysctl
from nodeagent.pods.rules.model import StartFailure
from nodeagent.pods.rules.restart import has_restart_all_rule
from nodeagent.podspec.annotations import APPARMOR_PREFIX
from nodeagent.podspec.critical import is_critical
from nodeagent.podspec.host_ports import conflict, host_ports
from nodeagent.podspec.kept_sum import requests_together
from nodeagent.podspec.node_affinity import matches_node
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.qos import BEST_EFFORT, qos_class
from nodeagent.podspec.taints import tolerates, untolerated

OS_LABEL = "kubernetes.io/os"
MEMORY_PRESSURE = "MemoryPressure"
MEMORY_PRESSURE_TAINT = "node.kubernetes.io/memory-pressure"
NODE_AFFINITY = "NodeAffinity"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The node as admission sees it.

    `allocatable`: quantities by resource name, "pods" included. `pressures`: the pressure conditions that hold
    ("MemoryPressure", "DiskPressure", "PIDPressure"), in the order they are reported. `apparmor_error`: why AppArmor cannot be
    enforced; empty: it can. `allowed_unsafe_sysctls`: patterns. `pod_level_resources`: the feature gate. `known`:
    False while the Node object cannot be read. `together`: adds up what pods ask for.
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
    pod_level_resources: bool = True
    shutting_down: bool = False
    known: bool = True
    together: Callable[[Sequence[AgentPod]], Mapping[str, Fraction]] = field(default=requests_together, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionResult:
    """`refusal` None: the node takes the pod.

    `shortages`: all that speaks against a critical pod, for which room can be made. `stale_node`: only the node's labels
    speak against the pod, and they may have changed since the Node was read.
    """

    refusal: StartFailure | None = None
    shortages: Sequence[Shortage] = ()
    stale_node: bool = False


def admit(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    """None: the node takes the pod as things are; else the reason and message of the refusal.

    `others`: the node's active pods, with their allocated resources, without `pod`.
    """
    return evaluate(pod, others, node).refusal


def before_resources(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    """What refuses a pod before anything is given to it."""
    return _first((_pressure, _sysctls), pod, others, node)


def evaluate(pod: AgentPod, others: Sequence[AgentPod], node: NodeView, *, room_made: bool = False) -> AdmissionResult:
    """The same, with what could still turn a refusal. `room_made`: others have been ended for the pod; it fits."""
    refusal = _first(_BEFORE_FIT, pod, others, node)
    if refusal is None:
        missing = [] if room_made else shortages(pod, others, node.allocatable, node.together)
        against = [found for check in _PREDICATES if (found := check(pod, others, node)) is not None]
        if missing and is_critical(pod) and not against:
            return AdmissionResult(refusal=missing[0].failure, shortages=missing)
        if missing and not is_critical(pod):
            return AdmissionResult(refusal=missing[0].failure)
        if against:
            return AdmissionResult(refusal=against[0], stale_node=[item.reason for item in against] == [NODE_AFFINITY])
        refusal = _first(_AFTER_FIT, pod, others, node)
    return AdmissionResult(refusal=refusal)


# -- the checks, in their order ----------------------------------------------------------------------------------------


def _pressure(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    if not node.pressures or is_critical(pod):
        return None
    if list(node.pressures) == [MEMORY_PRESSURE]:
        taint = Taint(key=MEMORY_PRESSURE_TAINT, effect="NoSchedule")
        if qos_class(pod.spec, pod.status) != BEST_EFFORT or tolerates(pod.spec.tolerations or (), taint):
            return None
    message = f"The node had condition: [{' '.join(node.pressures)}]. "
    return StartFailure(reason="Evicted", message=message)


def _sysctls(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    message = forbidden_sysctl(pod, node.allowed_unsafe_sysctls, node.kernel_version)
    return None if message is None else StartFailure(reason="SysctlForbidden", message=message)


def _node_known(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    if node.known:
        return None
    return StartFailure(reason="InvalidNodeInfo", message="Kubelet cannot get node info.")


def _os(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    label = pod.labels.get(OS_LABEL)
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


def _supplemental_groups(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    context = pod.spec.securityContext
    if context is None or context.supplementalGroupsPolicy != "Strict" or node.supplemental_groups_policy:
        return None
    return StartFailure(
        reason="SupplementalGroupsPolicyNotSupported",
        message="SupplementalGroupsPolicy=Strict is not supported in this node",
    )


def _affinity(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    if matches_node(pod.spec, node.name, node.labels):
        return None
    return _predicate(NODE_AFFINITY, "node(s) didn't match Pod's node affinity/selector")


def _node_name(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    if pod.spec.nodeName in (None, "", node.name):
        return None
    return _predicate("NodeName", "node(s) didn't match the requested node name")


def _host_ports(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    wanted = host_ports(pod.spec)
    taken = [port for other in others for port in host_ports(other.spec)] if wanted else []
    if conflict(wanted, taken):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def _taints(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    if pod.is_static or untolerated(node.taints, pod.spec.tolerations or (), ("NoExecute",)) is None:
        return None
    return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")


def _apparmor(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    phase = pod.status.phase if pod.status is not None else None
    if not node.apparmor_error or phase not in (None, "", "Pending") or not _needs_apparmor(pod):
        return None
    return StartFailure(reason="AppArmor", message=f"Cannot enforce AppArmor: {node.apparmor_error}")


def _pod_level_resources(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    if node.pod_level_resources or pod.spec.resources is None:
        return None
    return StartFailure(reason="PodLevelResourcesNotSupported", message="PodLevelResources feature gate is disabled")


def _features(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    missing = sorted(_required_features(pod) - node.declared_features)
    if not missing:
        return None
    return StartFailure(
        reason="PodFeatureUnsupported",
        message=f"Pod requires node features that are not available: {', '.join(missing)}",
    )


def _shutdown(pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    if not node.shutting_down:
        return None
    return StartFailure(reason="NodeShutdown", message="Pod was rejected as the node is shutting down.")


Check = Callable[[AgentPod, Sequence[AgentPod], NodeView], StartFailure | None]

_BEFORE_FIT: tuple[Check, ...] = (_pressure, _sysctls, _node_known, _os, _supplemental_groups)
_PREDICATES: tuple[Check, ...] = (_affinity, _node_name, _host_ports, _taints)
_AFTER_FIT: tuple[Check, ...] = (_apparmor, _pod_level_resources, _features, _shutdown)


def _first(checks: Iterable[Check], pod: AgentPod, others: Sequence[AgentPod], node: NodeView) -> StartFailure | None:
    return next((found for check in checks if (found := check(pod, others, node)) is not None), None)


# -- what they ask -----------------------------------------------------------------------------------------------------


def _predicate(name: str, text: str) -> StartFailure:
    return StartFailure(reason=name, message=f"Predicate {name} failed: {text}")


def _needs_apparmor(pod: AgentPod) -> bool:
    """Whether a profile other than Unconfined is asked for, by field or by the old annotations."""
    contexts = [pod.spec.securityContext]
    contexts += [item.securityContext for item in (*pod.spec.containers, *(pod.spec.initContainers or ()))]
    profiles = [context.appArmorProfile for context in contexts if context is not None]
    if any(profile is not None and profile.type != "Unconfined" for profile in profiles):
        return True
    return any(key.startswith(APPARMOR_PREFIX) and value != "unconfined" for key, value in pod.annotations.items())


def _required_features(pod: AgentPod) -> frozenset[str]:
    """Node features that the pod cannot do without (docs/facts/pod-lifecycle.md 0.3)."""
    required: set[str] = set()
    if has_restart_all_rule(pod):
        required.add("RestartAllContainersOnContainerExits")
    if pod.spec.hostUsers is False and pod.spec.hostNetwork:
        required.add("UserNamespacesHostNetworkSupport")
    return frozenset(required)
