"""What a write request knows while it runs; the `AdmissionContext` of its hooks."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nodeagent.apiserver.contract import ServiceNetwork, UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.selectors import Requirement, Selection, parse_fields
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key
from runtimes.kube.json_object import JsonObject

# more than fit into the headers of an answer
MAX_WARNINGS = 512


class Warnings(dict[str, None]):
    """Texts for the `Warning` headers of the answer, none twice, in the order in which they came up."""


class HeadReader:
    """Reads of the newest state, writes in flight included: the `StoreReader` of the contract."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def get(self, resource: str, namespace: str, name: str) -> JsonObject | None:
        stored = self._store.head(resource, Key(namespace, name))
        return stored.decode() if stored else None

    def list(
        self, resource: str, namespace: str = "", *, labels: Mapping[str, str] | None = None, field_selector: str = ""
    ) -> list[JsonObject]:
        found = self._registry.by_id(resource)
        fields = parse_fields(field_selector, found.field_labels, found.aliases) if found and field_selector else ()
        wanted = tuple(Requirement(key, "In", frozenset({value})) for key, value in (labels or {}).items())
        selection = Selection(namespace=namespace, labels=wanted, fields=fields)
        return [stored.decode() for stored in self._store.head_list(resource, selection, namespace)]


@dataclass(slots=True, kw_only=True)
class Context:
    """One request: who, when, for what."""

    reader: HeadReader
    resource: str
    namespace: str
    name: str
    user: UserInfo
    dry_run: bool
    now: datetime
    node_name: str
    service_network: ServiceNetwork = field(default_factory=ServiceNetwork)
    warnings: Warnings = field(default_factory=Warnings)

    def get(self, resource: str, namespace: str, name: str) -> JsonObject | None:
        return self.reader.get(resource, namespace, name)

    def list(
        self, resource: str, namespace: str = "", *, labels: Mapping[str, str] | None = None, field_selector: str = ""
    ) -> list[JsonObject]:
        return self.reader.list(resource, namespace, labels=labels, field_selector=field_selector)

    def warn(self, text: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.setdefault(text)

    @contextlib.contextmanager
    def carried(self) -> Iterator[None]:
        """A refusal carries the warnings that came before it."""
        try:
            yield
        except ApiError as error:
            error.warnings = tuple(self.warnings)
            raise

    def warn_all(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.warn(text)
