"""Node selectors: whether a node's labels are what a pod asks for.

Source: the NodeSelector of the Kubernetes API. Terms are alternatives, requirements within a term all have to hold.
"""

from collections.abc import Mapping

from lightkube.models.core_v1 import NodeSelectorRequirement, NodeSelectorTerm

from nodeagent.podspec.pod import AgentPod


def matches_node(pod: AgentPod, node_name: str, labels: Mapping[str, str]) -> bool:
    """Whether nodeSelector and the required node affinity of the pod hold."""
    if any(labels.get(key) != value for key, value in (pod.spec.nodeSelector or {}).items()):
        return False
    affinity = pod.spec.affinity.nodeAffinity if pod.spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    if required is None:
        return True
    return any(_term_holds(term, node_name, labels) for term in required.nodeSelectorTerms or ())


def _term_holds(term: NodeSelectorTerm, node_name: str, labels: Mapping[str, str]) -> bool:
    expressions, fields = term.matchExpressions or [], term.matchFields or []
    if not expressions and not fields:
        return False  # an empty term matches no node
    return all(_holds(item, labels) for item in expressions) and all(
        item.key == "metadata.name" and _holds(item, {"metadata.name": node_name}) for item in fields
    )


def _holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    wanted = requirement.values or []
    match requirement.operator:
        case "In":
            return value is not None and value in wanted
        case "NotIn":
            return value is None or value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(requirement.operator, value, wanted)
        case _:
            return False


def _compares(operator: str, value: str | None, wanted: list[str]) -> bool:
    """Gt and Lt compare integers; anything else does not match."""
    if value is None or len(wanted) != 1:
        return False
    try:
        left, right = int(value), int(wanted[0])
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right
