"""Pod networks by CNI plugins: what a sandbox's configuration means for a plugin (CNI conventions; containerd's choices).

The configuration is looked at again for every pod, so that a network provider that arrives, changes or leaves needs no restart.
A pod's teardown uses the network that it was set up with, whatever the folder holds by then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import override

from cni import config as cni_config
from cni.attachment import AlreadyAttached, Attachment
from cni.cache import CachedAttachment, ResultCache
from cni.config import NetworkConfig
from cni.errors import (
    CNIError,
    InvalidArgument,
    NoNetwork,
    NotAttached,
    NotSupported,
    PluginNotFound,
    PluginTimeout,
    Unavailable,
)
from cni.native.request import TYPE
from cni.network import Network
from cni.plugin import InProcess
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import NetworkProvider
from runtimes.kube import quantity
from runtimes.linux import syscalls
from runtimes.oci.namespaces import is_pinned

log = logging.getLogger(__name__)

GARBAGE_SECONDS = 30.0
_INTERFACE = "eth0"
_SHARED_SEGMENTS = ("bridge", TYPE)
_ACCEPT_ROUTERS = "net.ipv6.conf.default.accept_ra"
_BANDWIDTH_BURST_BITS = 4294967295
_BANDWIDTH_RANGE = (10**3, 10**15)
# What the caller of a runtime may do. In this order: a time-out is also an Unavailable. Everything else is Internal: a program
# failed, or its configuration is not what it takes, and only the operator can change that.
_RUNTIME_ERRORS: tuple[tuple[type[CNIError], type[errors.RuntimeFault]], ...] = (
    (PluginTimeout, errors.Timeout),
    (Unavailable, errors.Unavailable),
    (NoNetwork, errors.Unavailable),
    (InvalidArgument, errors.InvalidArgument),
    (NotSupported, errors.NotSupported),
    (AlreadyAttached, errors.AlreadyExists),
    (NotAttached, errors.NotFound),
)
_BANDWIDTH = {"ingress": "kubernetes.io/ingress-bandwidth", "egress": "kubernetes.io/egress-bandwidth"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CNISettings:
    """Where configurations, plugins and the record of what is attached are.

    `network`: the node's, whatever the folder of configurations holds. `in_process`: plugins, by type, that are no programs.
    """

    conf_dir: Path = Path("/etc/cni/net.d")
    bin_dirs: tuple[Path, ...] = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))
    cache_dir: Path = Path("/var/lib/cni")
    network: NetworkConfig | None = None
    in_process: Mapping[str, InProcess] = field(default_factory=dict)


class CNINetwork(NetworkProvider):
    """The node's default network: the settings', else the first usable file of the folder. Errors: `runtimes.errors`."""

    def __init__(self, settings: CNISettings) -> None:
        self._settings = settings
        self._cache = ResultCache(settings.cache_dir)
        self._networks: dict[bytes, Network] = {}  # by configuration; what is not current only lives while it is used
        self._seen: tuple[object, NetworkConfig] | None = None

    @override
    async def setup(self, sandbox_id: str, netns_path: Path, config: cri.PodSandboxConfig) -> tuple[str, ...]:
        attachment = Attachment(
            container_id=sandbox_id,
            netns=str(netns_path),
            ifname=_INTERFACE,
            args=cni_args(sandbox_id, config),
            capabilities=capabilities(config),
        )
        try:
            config_now = await asyncio.to_thread(self._current)
            if config_now.plugins[0].type in _SHARED_SEGMENTS and _ACCEPT_ROUTERS not in config.linux.sysctls:
                await asyncio.to_thread(syscalls.in_namespace, netns_path, refuse_router_advertisements)
            result = await self._network(config_now).add(attachment)
        except (CNIError, OSError) as error:
            raise runtime_error(error)(f'failed to setup network for sandbox "{sandbox_id}": {error}') from error
        return result.pod_ips()

    @override
    async def teardown(self, sandbox_id: str, netns_path: Path | None, config: cri.PodSandboxConfig) -> None:
        netns = str(netns_path) if netns_path is not None else ""
        try:
            values = capabilities(config)
        except errors.InvalidArgument:
            values = {}  # what could not be set up has nothing to undo
        attachment = Attachment(
            container_id=sandbox_id,
            netns=netns,
            ifname=_INTERFACE,
            args=cni_args(sandbox_id, config),
            # of an ADD that was cut off nothing is recorded, and portmap undoes only the ports that it is told
            capabilities=values,
        )
        recorded = False
        try:
            recorded, networks = await asyncio.to_thread(self._used_by, sandbox_id)
            for network_config in networks:
                await self._network(network_config).delete(attachment)
        except PluginNotFound as error:
            if recorded:
                raise runtime_error(error)(f'failed to destroy network for sandbox "{sandbox_id}": {error}') from error
            # never attached, and what is not installed has nothing to undo: the sandbox must not stay for that
            log.warning("sandbox %s was never attached: %s", sandbox_id, error)
        except (CNIError, OSError) as error:
            raise runtime_error(error)(f'failed to destroy network for sandbox "{sandbox_id}": {error}') from error

    @override
    async def status(self) -> str | None:
        try:
            await self._network(await asyncio.to_thread(self._current)).status()
        except (CNIError, OSError) as error:
            return f"Network plugin returns error: {error}"
        return None

    async def collect_garbage(self, own: Path, sandbox_ids: Collection[str]) -> None:
        """Detach what no pod owns: attachments of namespaces below `own` that are gone, of none of the sandboxes that are known.

        Plugins that know GC hear which attachments there are. For the start, while nobody is attached or detached: what others
        have on the same network is left alone where they record it in the same folder, as all do; where not, the network's
        file is to say `disableGC`. Never raises; what could not be undone is tried at the next start.
        """
        try:
            async with asyncio.timeout(GARBAGE_SECONDS):
                for config, valid in await asyncio.to_thread(self._attachments_left, own, sandbox_ids):
                    await self._collect(config, valid)
        except OSError as error:  # TimeoutError is one
            log.warning("garbage of pod networks is left for the next start: %s", str(error) or "it takes too long")

    async def _collect(self, config: NetworkConfig, valid: Collection[tuple[str, str]]) -> None:
        try:
            await self._network(config).gc(valid)
        except ExceptionGroup as group:
            for error in group.exceptions:
                log.warning("network %s: garbage is left: %s", config.name, error)

    def _attachments_left(
        self, own: Path, sandbox_ids: Collection[str]
    ) -> list[tuple[NetworkConfig, Collection[tuple[str, str]]]]:
        """The networks of garbage and the current one, each with the attachments that somebody may own. Blocks."""
        garbage: list[CachedAttachment] = []
        kept: list[CachedAttachment] = []
        for each in self._cache.all():
            netns = Path(each.netns)
            gone = each.container_id not in sandbox_ids and netns.is_relative_to(own) and not is_pinned(netns)
            (garbage if gone else kept).append(each)
        networks: dict[str, NetworkConfig] = {}
        with contextlib.suppress(NoNetwork):
            current = self._current()
            networks[current.name] = current
        for each in garbage:
            with contextlib.suppress(CNIError):  # a damaged record says nothing of its plugins
                networks.setdefault(each.network, cni_config.parse(each.config))
        known = {(sandbox_id, _INTERFACE) for sandbox_id in sandbox_ids}
        return [
            (config, known | {(each.container_id, each.ifname) for each in kept if each.network == name})
            for name, config in networks.items()
        ]

    def _network(self, config: NetworkConfig) -> Network:
        """One object for one configuration: it keeps the verbs on one container in order."""
        network = self._networks.get(config.source)
        if network is None:
            network = self._networks[config.source] = Network(
                config,
                bin_dirs=self._settings.bin_dirs,
                cache_dir=self._settings.cache_dir,
                in_process=self._settings.in_process,
            )
        return network

    def _current(self) -> NetworkConfig:
        """The node's network; parsed again only when a file has changed. Blocks. Raises NoNetwork."""
        if self._settings.network is not None:
            return self._settings.network
        folder = self._settings.conf_dir
        state: list[tuple[Path, int, int, int]] = []
        # a network's plugins may also be in a folder of its name
        for path in (*cni_config.config_files(folder), *sorted(folder.glob("*/*.conf"))):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                state.append((path, found.st_mtime_ns, found.st_size, found.st_ino))
        if self._seen is None or self._seen[0] != state:
            self._seen = (state, cni_config.load_default(folder))
        return self._seen[1]

    def _used_by(self, sandbox_id: str) -> tuple[bool, list[NetworkConfig]]:
        """The networks that the sandbox is recorded to be attached to; else, and False, the current one, for half an ADD.

        Blocks.
        """
        found = [cni_config.parse(cached.config) for cached in self._cache.of_container(sandbox_id)]
        if found:
            return True, found
        try:
            return False, [self._current()]
        except NoNetwork:
            return False, []


