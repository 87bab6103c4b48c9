"""What a zero in a KubeletConfiguration means: for most fields, that the default is wanted.

Upstream cannot tell a zero from an absent field where the field is no pointer, and tools write such files (kubeadm: "0s" in
every duration). Source: SetDefaults_KubeletConfiguration, docs/facts/node-resources.md 1.2.
"""

import typing

import msgspec

from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.values import Duration
from runtimes.kube.duration import seconds

_ZERO_IS_DEFAULT = frozenset(
    {
        "port",
        "maxPods",
        "maxOpenFiles",
        "nodeLeaseDurationSeconds",
        "registryBurst",
        "eventBurst",
        "kubeAPIBurst",
        "flushFrequency",
    }
)
_EMPTY_HAS_A_MEANING = frozenset({"resolvConf"})  # no resolv.conf of the node's for pods


def fill_zeroes(document: msgspec.Struct) -> None:
    """Put the default where the document has a zero duration, an empty text, or a 0 that means the default."""
    if isinstance(document, KubeletConfiguration):
        _fill(document)


def _fill(value: msgspec.Struct) -> None:
    kinds = typing.get_type_hints(type(value))
    for field in msgspec.structs.fields(value):
        name, item = field.name, getattr(value, field.name)
        if isinstance(item, msgspec.Struct):
            _fill(item)
        elif field.default is not msgspec.NODEFAULT and _is_zero(name, kinds[name], item):
            setattr(value, name, field.default)


def _is_zero(name: str, kind: object, item: object) -> bool:
    if kind is Duration:
        try:
            return seconds(str(item)) == 0
        except ValueError:
            return item == ""
    if isinstance(item, str):
        return not item and name not in _EMPTY_HAS_A_MEANING
    return item == 0 and name in _ZERO_IS_DEFAULT
