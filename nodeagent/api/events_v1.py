"""An event as events.k8s.io/v1 wants it, for an API that does not serve core/v1's. Pure.

Source: docs/facts/api-client-and-server.md F.3.
"""

from datetime import datetime
from typing import Any

from lightkube.models.core_v1 import Event as CoreEvent
from lightkube.models.events_v1 import Event
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.apitypes.times import micro_time

MAX_NOTE_CHARS = 1024
MAX_WORD_CHARS = 128


def new_event(event: CoreEvent) -> Event:
    """The event to create. What a kubelet does is named by its reason: core/v1 has no word for it."""
    assert event.firstTimestamp is not None
    return Event(
        metadata=ObjectMeta(
            name=event.metadata.name, namespace=event.metadata.namespace, annotations=event.metadata.annotations
        ),
        eventTime=micro_time(event.firstTimestamp),
        action=(event.reason or "")[:MAX_WORD_CHARS],
        reason=(event.reason or "")[:MAX_WORD_CHARS],
        regarding=event.involvedObject,
        reportingController=event.reportingComponent,
        reportingInstance=(event.reportingInstance or "")[:MAX_WORD_CHARS],
        type=event.type,
        note=_cut(event.message or ""),
    )


def repeat_patch(event: CoreEvent) -> dict[str, Any]:
    """What there is to say of the event when it has happened again; nothing else of it may change."""
    assert event.lastTimestamp is not None
    return {"series": {"count": event.count, "lastObservedTime": _text(micro_time(event.lastTimestamp))}}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_NOTE_CHARS else f"{text[: MAX_NOTE_CHARS - 1]}…"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
