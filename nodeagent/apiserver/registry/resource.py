"""One kind of object, as everything generic needs to know it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodeagent.apiserver.registry.table import NAME_AND_CREATED, TableView
from nodeagent.apiserver.storage.stored import Index
from runtimes.kube.json_object import JsonObject

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SUBRESOURCE_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A path below an object. `kind` "" is the parent's; `group` and `version` only where they are not the
    parent's. `stored`: reads and writes the parent object itself. `own_body`: its bodies are objects of its kind."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str | None = None
    version: str = ""
    own_body: bool = False
    stored: bool = False


STATUS = Subresource(name="status", verbs=SUBRESOURCE_WRITE, stored=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Another group's form of objects that are stored in this one's. Both functions return new objects."""

    storage: str
    show: Callable[[JsonObject], JsonObject]
    store: Callable[[JsonObject], JsonObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind: adding one is adding one of these to `builtin.py`.

    `selectable`: field label -> path in the object; `metadata.name` and `metadata.namespace` come by themselves.
    `generation`: spec changes are counted in metadata.generation. `graceful`: a delete waits for a grace period.
    `create_on_update`: a PUT of what is not there creates it. `status_on_create`: a create
    may bring its status along. `deprecation`: a warning that comes with every answer. `unconditional_update`: a PUT
    need not say which resourceVersion it replaces. `answered`: never stored, the create is a question.
    `measured`: never stored, told by the nodes when somebody reads it, and not in the table of types.
    """

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    singular: str = ""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    selectable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    subresources: tuple[Subresource, ...] = ()
    table: TableView = NAME_AND_CREATED
    generation: bool = False
    graceful: bool = False
    create_on_update: bool = False
    status_on_create: bool = False
    answered: bool = False
    measured: bool = False
    deprecation: str = ""
    unconditional_update: bool = True
    view: View | None = None

    @property
    def id(self) -> str:
        """`pods`, `leases.coordination.k8s.io`: the name in messages and hooks."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage(self) -> str:
        """Where its objects are stored: its own id, or that of the kind it is a view of."""
        return self.view.storage if self.view else self.id

    @property
    def stored(self) -> bool:
        return not (self.answered or self.measured)

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    @property
    def has_status(self) -> bool:
        return any(sub.name == "status" for sub in self.subresources)

    @property
    def field_labels(self) -> tuple[str, ...]:
        return ("metadata.name", *(("metadata.namespace",) if self.namespaced else ()), *self.selectable)

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)

    def index(self, obj: JsonObject) -> Index:
        """What selectors and the garbage collector need of `obj`."""
        meta = obj["metadata"]
        fields = {"metadata.name": meta.get("name", ""), "metadata.namespace": meta.get("namespace", "")}
        for label, path in self.selectable.items():
            fields[label] = field_text(obj, path)
        owners = meta.get("ownerReferences")
        return Index(
            labels=meta.get("labels") or {},
            fields=fields,
            uid=meta.get("uid", ""),
            owners=tuple(owner.get("uid", "") for owner in owners) if owners else (),
        )


def field_text(obj: JsonObject, path: tuple[str, ...]) -> str:
    """The text that a field selector compares with: "" for an absent field, `true`/`false` for booleans."""
    value: Any = obj
    for step in path:
        if not isinstance(value, dict):
            return ""
        value = value.get(step)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(str(item.get("ip", "")) if isinstance(item, dict) else str(item) for item in value)
    return "" if value is None else str(value)
