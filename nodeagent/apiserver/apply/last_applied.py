"""The annotation in which `kubectl apply` without `--server-side` keeps what it applied, beside server-side applies."""

import json

import msgspec

from nodeagent.apiserver.apply import elements, sets
from nodeagent.apiserver.apply.checking import faults
from nodeagent.apiserver.apply.comparing import compare
from nodeagent.apiserver.apply.merging import fields_of
from nodeagent.apiserver.apply.sets import Fields
from nodeagent.apiserver.apply.shapes import Shape
from nodeagent.apitypes.object_meta import MAX_ANNOTATIONS_BYTES
from runtimes.kube.json_object import JsonObject

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
"""The manager whose applies go on where `kubectl apply` left off; any other name opts out."""


def stated(obj: JsonObject) -> str:
    annotations = (obj.get("metadata") or {}).get("annotations")
    text = annotations.get(ANNOTATION) if isinstance(annotations, dict) else None
    return text if isinstance(text, str) else ""


def unchanged_since(live: JsonObject, version: str, shape: Shape) -> Fields | None:
    """The fields that the last client-side apply set and nobody changed since; None when that is unknown."""
    try:
        config = json.loads(stated(live) or "null")
    except ValueError:
        return None
    if not isinstance(config, dict) or config.get("apiVersion") != version or faults(config, shape):
        return None
    changes = compare(config, live, shape, literal=True)
    fields = fields_of(config, shape)
    for changed in (changes.modified, changes.added, changes.removed):
        fields = sets.difference(fields, changed)
    return fields


def renew(obj: JsonObject, config: JsonObject) -> None:
    """Keep the annotation of `obj`, if it has one, in step with `config`. Left out when it would be too long."""
    if not stated(obj):
        return
    metadata = dict(config.get("metadata") or {})
    if isinstance(annotations := metadata.get("annotations"), dict):
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != ANNOTATION}
    text = elements.html_safe(msgspec.json.encode({**config, "metadata": metadata}, order="sorted").decode()) + "\n"
    annotations = {**obj["metadata"]["annotations"], ANNOTATION: text}
    if (
        sum(len(key.encode()) + len((value or "").encode()) for key, value in annotations.items())
        > MAX_ANNOTATIONS_BYTES
    ):
        del annotations[ANNOTATION]
    obj["metadata"] = {**obj["metadata"], "annotations": annotations}
