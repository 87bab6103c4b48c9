"""The values that the store holds and hands out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from runtimes.kube.json_object import JsonObject

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


class Key(NamedTuple):
    """Name of an object inside its resource. Compares as lists are ordered: by namespace, then name."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What is read from an object once, when it is stored, so that selecting needs no decoding."""

    labels: Mapping[str, str]
    fields: Mapping[str, str]
    uid: str
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One version of one object. `data` is its JSON, kind, apiVersion and resourceVersion included."""

    resource: str
    key: Key
    revision: int
    data: bytes
    index: Index

    def decode(self) -> JsonObject:
        """A fresh copy, the caller's to change."""
        obj: JsonObject = msgspec.json.decode(self.data)
        return obj


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One committed write. `new` of a DELETED is the last state with the revision of the deletion."""

    type: ChangeType
    new: Stored
    old: Stored | None

    @property
    def revision(self) -> int:
        return self.new.revision
