"""Look-ups over the kinds."""

from collections.abc import Iterable, Sequence

from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Index
from runtimes.kube.json_object import JsonObject


class Registry:
    """The kinds of one server. Fixed for its life."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources: Sequence[Resource] = tuple(resources)
        self._by_path = {(r.group, r.version, r.plural): r for r in self.resources}
        self._by_id = {r.id: r for r in self.resources}
        self._by_kind = {(r.group_version, r.kind): r for r in self.resources}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_path.get((group, version, plural))

    def by_id(self, resource: str) -> Resource | None:
        """By `pods` or `leases.coordination.k8s.io`."""
        return self._by_id.get(resource)

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        return self._by_kind.get((api_version, kind))

    def groups(self) -> Sequence[str]:
        """All groups but the core one, in order of registration."""
        return tuple(dict.fromkeys(r.group for r in self.resources if r.group))

    def in_group(self, group: str) -> Sequence[Resource]:
        return tuple(r for r in self.resources if r.group == group)

    def index(self, storage: str, obj: JsonObject) -> Index:
        """The store's indexer."""
        resource = self._by_id.get(storage)
        if resource is None:
            # written by a newer release of this server: kept, not shown
            return Index(labels={}, fields={}, uid=obj["metadata"].get("uid", ""), owners=())
        return resource.index(obj)
