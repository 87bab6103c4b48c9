"""`metadata.managedFields`: who wrote which fields, when, by which kind of request."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import msgspec

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.elements import BadElement
from nodeagent.apiserver.apply.sets import Fields
from nodeagent.apiserver.kinds.timestamps import epoch
from runtimes.kube.field_errors import FieldError, invalid, too_long
from runtimes.kube.json_object import JsonObject

Operation = Literal["Apply", "Update"]

FIELDS_V1 = "FieldsV1"
MAX_UPDATERS = 10
ANCIENT = "ancient-changes"
UNKNOWN = "unknown"
MAX_NAME_BYTES = 128
MAX_SUBRESOURCE = 256


class BadEntries(ValueError):
    """Entries that no server wrote."""


class Manager(NamedTuple):
    """What tells entries apart. `version` is "" of an Apply: it has one entry whatever version it was made in."""

    name: str
    operation: Operation
    version: str
    subresource: str

    @property
    def identifier(self) -> str:
        """What managers are ordered by."""
        parts = {"manager": self.name, "operation": self.operation, "apiVersion": self.version}
        named = {key: value for key, value in {**parts, "subresource": self.subresource}.items() if value}
        return msgspec.json.encode(named).decode()

    @property
    def shown(self) -> str:
        """As conflicts name it: `"kubectl-edit" using v1`."""
        text = msgspec.json.encode(self.name).decode()
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.version}" if self.operation == "Update" else text


def updater(name: str, version: str, subresource: str) -> Manager:
    return Manager(name or UNKNOWN, "Update", version, subresource)


def applier(name: str, subresource: str) -> Manager:
    return Manager(name or UNKNOWN, "Apply", "", subresource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """What one manager owns. `version`: in which form of the kind. `time` "" for an entry without. `stored`: the
    fields are in the order in which they are stored."""

    fields: Fields
    version: str
    time: str = ""
    stored: bool = False

    def with_fields(self, fields: Fields) -> "Owned":
        return self if fields is self.fields else Owned(fields=fields, version=self.version, time=self.time)


Owners = Mapping[Manager, Owned]


def decode(entries: Any, *, trusted: bool = False) -> dict[Manager, Owned]:
    """`trusted`: written by this server. Raises `BadEntries`."""
    found: dict[Manager, Owned] = {}
    for entry in entries or ():
        operation, version = entry.get("operation"), entry.get("apiVersion") or ""
        if operation not in ("Apply", "Update"):
            raise BadEntries("operation must be `Apply` or `Update`")
        if not version:
            raise BadEntries("apiVersion must not be empty")
        if entry.get("fieldsType") != FIELDS_V1:
            raise BadEntries(f"invalid fieldsType {entry.get('fieldsType')!r}")
        name, subresource = entry.get("manager") or "", entry.get("subresource") or ""
        manager = Manager(name, operation, "" if operation == "Apply" else version, subresource)
        stated = entry.get("fieldsV1")
        try:
            fields = stated or {} if trusted else sets.read(stated)
        except BadElement as error:
            raise BadEntries(str(error)) from error
        found[manager] = Owned(fields=fields, version=version, time=entry.get("time") or "", stored=trusted)
    return found


def invalid_entries(entries: Any) -> list[FieldError]:
    """What the API refuses in entries that a client wrote."""
    errors = []
    for index, entry in enumerate(entries or ()):
        path = f"metadata.managedFields[{index}]"
        name, subresource = entry.get("manager") or "", entry.get("subresource") or ""
        if len(name.encode()) > MAX_NAME_BYTES:
            errors.append(too_long(f"{path}.manager", MAX_NAME_BYTES))
        elif not name.isprintable():
            errors.append(invalid(f"{path}.manager", name, "should only contain printable characters"))
        if len(subresource) > MAX_SUBRESOURCE:
            errors.append(too_long(f"{path}.subresource", MAX_SUBRESOURCE))
    return errors


def is_reset(entries: Any) -> bool:
    """Whether a client asks for the owners to be forgotten: an empty list, or one with an empty entry."""
    return isinstance(entries, list) and (not entries or (len(entries) == 1 and not any(_values(entries[0]))))


def _values(entry: Any) -> list[Any]:
    return list(entry.values()) if isinstance(entry, dict) else []


def encode(owners: Owners) -> list[JsonObject]:
    """As stored: Apply before Update, then by time and name."""
    found = sorted(owners.items(), key=lambda item: (item[0].operation, _seconds(item[1].time), item[0].name,
                                                     item[1].version, item[0].subresource))  # fmt: skip
    return [_entry(manager, owned) for manager, owned in found]


def _entry(manager: Manager, owned: Owned) -> JsonObject:
    entry: JsonObject = {"manager": manager.name, "operation": manager.operation, "apiVersion": owned.version}
    if owned.time:
        entry["time"] = owned.time
    entry |= {"fieldsType": FIELDS_V1, "fieldsV1": owned.fields if owned.stored else sets.ordered(owned.fields)}
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def _seconds(time: str) -> int:
    try:
        return int(epoch(time)) if time else 0
    except ValueError:
        return 0


def same_but_times(one: Any, other: Any) -> bool:
    """Whether two lists of entries differ in nothing but when they were written."""
    if not one or not other or len(one) != len(other):
        return not one and not other
    return all(a == b or {**a, "time": None} == {**b, "time": None} for a, b in zip(one, other, strict=True))


def capped(owners: dict[Manager, Owned]) -> dict[Manager, Owned]:
    """At most `MAX_UPDATERS` entries of updates: the oldest of a version become one."""
    updaters = [manager for manager in owners if manager.operation == "Update"]
    if len(updaters) <= MAX_UPDATERS:
        return owners
    result = dict(owners)
    left = len(updaters)
    oldest: dict[str, Manager] = {}
    parts: dict[Manager, list[Fields]] = {}
    for manager in sorted(updaters, key=lambda one: (_seconds(owners[one].time), one.identifier)):
        version, time = owners[manager].version, owners[manager].time
        if left <= MAX_UPDATERS:
            break
        if oldest.setdefault(version, manager) == manager:
            continue
        bucket = updater(ANCIENT, version, "")
        together = {oldest[version], manager, bucket} & result.keys()
        merged = parts.pop(bucket, [])
        merged += [fields for each in together if (fields := result.pop(each).fields)]
        parts[bucket] = merged
        # the time of the newest that went in
        result[bucket] = Owned(fields={}, version=version, time=time)
        oldest[version] = bucket
        left -= len(together) - 1
    for bucket, merged in parts.items():
        result[bucket] = replace(result[bucket], fields=sets.union_all(merged))
    return result
