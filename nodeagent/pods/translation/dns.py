"""A pod's resolv.conf: dnsPolicy, dnsConfig, the node's own resolver, and the limits. Source: docs/facts/pod-lifecycle.md 12."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightkube.models.core_v1 import PodDNSConfig

from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri

_MAX_NAMESERVERS = 3
_MAX_SEARCHES = 32
_MAX_SEARCH_CHARS = 2048
_MAX_SEARCH_ITEM_CHARS = 253
_CLUSTER_OPTIONS = ("ndots:5",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """What a resolv.conf says."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DNSSettings:
    """The node's side. `host`: the parsed `resolvConf`, None when that is configured as empty.

    `expected`: pods of a cluster rely on its DNS, so its absence is an event of each.
    """

    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = ""
    host: Resolver | None = None
    node_ips: tuple[str, ...] = ()
    expected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DNSWarning:
    """A Warning event of the pod."""

    reason: str
    message: str


def parse_resolv_conf(text: str) -> Resolver:
    """Name servers add up, the last search line wins, options merge by name."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        match words[0]:
            case "nameserver" if len(words) > 1:
                servers.append(words[1])
            case "search":
                searches = [item for item in (word.removesuffix(".") for word in words[1:]) if item]
            case "options":
                options = _merge_options(options, words[1:])
    return Resolver(servers=tuple(servers), searches=tuple(searches), options=tuple(options))


def dns_config(pod: AgentPod, settings: DNSSettings) -> tuple[cri.DNSConfig, tuple[DNSWarning, ...]]:
    """The pod's resolver configuration, and what its owner should know about it."""
    warnings: list[DNSWarning] = []
    resolver = _by_policy(pod, settings, warnings)
    resolver = _merge(resolver, pod.spec.dnsConfig)
    resolver = _limit(resolver, warnings)
    config = cri.DNSConfig(servers=resolver.servers, searches=resolver.searches, options=resolver.options)
    return config, tuple(warnings)


def _by_policy(pod: AgentPod, settings: DNSSettings, warnings: list[DNSWarning]) -> Resolver:
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    if policy == "None":
        return Resolver()
    wants_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.hostNetwork)
    if wants_cluster and settings.cluster_dns:
        return _cluster_first(pod.namespace, settings)
    if wants_cluster and settings.expected:
        warnings.append(
            DNSWarning(
                reason="MissingClusterDNS",
                message=f'pod: "{pod.describe()}". kubelet does not have ClusterDNS IP configured and cannot create Pod '
                f'using "{policy}" policy. Falling back to "Default" policy.',
            )
        )
    if settings.host is not None:
        return settings.host
    # the node is to have no resolver of its own: what runs on the node is asked
    loopback = tuple("::1" if ":" in ip else "127.0.0.1" for ip in settings.node_ips)
    return Resolver(servers=loopback or ("127.0.0.1",), searches=(".",))


def _cluster_first(namespace: str, settings: DNSSettings) -> Resolver:
    domain = settings.cluster_domain
    own = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain) if domain else ()
    host = settings.host.searches if settings.host is not None else ()
    return Resolver(servers=settings.cluster_dns, searches=_distinct((*own, *host)), options=_CLUSTER_OPTIONS)


def _merge(resolver: Resolver, extra: PodDNSConfig | None) -> Resolver:
    if extra is None:
        return resolver
    options = [f"{option.name}:{option.value}" if option.value else option.name or "" for option in extra.options or ()]
    return Resolver(
        servers=_distinct((*resolver.servers, *(extra.nameservers or ()))),
        searches=_distinct((*resolver.searches, *(extra.searches or ()))),
        options=tuple(_merge_options(resolver.options, options)),
    )


def _limit(resolver: Resolver, warnings: list[DNSWarning]) -> Resolver:
    servers = resolver.servers[:_MAX_NAMESERVERS]
    if servers != resolver.servers:
        warnings.append(
            DNSWarning(
                reason="DNSConfigForming",
                message="Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver "
                f"line is: {' '.join(servers)}",
            )
        )
    searches = _fitting(resolver.searches)
    if searches != resolver.searches:
        warnings.append(
            DNSWarning(
                reason="DNSConfigForming",
                message="Search Line limits were exceeded, some search paths have been omitted, the applied search "
                f"line is: {' '.join(searches)}",
            )
        )
    return Resolver(servers=servers, searches=searches, options=resolver.options)


def _fitting(searches: Sequence[str]) -> tuple[str, ...]:
    kept: list[str] = []
    length = -1  # one blank fewer than entries
    for item in [item for item in searches if len(item) <= _MAX_SEARCH_ITEM_CHARS][:_MAX_SEARCHES]:
        length += 1 + len(item)
        if length > _MAX_SEARCH_CHARS:
            break
        kept.append(item)
    return tuple(kept)


def _merge_options(base: Iterable[str], override: Iterable[str]) -> list[str]:
    merged = {option.split(":", 1)[0]: option for option in base}
    merged.update((option.split(":", 1)[0], option) for option in override)
    return list(merged.values())


def _distinct(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