def runtime_error(error: Exception) -> type[errors.RuntimeFault]:
    """The class of `runtimes.errors` that says of an error of CNI what its own class says."""
    return next((found for kind, found in _RUNTIME_ERRORS if isinstance(error, kind)), errors.Internal)


def refuse_router_advertisements() -> None:
    """Let this network namespace's interfaces to come believe no router that announces itself. Blocks.

    All on a bridge of these plugins are pods, and its routes are in their configuration: a pod that plays the router
    (CVE-2020-10749) would get the others' IPv6 traffic. A pod's own sysctl or a later plugin, as `tuning`, may say otherwise.
    """
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path("/proc/sys", *_ACCEPT_ROUTERS.split(".")).write_text("0")


def cni_args(sandbox_id: str, config: cri.PodSandboxConfig) -> dict[str, str]:
    """CNI_ARGS as Kubernetes' runtimes give it, in their order."""
    metadata = config.metadata
    return {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": metadata.namespace,
        "K8S_POD_NAME": metadata.name,
        "K8S_POD_INFRA_CONTAINER_ID": sandbox_id,
        "K8S_POD_UID": metadata.uid,
    }


def capabilities(config: cri.PodSandboxConfig) -> dict[str, Any]:
    """Values for the plugins that declare these capabilities. Raises InvalidArgument for a bandwidth that is none."""
    found: dict[str, Any] = {"io.kubernetes.cri.pod-annotations": dict(config.annotations)}
    if mappings := _port_mappings(config.port_mappings):
        found["portMappings"] = mappings
    if bandwidth := _bandwidth(config.annotations):
        found["bandwidth"] = bandwidth
    if config.HasField("dns_config"):
        dns = config.dns_config
        found["dns"] = {"servers": list(dns.servers), "searches": list(dns.searches), "options": list(dns.options)}
    if config.linux.cgroup_parent:
        found["cgroupPath"] = config.linux.cgroup_parent
    return found


def _port_mappings(mappings: Sequence[cri.PortMapping]) -> list[dict[str, Any]]:
    """Only ports that are to be reachable on the host."""
    return [
        {
            "hostPort": mapping.host_port,
            "containerPort": mapping.container_port,
            "protocol": cri.Protocol.Name(mapping.protocol).lower(),
            "hostIP": mapping.host_ip,
        }
        for mapping in mappings
        if mapping.host_port > 0
    ]


def _bandwidth(annotations: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for direction, key in _BANDWIDTH.items():
        if text := annotations.get(key):
            found[f"{direction}Rate"] = _rate(key, text)
            found[f"{direction}Burst"] = _BANDWIDTH_BURST_BITS
    return found


def _rate(key: str, text: str) -> int:
    with contextlib.suppress(quantity.InvalidQuantity):
        rate = quantity.parse(text)
        if _BANDWIDTH_RANGE[0] <= rate <= _BANDWIDTH_RANGE[1]:
            return int(rate)
    raise errors.InvalidArgument(f"annotation {key}: {text!r} is not a rate between 1k and 1P bits a second")
