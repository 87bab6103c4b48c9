"""The environment of a container: service variables, envFrom, env with its references, `$(NAME)` expansion.

Order of precedence, low to high: services, envFrom in list order, env in list order. Source: docs/facts/pod-lifecycle.md 10.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from lightkube.models.core_v1 import (
    ConfigMap,
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    FileKeySelector,
    ObjectFieldSelector,
    ResourceFieldSelector,
    Secret,
    SecretKeySelector,
    Service,
)

from nodeagent.api.errors import NotFound
from nodeagent.pods.translation.env_file import EnvFileError, read_env_file
from nodeagent.pods.translation.service_environment import service_variables
from nodeagent.pods.translation.word_budget import MAX_WORD_BYTES, OverBudget, WordBudget
from nodeagent.podspec import downward
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.expansion import TooLarge, expand
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import MountedVolume
from nodeagent.volumes.types.secret import secret_data
from proto import cri_pb2 as cri

__all__ = ["ConfigError", "EnvironmentSources", "needs_pod_ip", "resolve_environment"]

_T = TypeVar("_T")

_TURN = 256  # variables, before others get theirs
_POD_IP_FIELDS = frozenset({"status.podIP", "status.podIPs"})


class ConfigError(Exception):
    """The container's configuration cannot be made; the text is that of reason CreateContainerConfigError."""


class ObjectSource(Protocol):
    """ConfigMaps and Secrets of registered pods. Raises `nodeagent.api.errors.NotFound`, or anything else."""

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap: ...

    async def get_secret(self, namespace: str, name: str) -> Secret: ...


# The services of a namespace; None while they have never been read.
ServiceLister = Callable[[str], Sequence[Service] | None]


def no_services(namespace: str) -> Sequence[Service]:
    """For an agent that knows no services."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSources:
    """Where values come from that are not in the container's spec. IPs are those of status.podIPs and status.hostIPs."""

    objects: ObjectSource
    services: ServiceLister = no_services
    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    mounted: Mapping[str, MountedVolume] = field(default_factory=dict)
    static_pod: bool = False


def needs_pod_ip(pod: AgentPod, container: AnyContainer) -> bool:
    """Whether the container's environment holds the pod's IP, so that it cannot be created before the network is up."""
    if pod.spec.hostNetwork:
        return False
    references = (variable.valueFrom.fieldRef for variable in container.env or () if variable.valueFrom is not None)
    return any(reference is not None and reference.fieldPath in _POD_IP_FIELDS for reference in references)


async def resolve_environment(
    pod: AgentPod, container: AnyContainer, sources: EnvironmentSources
) -> list[cri.KeyValue]:
    """The final variables, one entry per name. Raises ConfigError, also for what is over the budget, before it is made."""
    services = _services(pod, sources)
    resolved: dict[str, str] = {}
    budget = WordBudget()
    try:
        for name, value in services.items():
            budget.variable(name, value)
        for source in container.envFrom or ():
            await asyncio.sleep(0)  # there may be ten thousands of them, and what they name be at hand
            prefix = source.prefix or ""
            for key, value in await _env_from(pod.namespace, source, sources.objects):
                budget.check("an environment variable of envFrom", prefix, key)
                budget.variable(prefix + key, value)
                resolved[prefix + key] = value
        for number, variable in enumerate(container.env or ()):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            found = await _variable(pod, container, variable, (resolved, services), sources)
            if found is not None:
                budget.variable(variable.name, found)
                resolved[variable.name] = found
    except OverBudget as error:
        raise ConfigError(str(error)) from error
    final = {**services, **resolved}
    return [cri.KeyValue(key=name, value=_encode(value)) for name, value in final.items()]


async def _variable(
    pod: AgentPod,
    container: AnyContainer,
    variable: EnvVar,
    scopes: tuple[Mapping[str, str], ...],
    sources: EnvironmentSources,
) -> str | None:
    """The value; None: the variable is left out."""
    if variable.value:
        try:
            return expand(variable.value, *scopes, max_bytes=MAX_WORD_BYTES)
        except TooLarge as error:
            raise ConfigError(f"environment variable {variable.name[:64]} is {error}") from error
    if variable.valueFrom is not None:
        return await _value_from(pod, container, variable.valueFrom, sources)
    return ""


def _services(pod: AgentPod, sources: EnvironmentSources) -> dict[str, str]:
    if pod.spec.enableServiceLinks is None:
        raise ConfigError("nil pod.spec.enableServiceLinks encountered, cannot construct envvars")
    namespace = pod.namespace
    listed: list[Service] = []
    for wanted in dict.fromkeys(("default", namespace)):
        found = sources.services(wanted)
        if found is None:
            if sources.static_pod:
                continue
            raise ConfigError("services have not yet been read at least once, cannot construct envvars")
        listed += found
    return service_variables(listed, namespace, links=pod.spec.enableServiceLinks)


async def _env_from(namespace: str, source: EnvFromSource, objects: ObjectSource) -> Iterable[tuple[str, str]]:
    """Name (without the prefix) and value, made one by one."""
    if (reference := source.configMapRef) is not None:
        config_map = await _object(
            objects.get_config_map(namespace, reference.name or ""),
            optional=bool(reference.optional),
            missing=f'configmap "{reference.name}" not found',
        )
        return ((config_map and config_map.data) or {}).items()
    if (named := source.secretRef) is not None:
        secret = await _object(
            objects.get_secret(namespace, named.name or ""),
            optional=bool(named.optional),
            missing=f'secret "{named.name}" not found',
        )
        return ((key, _text(data)) for key, data in (secret_data(secret) if secret else {}).items())
    return ()


