"""What names mean in the cluster's domain: pure, and kept up to date a Service at a time.

Source: Kubernetes DNS-Based Service Discovery 1.1.0, sections 2.2 to 2.6 (dns-version, ClusterIP, headless, ExternalName).
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lightkube.models.core_v1 import Service
from lightkube.models.discovery_v1 import Endpoint, EndpointSlice

from nodeagent.api.endpoint_slices import ServiceKey, SlicesByService

SCHEMA_VERSION = "1.1.0"
_WHOLE_WEIGHT = 100


class RecordType(StrEnum):
    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"
    PTR = "PTR"
    SRV = "SRV"
    TXT = "TXT"


@dataclass(frozen=True, slots=True)
class Record:
    """`value`: an address, a name without its last dot, or a text. `port` and `weight` are those of an SRV."""

    type: RecordType
    value: str
    port: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """`records` are what the name has of the type; without any, `exists` tells NODATA from NXDOMAIN."""

    records: tuple[Record, ...] = ()
    exists: bool = True


Names = Mapping[str, tuple[Record, ...]]


class Zone:
    """The names of one cluster. `has_pod(namespace, address)`: whether such a pod is there, for `1-2-3-4.NAMESPACE.pod`."""

    def __init__(self, domain: str, has_pod: Callable[[str, str], bool]) -> None:
        self.domain = domain.lower().strip(".")
        self._has_pod = has_pod
        self._services: dict[ServiceKey, Service] = {}
        self._slices = SlicesByService()
        self._made: dict[ServiceKey, Names] = {}  # what a service contributes
        self._records: dict[str, dict[ServiceKey, tuple[Record, ...]]] = {}
        self._above: Counter[str] = Counter()  # how many names lie below: such a name exists, and has nothing itself
        version = {f"dns-version.{self.domain}": (Record(RecordType.TXT, SCHEMA_VERSION),)}
        self._put(("", ""), version)

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        """What an informer of Services tells."""
        changed = new or old
        assert changed is not None
        assert changed.metadata is not None
        key = (changed.metadata.namespace or "", changed.metadata.name or "")
        if new is None:
            self._services.pop(key, None)
        else:
            self._services[key] = new
        self._make(key)

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """What an informer of EndpointSlices tells."""
        for key in self._slices.change(old, new):
            self._make(key)

    def holds(self, name: str) -> bool:
        """Whether this zone alone answers for the name: it lies in the domain, or is the address of something here."""
        return _is_below(name, self.domain) or name in self._records

    def answer(self, name: str, wanted: str) -> Answer:
        """What `name` (lower case, without a last dot) has of type `wanted`; a CNAME answers for every type."""
        records = [record for part in self._records.get(name, {}).values() for record in part]
        if not records and (address := self._pod(name)):
            records = [_address_record(address)]
        matching = tuple(record for record in records if record.type == wanted or record.type is RecordType.CNAME)
        return Answer(matching, exists=bool(records) or name == self.domain or self._above[name] > 0)

    def _pod(self, name: str) -> str:
        """The address that `10-0-0-7.NAMESPACE.pod.DOMAIN` spells, if there is such a pod; or empty."""
        labels = name.removesuffix(f".pod.{self.domain}").split(".")
        if not name.endswith(f".pod.{self.domain}") or len(labels) != 2:
            return ""
        for separator in (".", ":"):
            text = labels[0].replace("-", separator)
            try:
                address = str(ipaddress.ip_address(text))
            except ValueError:
                continue
            return address if self._has_pod(labels[1], address) else ""
        return ""

    def _make(self, key: ServiceKey) -> None:
        for name in self._made.pop(key, {}):
            parts = self._records[name]
            del parts[key]
            if not parts:
                del self._records[name]
            for above in _ancestors(name, self.domain):
                self._above[above] -= 1
                if not self._above[above]:
                    del self._above[above]
        service = self._services.get(key)
        if service is not None:
            self._put(key, names_of(service, self._slices.of(key), self.domain))

    def _put(self, key: ServiceKey, names: Names) -> None:
        self._made[key] = names
        for name, records in names.items():
            self._records.setdefault(name, {})[key] = records
            self._above.update(_ancestors(name, self.domain))


def names_of(service: Service, slices: Sequence[EndpointSlice], domain: str) -> dict[str, tuple[Record, ...]]:
    """Every name that a Service gives rise to, its addresses' reverse names among them."""
    spec, metadata = service.spec, service.metadata
    assert metadata is not None
    if spec is None:
        return {}
    own = f"{metadata.name}.{metadata.namespace}.svc.{domain}".lower()
    if spec.type == "ExternalName":
        return {own: (Record(RecordType.CNAME, (spec.externalName or "").lower().rstrip(".")),)}
    if spec.clusterIP == "None":
        return _gathered(_headless(own, slices))
    return _gathered(_with_cluster_ip(own, service))


def _with_cluster_ip(own: str, service: Service) -> Iterator[tuple[str, Record]]:
    assert service.spec is not None
    for address in service.spec.clusterIPs or [service.spec.clusterIP or ""]:
        if _is_address(address):
            yield own, _address_record(address)
            yield reverse_name(address), Record(RecordType.PTR, own)
    for port in service.spec.ports or ():
        if port.name:
            name = f"_{port.name}._{(port.protocol or 'TCP').lower()}.{own}"
            yield name, Record(RecordType.SRV, own, port.port, _WHOLE_WEIGHT)


def _headless(own: str, slices: Sequence[EndpointSlice]) -> Iterator[tuple[str, Record]]:
    ready = [(item, endpoint) for item in slices for endpoint in item.endpoints or () if _is_ready(endpoint)]
    weight = max(1, _WHOLE_WEIGHT // len(ready)) if ready else 0
    for item, endpoint in ready:
        if item.addressType == "FQDN":
            continue
        for address in filter(_is_address, endpoint.addresses):
            host = endpoint.hostname or address.replace(".", "-").replace(":", "-")
            name = f"{host}.{own}".lower()
            yield own, _address_record(address)
            yield name, _address_record(address)
            if endpoint.hostname:
                yield reverse_name(address), Record(RecordType.PTR, name)
            for port in item.ports or ():
                if port.name and port.port is not None:
                    srv = f"_{port.name}._{(port.protocol or 'TCP').lower()}.{own}"
                    yield srv, Record(RecordType.SRV, name, port.port, weight)


def _is_ready(endpoint: Endpoint) -> bool:
    """Unknown is ready (the API's words); a Service that publishes others has them marked as ready by its controller."""
    return endpoint.conditions is None or endpoint.conditions.ready is not False


def _is_address(text: str) -> bool:
    """Nobody can be answered with anything else, whatever an object says."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _gathered(pairs: Iterable[tuple[str, Record]]) -> dict[str, tuple[Record, ...]]:
    names: dict[str, dict[Record, None]] = {}
    for name, record in pairs:
        names.setdefault(name, {})[record] = None
    return {name: tuple(records) for name, records in names.items()}


def _address_record(address: str) -> Record:
    return Record(RecordType.AAAA if ":" in address else RecordType.A, address)


def reverse_name(address: str) -> str:
    """The name under in-addr.arpa or ip6.arpa. Raises ValueError."""
    return ipaddress.ip_address(address).reverse_pointer


def _is_below(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _ancestors(name: str, domain: str) -> Iterator[str]:
    """The names between `name` and the domain."""
    if not _is_below(name, domain):
        return
    while (name := name.partition(".")[2]) and name != domain:
        yield name
