"""What is out of date or doubtful in a valid object, as people are warned of it, for the fields that several kinds have."""

import ipaddress
import math
import re

from runtimes.kube import names, quantity
from runtimes.kube.json_object import JsonObject

BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
STORAGE_CLASS_TEXT = 'deprecated since v1.8; use "storageClassName" attribute instead'
_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
VOLUME_PLUGINS = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN_AS = {"storageos": "storageOS"}
_LEADING_ZERO = re.compile(r"(^|\.)0+(?=\d)")


def node_label(key: str) -> str:
    """Why this label of nodes should not be selected by any more; empty: it may."""
    return _NODE_LABELS.get(key, "")


def node_labels(path: str, labels: JsonObject) -> list[str]:
    """A map of node labels that is selected by, each with its own path."""
    return [f"{path}[{key}]: {node_label(key)}" for key in labels if node_label(key)]


def node_selector_term(path: str, term: JsonObject, *, values: bool = False) -> list[str]:
    """A term of a node affinity. `values`: also the values that no label can have."""
    found: list[str] = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        key, where = expression.get("key") or "", f"{path}.matchExpressions[{index}]"
        if node_label(key):
            found.append(f"{where}.key: {key} is {node_label(key)}")
        for position, value in enumerate((expression.get("values") or ()) if values else ()):
            found += [f"{where}.values[{position}]: {value} is invalid, {why}" for why in names.label_value(value)]
    return found


def volume_plugins(path: str, source: JsonObject) -> list[str]:
    """A volume, or the spec of a persistent one, of a kind that is gone or going."""
    return [
        f"{path}.{_SHOWN_AS.get(name, name)}: {text}"
        for name, text in VOLUME_PLUGINS.items()
        if source.get(name) is not None
    ]


def fractional(path: str, name: str, resources: JsonObject | None) -> list[str]:
    """An amount of bytes that is no whole number, at `path[name]`."""
    text = (resources or {}).get(name)
    if text is None:
        return []
    try:
        milli = math.ceil(quantity.parse(text) * 1000)
    except quantity.InvalidQuantity:
        return []
    return [f'{path}[{name}]: fractional byte value "{text}" is invalid, must be an integer'] if milli % 1000 else []


def claim_spec(path: str, spec: JsonObject) -> list[str]:
    """The spec of a PersistentVolumeClaim, or of a template of one."""
    resources = spec.get("resources") or {}
    return [
        warning
        for which in ("requests", "limits")
        for warning in fractional(f"{path}.resources.{which}", "storage", resources.get(which))
    ]


def ip_address(path: str, text: str) -> list[str]:
    """An address written in a way that other readers take differently or not at all."""
    try:
        parsed = ipaddress.ip_address(_LEADING_ZERO.sub(r"\1", text) if ":" not in text else text)
    except ValueError:
        return []
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    plain = str(mapped or parsed)
    if mapped is not None or (parsed.version == 4 and plain != text):
        why = (
            f'non-standard IP address "{text}" will be considered invalid in a future Kubernetes release: use "{plain}"'
        )
        return [f"{path}: {why}"]
    if plain != text:
        return [f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{plain}")']
    return []
