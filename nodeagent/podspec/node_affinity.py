"""Whether a node is one that a pod asks for, by its nodeSelector and its required node affinity, or a volume by its own.

Terms are alternatives; the requirements within a term all have to hold. Source: docs/facts/pod-lifecycle.md 3.1.
"""

from collections.abc import Mapping

from lightkube.models.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec

from runtimes.kube.selectors import holds


def matches_node(spec: PodSpec, node_name: str, labels: Mapping[str, str]) -> bool:
    """Whether nodeSelector and the required node affinity of the pod hold."""
    if any(labels.get(key) != value for key, value in (spec.nodeSelector or {}).items()):
        return False
    affinity = spec.affinity.nodeAffinity if spec.affinity is not None else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity is not None else None
    return required is None or selects_node(required, node_name, labels)


def selects_node(selector: NodeSelector, node_name: str, labels: Mapping[str, str]) -> bool:
    return any(_term_holds(term, node_name, labels) for term in selector.nodeSelectorTerms or ())


def _term_holds(term: NodeSelectorTerm, node_name: str, labels: Mapping[str, str]) -> bool:
    expressions, fields = term.matchExpressions or [], term.matchFields or []
    if not expressions and not fields:
        return False  # an empty term matches no node
    return all(holds(item.operator, item.values or (), labels.get(item.key)) for item in expressions) and all(
        _field_holds(item, node_name) for item in fields
    )


def _field_holds(requirement: NodeSelectorRequirement, node_name: str) -> bool:
    """A field selector of one value: In is equality, NotIn its opposite. A field that nodes do not have is empty."""
    values = requirement.values or []
    if len(values) != 1 or requirement.operator not in ("In", "NotIn"):
        return False
    found = node_name if requirement.key == "metadata.name" else ""
    return (found == values[0]) is (requirement.operator == "In")
