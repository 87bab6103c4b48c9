"""Fields of KubeletConfiguration that are accepted and ignored: why, and whether somebody relies on them.

Every field is either read by the code (acted_on.py) or stands here; a test holds that. A value that asks for nothing else than
what this node does anyway (`as_is`) is in force, and is not reported.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from nodeagent.config.unused import unused


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredField:
    """`promise`: pods, or the node's safety, are without something that the operator has asked for; else a matter of taste."""

    reason: str
    promise: bool = False
    as_is: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredSetting:
    """One field of an operator's file that has no effect."""

    field: str
    reason: str
    promise: bool

    @override
    def __str__(self) -> str:
        return f"{self.field} ({self.reason})"


def _unkept(reason: str, *as_is: Any) -> IgnoredField:
    return IgnoredField(reason=reason, promise=True, as_is=as_is)


def _moot(reason: str, *as_is: Any) -> IgnoredField:
    return IgnoredField(reason=reason, as_is=as_is)


_IN_STEPS = "go-style logging only"

IGNORED_FIELDS: dict[str, IgnoredField] = {
    "cpuManagerReconcilePeriod": _moot(
        "containers' CPUs are changed when the shared ones change, not at intervals", "10s", "0s"
    ),
    "qosReserved": _unkept("no memory is held back for better classes of pods", {}),
    "kernelMemcgNotification": _moot("what the kernel offers is always used", False, True),
    "cgroupsPerQOS": _unkept("pods always have cgroups of their classes", True),
    "kubeletCgroups": _unkept("the agent stays in the cgroup that it was started in", ""),
    "systemCgroups": _unkept("processes that are not of pods stay where they are", ""),
    "oomScoreAdj": _unkept("the agent keeps that of its service (OOMScoreAdjust=)", -999),
    "runtimeRequestTimeout": _unkept("each call of a runtime has a deadline of its own", "2m", "2m0s", "0s"),
    "containerRuntimeEndpoint": _unkept("runtimes are named in the NodeAgentConfiguration: type cri, endpoint", ""),
    "imageServiceEndpoint": _unkept("runtimes are named in the NodeAgentConfiguration: type cri, imageEndpoint", ""),
    "podCIDR": _unkept("pods' addresses come from the CNI configuration, or from cni.subnet in standalone mode", ""),
    "hairpinMode": _moot("the network plugin decides, as with a kubelet since 1.24"),
    "iptablesMasqueradeBit": _moot("no packet is marked: the network plugins masquerade", 14),
    "iptablesDropBit": _moot("no packet is marked: the rules drop by themselves", 15),
    "syncFrequency": _moot("pods are looked at when something happens, not at intervals"),
    "contentType": _moot("the API is spoken to in JSON"),
    "enableContentionProfiling": _moot("this is no Go program", False),
    "logging.flushFrequency": _moot("lines are written at once"),
    "logging.options": _moot(_IN_STEPS, {}),
    "featureGates": _moot("not a gate of this node"),
    "showHiddenMetricsForVersion": _moot("no metric is hidden", ""),
    "runOnce": _moot("refused when true", False),
}


def ignored_settings(given: dict[str, Any], acted_on: Collection[str]) -> tuple[IgnoredSetting, ...]:
    """The fields of a KubeletConfiguration, as it was written, that ask for something that is not done; promises first."""
    found = [
        IgnoredSetting(field=name, reason=entry.reason, promise=entry.promise)
        for name in sorted(unused(given, acted_on))
        if _value(given, name) not in (entry := ignored_field(name)).as_is
    ]
    return tuple(sorted(found, key=lambda item: not item.promise))


def ignored_field(name: str) -> IgnoredField:
    """Why a field does nothing; of a part, why the whole does not."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (entry := IGNORED_FIELDS.get(".".join(parts[:end]))) is not None:
            return entry
    return _moot("not acted on by this version")


def _value(given: Any, name: str) -> Any:
    """As written. A name of a feature gate may hold dots in no Kubernetes, so a dot is always a step."""
    for part in name.split("."):
        given = given[part]
    return given