async def _value_from(
    pod: AgentPod, container: AnyContainer, source: EnvVarSource, sources: EnvironmentSources
) -> str | None:
    """The value; None: the variable is left out."""
    namespace = pod.namespace
    try:
        if source.fieldRef is not None:
            return _field(pod, source.fieldRef, sources)
        if source.resourceFieldRef is not None:
            return _resource(pod, container, source.resourceFieldRef, sources)
        if source.configMapKeyRef is not None:
            return await _config_map_key(namespace, source.configMapKeyRef, sources.objects)
        if source.secretKeyRef is not None:
            return await _secret_key(namespace, source.secretKeyRef, sources.objects)
        if source.fileKeyRef is not None:
            return await _file_key(source.fileKeyRef, sources.mounted)
    except downward.UnsupportedField as error:
        raise ConfigError(str(error)) from error
    return None


def _field(pod: AgentPod, selector: ObjectFieldSelector, sources: EnvironmentSources) -> str:
    downward.check_api_version(selector)
    match selector.fieldPath:
        case "spec.nodeName" | "spec.host":
            return pod.spec.nodeName or ""
        case "spec.serviceAccountName":
            return pod.spec.serviceAccountName or ""
        case "status.hostIP":
            return sources.host_ips[0] if sources.host_ips else ""
        case "status.hostIPs":
            return ",".join(sources.host_ips)
        case "status.podIP":
            return next(iter(_pod_ips(pod, sources)), "")
        case "status.podIPs":
            return ",".join(_pod_ips(pod, sources))
    assert pod.metadata is not None
    text = downward.metadata_field(pod.metadata, selector.fieldPath)
    if text is None:
        raise downward.UnsupportedField(f"unsupported fieldPath: {selector.fieldPath}")
    return text


def _pod_ips(pod: AgentPod, sources: EnvironmentSources) -> tuple[str, ...]:
    # on the node's network they are known before there is a sandbox
    return sources.host_ips if pod.spec.hostNetwork and not sources.pod_ips else sources.pod_ips


def _resource(
    pod: AgentPod, container: AnyContainer, selector: ResourceFieldSelector, sources: EnvironmentSources
) -> str:
    name = selector.containerName or container.name
    # a limit that is missing is the node's, but not that of an init container which is named by another container
    assert pod.spec is not None
    allocatable, limits = sources.allocatable, downward.pod_limits(pod.spec)
    resources = container.resources
    if name != container.name:
        found = downward.find_container(pod.spec, name)
        if found is None:
            raise downward.UnsupportedField(f"container {name} not found")
        resources, is_init = found[0].resources, found[1]
        if is_init:
            allocatable, limits = {}, {}
    return downward.resource_value(resources, selector, pod_limits=limits, allocatable=allocatable)


async def _config_map_key(namespace: str, selector: ConfigMapKeySelector, objects: ObjectSource) -> str | None:
    found = await _object(
        objects.get_config_map(namespace, selector.name or ""),
        optional=bool(selector.optional),
        missing=f'configmap "{selector.name}" not found',
    )
    if found is None:
        return None
    text: str | None = (found.data or {}).get(selector.key)
    if text is None and not selector.optional:
        raise ConfigError(f"couldn't find key {selector.key} in ConfigMap {namespace}/{selector.name}")
    return text


async def _secret_key(namespace: str, selector: SecretKeySelector, objects: ObjectSource) -> str | None:
    found = await _object(
        objects.get_secret(namespace, selector.name or ""),
        optional=bool(selector.optional),
        missing=f'secret "{selector.name}" not found',
    )
    if found is None:
        return None
    encoded = (found.data or {}).get(selector.key)
    data = None if encoded is None else base64.b64decode(encoded)
    if data is None and not selector.optional:
        raise ConfigError(f"couldn't find key {selector.key} in Secret {namespace}/{selector.name}")
    return None if data is None else _text(data)


async def _file_key(selector: FileKeySelector, mounted: Mapping[str, MountedVolume]) -> str | None:
    volume = mounted.get(selector.volumeName)
    if volume is None:
        raise ConfigError(f'cannot find the volume "{selector.volumeName}" referenced by FileKeyRef')
    try:
        variables = await asyncio.to_thread(read_env_file, volume.host_path, Path(selector.path))
    except FileNotFoundError:
        if selector.optional:
            return None
        raise ConfigError(f"couldn't parse env file: {selector.path}: no such file") from None
    except (EnvFileError, OSError) as error:
        raise ConfigError(f"couldn't parse env file: {error}") from error
    value = variables.get(selector.key, "")
    if value:
        return value
    if selector.optional:
        return None
    raise ConfigError(f'environment variable key "{selector.key}" not found in file "{selector.path}"')


async def _object(reading: Awaitable[_T], *, optional: bool, missing: str) -> _T | None:
    """None: it does not exist, which is fine for an optional one only. Raises ConfigError."""
    try:
        return await reading
    except NotFound:
        if optional:
            return None
        raise ConfigError(missing) from None
    except Exception as error:
        raise ConfigError(str(error)) from error


def variables_of(environment: Iterable[cri.KeyValue]) -> dict[str, str]:
    """Resolved variables as text, for expansion."""
    return {entry.key: _text(entry.value) for entry in environment}


# A variable is bytes to the kernel and to the CRI, and a secret may hold any. As text, what is not UTF-8 is carried in
# lone surrogates and comes out as it went in.
def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
