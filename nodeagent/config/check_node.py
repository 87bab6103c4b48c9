"""What a kubelet refuses of how a node presents and guards itself: enforced reservations, taints, logs."""

import re
from collections.abc import Iterator

from nodeagent.config.kubelet import KubeletConfiguration
from runtimes.kube.duration import seconds

Problem = tuple[tuple[str | int, ...], str]

_ENFORCEMENTS = (
    *("pods", "system-reserved", "system-reserved-compressible"),
    *("kube-reserved", "kube-reserved-compressible", "none"),
)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def allocatable(document: KubeletConfiguration) -> Iterator[Problem]:
    name, chosen = "enforceNodeAllocatable", document.enforceNodeAllocatable
    for kind in ("system-reserved", "kube-reserved"):
        if kind in chosen and f"{kind}-compressible" in chosen:
            yield (name,), f'both "{kind}" and "{kind}-compressible" cannot be specified together'
    for index, word in enumerate(chosen):
        where = (name, index)
        if word in chosen[:index]:
            yield where, f'duplicated enforcements "{word}"'
            continue
        if word not in _ENFORCEMENTS:
            yield where, f'option "{word}" is none of {", ".join(_ENFORCEMENTS)}'
            continue
        if word == "none":
            if len(chosen) > 1:
                yield where, 'may not contain additional enforcements when "none" is specified'
            continue
        kind = word.removesuffix("-compressible")
        cgroups = {"system-reserved": "systemReservedCgroup", "kube-reserved": "kubeReservedCgroup"}
        if kind in cgroups and not getattr(document, cgroups[kind]):
            yield where, f'{cgroups[kind]} must be specified when "{kind}" or "{kind}-compressible" is included'
        if not document.cgroupsPerQOS:
            yield where, f'cgroupsPerQOS must be set to true when "{word}" is contained in enforceNodeAllocatable'


def taints(document: KubeletConfiguration) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(document.registerWithTaints):
        where = ("registerWithTaints", index)
        if not is_qualified_name(taint.key or ""):
            yield (*where, "key"), f"invalid taint: {taint.key!r} is not a name such as example.com/dedicated"
        if taint.value and not _NAME.fullmatch(taint.value):
            yield (*where, "value"), f"invalid taint: {taint.value!r} is not a label value"
        if taint.effect not in _EFFECTS:
            yield (*where, "effect"), f"invalid taint effect: {taint.effect!r} is none of {', '.join(_EFFECTS)}"
        if taint.timeAdded is not None:
            yield (*where, "timeAdded"), "taint.TimeAdded is not nil"
        if (taint.key or "", taint.effect or "") in seen:
            yield where, f"duplicated taints with the same key and effect: {taint.key}:{taint.effect}"
        seen.add((taint.key or "", taint.effect or ""))


def is_qualified_name(text: str) -> bool:
    """`name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix)):
        return False
    return _NAME.fullmatch(name) is not None


def logging(document: KubeletConfiguration) -> Iterator[Problem]:
    settings = document.logging
    if settings.format not in ("text", "json"):
        yield ("logging", "format"), f"{settings.format!r}: unsupported log format, is none of text, json"
    if not 0 <= settings.verbosity <= 2**31 - 1:
        yield ("logging", "verbosity"), f"{settings.verbosity} is not between 0 and {2**31 - 1}"
    flush = settings.flushFrequency
    try:
        if (flush if isinstance(flush, int) else seconds(flush)) < 0:
            yield ("logging", "flushFrequency"), f"{flush} must not be negative"
    except ValueError as error:
        yield ("logging", "flushFrequency"), str(error)
    if settings.vmodule and settings.format != "text":
        yield ("logging", "vmodule"), "only supported for the text log format"
    for index, module in enumerate(settings.vmodule):
        where = ("logging", "vmodule", index)
        if not module.filePattern or "=" in module.filePattern or "," in module.filePattern:
            yield (*where, "filePattern"), f"{module.filePattern!r} is not a pattern of file names"
        if not 0 <= module.verbosity <= 2**31 - 1:
            yield (*where, "verbosity"), f"{module.verbosity} is not between 0 and {2**31 - 1}"
