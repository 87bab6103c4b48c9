"""Values that have the right type and are wrong all the same: ranges, words, fields that exclude each other."""

import ipaddress
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from nodeagent.config.agent import NodeAgentConfiguration
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.values import Duration, Quantity, seconds
from nodeagent.resources import quantity
from runtimes.oci.images.reference import parse_location
from runtimes.oci.images.registries import registry_name

# a qualified name, in which * may stand for any part
_ANNOTATION = re.compile(r"(?=.{1,317}\Z)([A-Za-z0-9.*-]+/)?[A-Za-z0-9._*-]+")

Problem = tuple[tuple[str | int, ...], str]

_RANGES: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "readOnlyPort": (0, 65535),
    "healthzPort": (0, 65535),
    "nodeLeaseDurationSeconds": (1, 2**31),
    "nodeStatusMaxImages": (-1, 2**31),
    "eventBurst": (0, 2**31),
    "eventRecordQPS": (0, 2**31),
    "maxPods": (0, 2**31),
    "podsPerCore": (0, 2**31),
    "imageGCHighThresholdPercent": (0, 100),
    "imageGCLowThresholdPercent": (0, 100),
    "oomScoreAdj": (-1000, 1000),
    "containerLogMaxFiles": (2, 2**31),
    "containerLogMaxWorkers": (1, 2**31),
    "maxParallelImagePulls": (1, 2**31),
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
}


def problems_of(document: msgspec.Struct) -> Iterator[Problem]:
    """(field path, reason) of every wrong value."""
    yield from _unreadable(document, ())
    if isinstance(document, KubeletConfiguration):
        yield from _kubelet(document)
    elif isinstance(document, NodeAgentConfiguration):
        yield from _agent(document)


def _unreadable(value: Any, where: tuple[str | int, ...]) -> Iterator[Problem]:
    """Durations and quantities that are none."""
    readers: dict[Any, Callable[[str], Any]] = {Duration: seconds, Quantity: quantity.parse}
    for name, kind in typing.get_type_hints(type(value)).items():
        item = getattr(value, name)
        if isinstance(item, msgspec.Struct):
            yield from _unreadable(item, (*where, name))
        elif kind in readers:
            try:
                readers[kind](item)
            except ValueError as error:
                yield (*where, name), str(error)


def _kubelet(document: KubeletConfiguration) -> Iterator[Problem]:
    for name, (low, high) in _RANGES.items():
        value = getattr(document, name)
        if value is not None and not low <= value <= high:
            yield (name,), f"{value} is not between {low} and {high}"
    for name, words in _WORDS.items():
        if getattr(document, name) not in words:
            yield (name,), f"{getattr(document, name)!r} is none of {', '.join(words)}"
    if document.authorization.mode not in ("Webhook", "AlwaysAllow"):
        yield ("authorization", "mode"), f"{document.authorization.mode!r} is none of Webhook, AlwaysAllow"
    if document.memorySwap.swapBehavior not in ("", "NoSwap", "LimitedSwap"):
        yield ("memorySwap", "swapBehavior"), f"{document.memorySwap.swapBehavior!r} is none of NoSwap, LimitedSwap"
    if document.imageGCLowThresholdPercent >= document.imageGCHighThresholdPercent:
        yield ("imageGCLowThresholdPercent",), "must be below imageGCHighThresholdPercent"
    if (document.maxParallelImagePulls or 1) > 1 and document.serializeImagePulls:
        # as upstream: more than one at a time implies that pulls are not serial
        document.serializeImagePulls = False
    if document.preloadedImagesVerificationAllowlist and (
        document.imagePullCredentialsVerificationPolicy != "NeverVerifyAllowlistedImages"
    ):
        yield (
            ("preloadedImagesVerificationAllowlist",),
            "only with imagePullCredentialsVerificationPolicy NeverVerifyAllowlistedImages",
        )
    for address in document.clusterDNS:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            yield ("clusterDNS",), str(error)
    ids = document.userNamespaces.idsPerPod
    if ids % 65536 or not 0 < ids < 1 << 32:
        yield ("userNamespaces", "idsPerPod"), f"{ids} is not a multiple of 65536 between 65536 and 4294967295"
    try:
        if seconds(document.containerLogMonitorInterval) < 3:
            yield ("containerLogMonitorInterval",), f"{document.containerLogMonitorInterval} is less than 3s"
    except ValueError:
        pass  # told above
    if document.runOnce:
        yield ("runOnce",), "is no longer supported"
    for name in ("systemReserved", "kubeReserved"):
        yield from _quantities(name, getattr(document, name), ("cpu", "memory", "ephemeral-storage", "pid"))
    if not document.podLogsDir.isascii():
        yield ("podLogsDir",), "must be plain ASCII"


def _quantities(name: str, values: dict[str, str], known: tuple[str, ...]) -> Iterator[Problem]:
    for key, text in values.items():
        if key not in known:
            yield (name, key), f"is none of {', '.join(known)}"
            continue
        try:
            quantity.parse(text)
        except quantity.InvalidQuantity as error:
            yield (name, key), f"{text!r}: {error}"


def _agent(document: NodeAgentConfiguration) -> Iterator[Problem]:
    for handler, settings in document.runtimes.items():
        where = ("runtimes", handler)
        if settings.type == "oci":
            if not settings.path.startswith("/"):
                yield (*where, "path"), "a runtime of type oci needs the absolute path of its program"
            if settings.infraContainer not in ("auto", "always", "never"):
                yield (*where, "infraContainer"), f"{settings.infraContainer!r} is none of auto, always, never"
            for index, pattern in enumerate(settings.podAnnotations):
                if not _ANNOTATION.fullmatch(pattern):
                    yield (
                        (*where, "podAnnotations", index),
                        f"{pattern!r} is no name of an annotation, with * or without",
                    )
        elif settings.type == "cri" and not settings.endpoint.startswith("unix:///"):
            yield (
                (*where, "endpoint"),
                "a runtime of type cri needs an endpoint such as unix:///run/containerd/containerd.sock",
            )
    if document.runtimes and document.defaultRuntime and document.defaultRuntime not in document.runtimes:
        known = ", ".join(sorted(document.runtimes))
        yield ("defaultRuntime",), f"{document.defaultRuntime!r} is none of the runtimes {known}"
    try:
        ipaddress.ip_network(document.cni.subnet)
    except ValueError as error:
        yield ("cni", "subnet"), str(error)
    yield from _registries(document)
    if document.criServer.listen and not document.criServer.listen.startswith("unix:///"):
        yield ("criServer", "listen"), "must be a unix socket such as unix:///run/nodeagent/cri.sock"
    if not 0 <= document.apiServer.port <= 65535:
        yield ("apiServer", "port"), f"{document.apiServer.port} is not between 0 and 65535"


def _registries(document: NodeAgentConfiguration) -> Iterator[Problem]:
    names: dict[str, str] = {}
    for name, settings in document.registries.items():
        where = ("registries", name)
        for place, text in ((where, name), *(((*where, "mirrors", i), m) for i, m in enumerate(settings.mirrors))):
            try:
                parse_location(text)
            except ValueError as error:
                yield place, str(error)
        known = names.setdefault(registry_name(name), name)
        if known != name:
            yield where, f"is the same registry as {known!r}"
