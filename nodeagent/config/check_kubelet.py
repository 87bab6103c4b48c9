"""What a kubelet refuses of a KubeletConfiguration: ranges, words, and fields that need or exclude each other.

Source: ValidateKubeletConfiguration and the parsers that run at a kubelet's start, Kubernetes 1.36.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nodeagent.config import feature_gates
from nodeagent.config.check_eviction import eviction
from nodeagent.config.check_managers import managers
from nodeagent.config.check_node import Problem as Problem
from nodeagent.config.check_node import allocatable, logging, taints
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.tls_policy import VERSIONS, problem_of_curves, problem_of_suite
from runtimes.kube import quantity
from runtimes.kube.duration import seconds

_MAX = 2**31
_RANGES: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "readOnlyPort": (0, 65535),
    "healthzPort": (0, 65535),
    "nodeLeaseDurationSeconds": (1, _MAX),
    "nodeStatusMaxImages": (-1, _MAX),
    "eventBurst": (0, _MAX),
    "eventRecordQPS": (0, _MAX),
    "kubeAPIBurst": (0, _MAX),
    "kubeAPIQPS": (0, _MAX),
    "registryBurst": (0, _MAX),
    "registryPullQPS": (0, _MAX),
    "maxOpenFiles": (0, 2**63),
    "maxPods": (0, _MAX),
    "podsPerCore": (0, _MAX),
    "imageGCHighThresholdPercent": (0, 100),
    "imageGCLowThresholdPercent": (0, 100),
    "oomScoreAdj": (-1000, 1000),
    "containerLogMaxFiles": (2, _MAX),
    "containerLogMaxWorkers": (1, _MAX),
    "maxParallelImagePulls": (1, _MAX),
    "iptablesMasqueradeBit": (0, 31),
    "iptablesDropBit": (0, 31),
}
_WORDS: dict[str, tuple[str, ...]] = {
    "hairpinMode": ("promiscuous-bridge", "hairpin-veth", "none"),
    "cgroupDriver": ("cgroupfs", "systemd"),
    "cpuManagerPolicy": ("none", "static"),
    "memoryManagerPolicy": ("None", "Static"),
    "topologyManagerPolicy": ("none", "best-effort", "restricted", "single-numa-node"),
    "topologyManagerScope": ("container", "pod"),
    "configMapAndSecretChangeDetectionStrategy": ("Watch", "Cache", "Get"),
    "memoryReservationPolicy": ("None", "TieredReservation"),
    "imagePullCredentialsVerificationPolicy": (
        "NeverVerifyPreloadedImages",
        "NeverVerify",
        "NeverVerifyAllowlistedImages",
        "AlwaysVerify",
    ),
    "tlsMinVersion": ("", *VERSIONS),
}
# durations: at least, at most (None: no bound), and how to say so
_DURATIONS: tuple[tuple[str, Callable[[KubeletConfiguration], str], float, float | None, str], ...] = (
    ("cpuCFSQuotaPeriod", lambda it: it.cpuCFSQuotaPeriod, 0.001, 1.0, "must be between 1ms and 1s"),
    ("containerLogMonitorInterval", lambda it: it.containerLogMonitorInterval, 3.0, None, "is less than 3s"),
    ("imageMinimumGCAge", lambda it: it.imageMinimumGCAge, 0.0, None, "must not be negative"),
    ("imageMaximumGCAge", lambda it: it.imageMaximumGCAge, 0.0, None, "must not be negative"),
    (
        "crashLoopBackOff.maxContainerRestartPeriod",
        lambda it: it.crashLoopBackOff.maxContainerRestartPeriod,
        *(1.0, 300.0, "must be between 1s and 300s"),
    ),
)


def check_kubelet(document: KubeletConfiguration, given: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _values(document)
    yield from _tls(document)
    yield from _durations(document)
    yield from _images(document, given)
    yield from _shutdown(document)
    yield from _memory(document)
    yield from _reserved(document)
    yield from managers(document)
    yield from allocatable(document)
    yield from eviction(document)
    yield from taints(document)
    yield from logging(document)
    for name, reason in feature_gates.refusals(document.featureGates):
        yield ("featureGates", name), reason


def _values(document: KubeletConfiguration) -> Iterator[Problem]:
    for name, (low, high) in _RANGES.items():
        value = getattr(document, name)
        if value is not None and not low <= value <= high:
            yield (name,), f"{value} is not between {low} and {high}"
    for name, words in _WORDS.items():
        if getattr(document, name) not in words:
            yield (name,), f"{getattr(document, name)!r} is none of {', '.join(filter(None, words))}"
    if document.authorization.mode not in ("Webhook", "AlwaysAllow"):
        yield ("authorization", "mode"), f"{document.authorization.mode!r} is none of Webhook, AlwaysAllow"
    for address in document.clusterDNS:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            yield ("clusterDNS",), str(error)
    ids = document.userNamespaces.idsPerPod
    if ids % 65536 or not 0 < ids < 1 << 32:
        yield ("userNamespaces", "idsPerPod"), f"{ids} is not a multiple of 65536 between 65536 and 4294967295"
    if document.runOnce:
        yield ("runOnce",), "is no longer supported"
    if document.systemCgroups and not document.cgroupRoot:
        yield ("systemCgroups",), "was specified and cgroupRoot was not specified"
    if document.enableSystemLogQuery and not document.enableSystemLogHandler:
        yield ("enableSystemLogQuery",), "enableSystemLogHandler is required for it"
    tracing = document.tracing
    if tracing is not None and not 0 <= tracing.samplingRatePerMillion <= 1_000_000:
        yield (
            ("tracing", "samplingRatePerMillion"),
            "sampling rate must be between 0 and one million, inclusive",
        )
    if not document.podLogsDir.isascii():
        yield ("podLogsDir",), "must be plain ASCII"


def _tls(document: KubeletConfiguration) -> Iterator[Problem]:
    for index, name in enumerate(document.tlsCipherSuites):
        if problem := problem_of_suite(name):
            yield ("tlsCipherSuites", index), problem
    if problem := problem_of_curves(document.tlsCurvePreferences):
        yield ("tlsCurvePreferences",), problem


def _durations(document: KubeletConfiguration) -> Iterator[Problem]:
    for name, read, low, high, reason in _DURATIONS:
        found = _seconds(read(document))
        if found is not None and (found < low or (high is not None and found > high)):
            yield tuple(name.split(".")), f"{read(document)} {reason}"
    youngest, oldest = _seconds(document.imageMinimumGCAge), _seconds(document.imageMaximumGCAge)
    if youngest is not None and oldest is not None and 0 < oldest <= youngest:
        yield (
            ("imageMaximumGCAge",),
            f"{document.imageMaximumGCAge} must be greater than imageMinimumGCAge {document.imageMinimumGCAge}",
        )


def _images(document: KubeletConfiguration, given: Mapping[str, Any]) -> Iterator[Problem]:
    if document.imageGCLowThresholdPercent >= document.imageGCHighThresholdPercent:
        yield ("imageGCLowThresholdPercent",), "must be below imageGCHighThresholdPercent"
    if (document.maxParallelImagePulls or 1) > 1:
        if given.get("serializeImagePulls"):
            yield ("maxParallelImagePulls",), "cannot be larger than 1 unless serializeImagePulls is set to false"
        document.serializeImagePulls = False  # as upstream: more than one at a time implies that pulls are not serial
    if document.preloadedImagesVerificationAllowlist and (
        document.imagePullCredentialsVerificationPolicy != "NeverVerifyAllowlistedImages"
    ):
        yield (
            ("preloadedImagesVerificationAllowlist",),
            "only with imagePullCredentialsVerificationPolicy NeverVerifyAllowlistedImages",
        )


def _shutdown(document: KubeletConfiguration) -> Iterator[Problem]:
    total, critical = _seconds(document.shutdownGracePeriod), _seconds(document.shutdownGracePeriodCriticalPods)
    if total is None or critical is None:
        return
    if critical > total:
        yield (
            ("shutdownGracePeriodCriticalPods",),
            f"{document.shutdownGracePeriodCriticalPods} must be <= shutdownGracePeriod {document.shutdownGracePeriod}",
        )
    for name, found in (("shutdownGracePeriod", total), ("shutdownGracePeriodCriticalPods", critical)):
        if found < 0 or 0 < found < 1:
            yield (name,), f"{getattr(document, name)} must be either zero or otherwise >= 1 sec"
    if document.shutdownGracePeriodByPodPriority and (total > 0 or critical > 0):
        yield (
            ("shutdownGracePeriodByPodPriority",),
            "cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time",
        )


def _memory(document: KubeletConfiguration) -> Iterator[Problem]:
    if document.memorySwap.swapBehavior not in ("", "NoSwap", "LimitedSwap"):
        yield ("memorySwap", "swapBehavior"), f"{document.memorySwap.swapBehavior!r} is none of NoSwap, LimitedSwap"
    if not 0 < document.memoryThrottlingFactor <= 1:
        yield (
            ("memoryThrottlingFactor",),
            f"{document.memoryThrottlingFactor} must be greater than 0 and less than or equal to 1.0",
        )
    if document.memoryReservationPolicy == "TieredReservation" and not document.featureGates.get("MemoryQoS"):
        yield ("memoryReservationPolicy",), "TieredReservation requires MemoryQoS feature gate to be enabled"
    for name, text in document.qosReserved.items():
        percent = text.removesuffix("%")
        if name != "memory" or not text.endswith("%") or not percent.isdigit() or int(percent) > 100:
            yield ("qosReserved", name), f"{text!r}: only memory, as a percentage up to 100%"
    seen: set[tuple[int, str]] = set()
    for index, reservation in enumerate(document.reservedMemory):
        for name, text in reservation.limits.items():
            where = ("reservedMemory", index, "limits", name)
            if name != "memory" and not name.startswith("hugepages-"):
                yield where, f"the limit type {name!r} for NUMA node {reservation.numaNode} should not be specified"
            elif (reservation.numaNode, name) in seen:
                yield where, f"the reserved memory has a duplicate value for NUMA node {reservation.numaNode}"
            seen.add((reservation.numaNode, name))
            amount = _quantity(text)
            if amount is None or amount <= 0:
                yield where, f"{text!r}: reserved memory must be a quantity above zero"


def _reserved(document: KubeletConfiguration) -> Iterator[Problem]:
    for name in ("systemReserved", "kubeReserved"):
        for key, text in getattr(document, name).items():
            if key not in ("cpu", "memory", "ephemeral-storage", "pid"):
                yield (name, key), "is none of cpu, memory, ephemeral-storage, pid"
                continue
            try:
                if quantity.parse(text) < 0:
                    yield (name, key), f"resource quantity for {key!r} cannot be negative: {text}"
            except quantity.InvalidQuantity as error:
                yield (name, key), f"{text!r}: {error}"
    cpus = document.reservedSystemCPUs
    if cpus:
        if document.systemReservedCgroup or document.kubeReservedCgroup:
            yield ("reservedSystemCPUs",), "can't be used with systemReservedCgroup or kubeReservedCgroup"
        if not _is_cpu_set(cpus):
            yield ("reservedSystemCPUs",), f"{cpus!r} is not a list of CPUs such as 0-1,4"


def _is_cpu_set(text: str) -> bool:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(first) > int(last)):
            return False
    return True


def _seconds(text: str) -> float | None:
    try:
        return seconds(text)
    except ValueError:
        return None  # told where every duration is


def _quantity(text: str) -> float | None:
    try:
        return float(quantity.parse(text))
    except quantity.InvalidQuantity:
        return None
