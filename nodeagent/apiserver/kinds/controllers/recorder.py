"""Events that the server's own controllers write."""

import logging
import secrets
import time

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.timestamps import rfc3339
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)
NORMAL = "Normal"
WARNING = "Warning"
CLUSTER_EVENTS_NAMESPACE = "default"


def event(about: JsonObject, *, kind: str, component: str, type_: str, reason: str, message: str) -> JsonObject:
    """A core/v1 Event about an object; `kind` is the object's kind (objects from lists do not carry it)."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace") or CLUSTER_EVENTS_NAMESPACE
    moment = rfc3339(time.time())
    involved = {
        "kind": kind,
        "apiVersion": "v1",
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    if metadata.get("namespace"):
        involved["namespace"] = metadata["namespace"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}", "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "type": type_,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


async def record(api: LocalApi, obj: JsonObject) -> None:
    """Write an event; events are best effort, a refusal (a namespace that goes away) is only logged."""
    try:
        await api.create("events", obj)
    except ApiError as error:
        log.debug("event %s not written: %s", obj["reason"], error.message)
