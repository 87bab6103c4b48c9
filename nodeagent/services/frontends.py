"""Where a Service is reached, and what is behind each of these places. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from lightkube.models.core_v1 import Service, ServicePort, ServiceSpec
from lightkube.models.discovery_v1 import EndpointSlice

from nodeagent.api.endpoint_slices import ServiceKey
from nodeagent.services.balancing import Behind, Endpoint, Policy, behind, is_port, may_be_reached

API_SERVICE: ServiceKey = ("default", "kubernetes")
OTHERS_PROXY = "service.kubernetes.io/service-proxy-name"
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_STICKY_SECONDS, _LONGEST_SECONDS = 10800, 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """One place: an address, or with `address` empty all of this node's, of the family; and what it leads to.

    `service` says whose it is, for people. `external`: an address that is nobody's but by its author's word.
    """

    version: int
    address: str
    protocol: str
    port: int
    service: str
    behind: Behind
    sticky_seconds: int  # 0: each connection goes anywhere
    external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is the node's own. `api`: where the API's own Service leads, whatever slices say; None: where they say."""

    node_name: str
    api: Endpoint | None = None


def frontends(service: Service, slices: Sequence[EndpointSlice], view: View) -> tuple[Frontend, ...]:
    """All places of a Service; none of headless and external ones, and of those that another proxy is to lead."""
    spec = service.spec
    if spec is None or not cluster_addresses(service):
        return ()
    return tuple(place for port in spec.ports or () for place in _places(service, spec, port, slices, view))


def cluster_addresses(service: Service) -> tuple[str, ...]:
    """Its cluster IPs, of each family one, in the usual form."""
    spec, labels = service.spec, (service.metadata.labels if service.metadata else None) or {}
    if OTHERS_PROXY in labels or spec is None or spec.type == "ExternalName" or spec.clusterIP in (None, "", "None"):
        return ()
    return tuple(
        dict.fromkeys(each for version in (4, 6) for each in _of(version, spec.clusterIPs or [spec.clusterIP]))
    )


def _places(
    service: Service, spec: ServiceSpec, port: ServicePort, slices: Sequence[EndpointSlice], view: View
) -> Iterator[Frontend]:
    protocol = _PROTOCOLS.get(port.protocol or "TCP")
    if protocol is None or not is_port(port.port):
        return
    inside, outside = _policy(spec.internalTrafficPolicy), _policy(spec.externalTrafficPolicy)
    cluster, external = cluster_addresses(service), spec.externalIPs or []
    node_port = port.nodePort if spec.type in ("NodePort", "LoadBalancer") else None
    for version in sorted({ip_address(address).version for address in cluster}):
        places: list[tuple[str, int, Policy]] = []
        places += [(address, port.port, inside) for address in _of(version, cluster)]
        places += [(address, port.port, outside) for address in _of(version, external)]
        places += [("", node_port, outside)] if is_port(node_port) else []
        groups = {
            policy: _behind(service, port, slices, version, policy, view)
            for policy in {policy for *_, policy in places}
        }
        for address, number, policy in places:
            yield Frontend(
                version=version,
                address=address,
                protocol=protocol,
                port=number,
                service="/".join(key_of(service)),
                behind=groups[policy],
                sticky_seconds=sticky_seconds(spec),
                external=bool(address) and address not in cluster,
            )


def _behind(
    service: Service, port: ServicePort, slices: Sequence[EndpointSlice], version: int, policy: Policy, view: View
) -> Behind:
    if view.api is not None and key_of(service) == API_SERVICE:
        return Behind((view.api,) if ip_address(view.api.address).version == version else ())
    return behind(slices, port.name or "", port.protocol or "TCP", version, policy, view.node_name)


def sticky_seconds(spec: ServiceSpec) -> int:
    """For how long a client comes to the same endpoint again."""
    if spec.sessionAffinity != "ClientIP":
        return 0
    config = spec.sessionAffinityConfig.clientIP if spec.sessionAffinityConfig else None
    return min(max((config.timeoutSeconds if config else None) or _STICKY_SECONDS, 1), _LONGEST_SECONDS)


def _policy(written: str | None) -> Policy:
    """One that a newer API may know, and this agent not, is the usual one."""
    return Policy(written) if written in set(Policy) else Policy.CLUSTER


def key_of(service: Service) -> ServiceKey:
    metadata = service.metadata
    return ((metadata.namespace if metadata else None) or "", (metadata.name if metadata else None) or "")


def _of(version: int, addresses: Iterable[str]) -> Iterator[str]:
    """Those of the family, in the usual form; what may not be led from is left out."""
    return (str(ip_address(text)) for text in addresses if may_be_reached(text, version))
