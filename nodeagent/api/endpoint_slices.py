"""EndpointSlices by the Service that they are of, kept up to date from an informer."""

from lightkube.models.discovery_v1 import EndpointSlice

SERVICE_LABEL = "kubernetes.io/service-name"

ServiceKey = tuple[str, str]  # namespace, name


class SlicesByService:
    """A slice without the label is of no Service. The label may change: then two Services have changed."""

    def __init__(self) -> None:
        self._slices: dict[ServiceKey, dict[str, EndpointSlice]] = {}

    def of(self, service: ServiceKey) -> tuple[EndpointSlice, ...]:
        """In the order of their names."""
        found = self._slices.get(service, {})
        return tuple(found[name] for name in sorted(found))

    def change(self, old: EndpointSlice | None, new: EndpointSlice | None) -> list[ServiceKey]:
        """Take up what an informer tells; return the Services that it is about."""
        before, after = _service_of(old), _service_of(new)
        if before is not None and old is not None:
            slices = self._slices.get(before, {})
            slices.pop(_name_of(old), None)
            if not slices:
                self._slices.pop(before, None)
        if after is not None and new is not None:
            self._slices.setdefault(after, {})[_name_of(new)] = new
        return [key for key in dict.fromkeys((before, after)) if key is not None]


def _service_of(item: EndpointSlice | None) -> ServiceKey | None:
    metadata = item.metadata if item is not None else None
    if metadata is None or not (service := (metadata.labels or {}).get(SERVICE_LABEL)):
        return None
    return metadata.namespace or "", service


def _name_of(item: EndpointSlice) -> str:
    return (item.metadata.name if item.metadata else None) or ""
