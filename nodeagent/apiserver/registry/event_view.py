"""Events have two forms, core/v1 and events.k8s.io/v1, of the same stored objects: only names differ."""

from collections.abc import Mapping

from runtimes.kube.json_object import JsonObject

_CORE_TO_EVENTS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENTS_TO_CORE = {new: old for old, new in _CORE_TO_EVENTS.items()}


def to_events(core: JsonObject) -> JsonObject:
    """The events.k8s.io/v1 form of a core/v1 event."""
    return {**_renamed(core, _CORE_TO_EVENTS), "apiVersion": "events.k8s.io/v1"}


def to_core(event: JsonObject) -> JsonObject:
    return {**_renamed(event, _EVENTS_TO_CORE), "apiVersion": "v1"}


def _renamed(obj: JsonObject, names: Mapping[str, str]) -> JsonObject:
    return {names.get(key, key): value for key, value in obj.items()}
