"""Checks of values that have the right type and are still wrong: ranges, words, fields that exclude each other."""

import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from cni.default import subnets_of
from nodeagent.config.agent import NodeAgentConfiguration
from nodeagent.config.check_kubelet import Problem, check_kubelet
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.service_ranges import port_range, service_ranges
from nodeagent.config.values import Duration, Quantity
from runtimes.kube import quantity
from runtimes.kube.duration import seconds
from runtimes.kube.image_reference import parse_location
from runtimes.oci.images.registries import registry_name

# a qualified name, in which * may stand for any part
_ANNOTATION = re.compile(r"(?=.{1,317}\Z)([A-Za-z0-9.*-]+/)?[A-Za-z0-9._*-]+")


def problems_of(document: msgspec.Struct, given: Mapping[str, Any]) -> Iterator[Problem]:
    """(field path, reason) of every wrong value. `given`: what stands in the file, without the defaults."""
    yield from _unreadable(document, ())
    if isinstance(document, KubeletConfiguration):
        yield from check_kubelet(document, given)
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


def _agent(document: NodeAgentConfiguration) -> Iterator[Problem]:
    for handler, settings in document.runtimes.items():
        where = ("runtimes", handler)
        if settings.type == "oci":
            if "/" not in settings.path:
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
    if document.cni.provider not in ("auto", "native", "programs"):
        yield ("cni", "provider"), f"{document.cni.provider!r} is none of auto, native, programs"
    try:
        subnets_of(document.cni.subnet)
    except ValueError as error:
        yield ("cni", "subnet"), str(error)
    for field, read in (
        ("clusterIPRanges", lambda: service_ranges(document.services.clusterIPRanges)),
        ("nodePortRange", lambda: port_range(document.services.nodePortRange)),
    ):
        try:
            read()
        except ValueError as error:
            yield ("services", field), str(error)
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
