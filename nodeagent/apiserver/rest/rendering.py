"""Objects as a client asked for them: themselves, metadata only, or rows of a table; as JSON or YAML."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import yaml

from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.negotiation import YAML, Representation
from runtimes.kube.json_object import JsonObject

IncludeObject = Literal["None", "Metadata", "Object"]
META = "meta.k8s.io"
_encode = msgspec.json.encode


def serialize(value: Any, form: Representation) -> bytes:
    """A decoded object in the media type of `form`."""
    if form.media == YAML:
        return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=True, default_flow_style=False).encode()
    data = _encode(value)
    return msgspec.json.format(data, indent=2) + b"\n" if form.pretty else data


class Renderer:
    """Renders objects of one kind for one request. `data` is always JSON in the stored form."""

    def __init__(self, resource: Resource, form: Representation, include: IncludeObject = "Metadata") -> None:
        self._resource = resource
        self._form = form
        self._include = include
        # items of a list say kind and apiVersion once, for all
        self._prefix = _encode({"kind": resource.kind, "apiVersion": resource.group_version})[:-1] + b","

    @property
    def verbatim(self) -> bool:
        """Whether stored bytes are what the client gets."""
        return self._form.plain and self._resource.view is None

    def one(self, data: bytes) -> bytes:
        if self.verbatim:
            return data
        return serialize(self.shaped(data), self._form)

    def shaped(self, data: bytes) -> JsonObject:
        """One object in the shape asked for, decoded."""
        obj: JsonObject = msgspec.json.decode(data)
        if self._form.shape == "table":
            return self._table([obj], obj["metadata"].get("resourceVersion", ""), {})
        if self._form.shape == "partial":
            return self._partial(obj)
        return self._shown(obj)

    def many(self, items: Sequence[bytes], metadata: JsonObject) -> bytes:
        """A list. `metadata`: resourceVersion, continue, remainingItemCount."""
        if self.verbatim:
            head = _encode(
                {"kind": f"{self._resource.kind}List", "apiVersion": self._resource.group_version, "metadata": metadata}
            )
            return head[:-1] + b',"items":[' + b",".join(self._bare(item) for item in items) + b"]}"
        return serialize(self._list([msgspec.json.decode(item) for item in items], metadata), self._form)

    def _bare(self, data: bytes) -> bytes:
        return b"{" + data[len(self._prefix) :] if data.startswith(self._prefix) else data

    def _list(self, objects: Sequence[JsonObject], metadata: JsonObject) -> JsonObject:
        if self._form.shape == "table":
            return self._table(objects, metadata.get("resourceVersion", ""), metadata)
        if self._form.shape == "partial":
            kind, version = "PartialObjectMetadataList", f"{META}/{self._form.version}"
            return {"kind": kind, "apiVersion": version, "metadata": metadata, "items": self._partials(objects)}
        items = [{k: v for k, v in self._shown(o).items() if k not in ("kind", "apiVersion")} for o in objects]
        kind, version = f"{self._resource.kind}List", self._resource.group_version
        return {"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}

    def _partials(self, objects: Iterable[JsonObject]) -> list[JsonObject]:
        return [self._partial(obj) for obj in objects]

    def _partial(self, obj: JsonObject) -> JsonObject:
        version = f"{META}/{self._form.version}"
        return {"kind": "PartialObjectMetadata", "apiVersion": version, "metadata": obj["metadata"]}

    def _shown(self, obj: JsonObject) -> JsonObject:
        return self._resource.view.show(obj) if self._resource.view else obj

    def _table(self, objects: Sequence[JsonObject], revision: str, metadata: JsonObject) -> JsonObject:
        view, now = self._resource.table, datetime.now(UTC)
        rows = []
        for obj in objects:
            row: JsonObject = {"cells": view.cells(obj, now)}
            if view.conditions is not None and (conditions := view.conditions(obj)):
                row["conditions"] = conditions
            row["object"] = self._row_object(obj)
            rows.append(row)
        return {
            "kind": "Table",
            "apiVersion": f"{META}/{self._form.version}",
            "metadata": {"resourceVersion": revision, **metadata},
            "columnDefinitions": [column.definition() for column in view.columns],
            "rows": rows,
        }

    def _row_object(self, obj: JsonObject) -> JsonObject | None:
        if self._include == "None":
            return None
        return self._shown(obj) if self._include == "Object" else self._partial(obj)

    def event(self, kind: str, data: bytes) -> bytes:
        """One line of a watch."""
        obj = data if self.verbatim else _encode(self.shaped(data))
        return b'{"type":"' + kind.encode() + b'","object":' + obj + b"}\n"

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        """A BOOKMARK line: the revision up to which everything has been sent."""
        metadata: JsonObject = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        obj: JsonObject = {
            "kind": self._resource.kind,
            "apiVersion": self._resource.group_version,
            "metadata": metadata,
        }
        if self._form.shape == "partial":
            obj = {**obj, "kind": "PartialObjectMetadata", "apiVersion": f"{META}/{self._form.version}"}
        elif self._form.shape == "table":
            obj = {
                "kind": "Table",
                "apiVersion": f"{META}/{self._form.version}",
                "metadata": metadata,
                "columnDefinitions": [],
                "rows": [],
            }
        return b'{"type":"BOOKMARK","object":' + _encode(obj) + b"}\n"
