"""What is around a node's figures: what it is, its runtimes, the parts of its agent that do not run, recent events."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from lightkube.models.core_v1 import Event, Node, Pod

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.wire import decode_list
from nodeagent.cli.part_row import PartRow, PartsUnknown, read_parts

EVENTS_SHOWN = 50
_PAGE, _PAGES = 500, 4  # of a cluster's events so many are looked through
_MAX_TEXT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """`about`: kind and name."""

    at: float
    type: str
    reason: str
    about: str
    namespace: str
    message: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`…_unknown`: why there is none, or not all, of it."""

    node: Node = field(default_factory=Node)
    parts: Sequence[PartRow] = ()
    parts_unknown: str = ""
    events: Sequence[EventRow] = ()
    events_unknown: str = ""

    async def read(self, client: ApiClient, node_name: str, pods: Sequence[Pod]) -> "Surroundings":
        """Look again. Raises nothing: what does not answer is not known."""
        node, (parts, parts_unknown), (events, events_unknown) = await asyncio.gather(
            _node(client, node_name, self.node), _parts(client, node_name), _events(client, node_name, pods)
        )
        return Surroundings(
            node=node, parts=parts, parts_unknown=parts_unknown, events=events, events_unknown=events_unknown
        )


async def _node(client: ApiClient, node_name: str, before: Node) -> Node:
    try:
        return await client.get(Node, node_name)
    except ApiError:
        return before


async def _parts(client: ApiClient, node_name: str) -> tuple[Sequence[PartRow], str]:
    try:
        return await read_parts(client, quote(node_name, safe="")), ""
    except PartsUnknown as unknown:
        return (), str(unknown)


async def _events(client: ApiClient, node_name: str, pods: Sequence[Pod]) -> tuple[Sequence[EventRow], str]:
    names = {(pod.metadata.namespace or "", pod.metadata.name or "") for pod in pods if pod.metadata is not None}
    found: list[EventRow] = []
    token = ""
    for _ in range(_PAGES):
        more = f"&continue={quote(token, safe='')}" if token else ""
        try:
            body = await client.request("GET", f"/api/v1/events?limit={_PAGE}{more}", patient=False)
            page = decode_list(Event, body)
        except ApiError as error:
            return newest(found), error.message
        found += [event_row(event) for event in page.items if _concerns(event, node_name, names)]
        token = page.token
        if not token:
            return newest(found), ""
    return newest(found), f"only the first {_PAGE * _PAGES} of the cluster's events were looked through"


def _concerns(event: Event, node_name: str, pods: set[tuple[str, str]]) -> bool:
    about = event.involvedObject
    if (event.source and event.source.host == node_name) or event.reportingInstance == node_name:
        return True
    if about.kind == "Pod":
        return (about.namespace or "", about.name or "") in pods
    return about.kind == "Node" and about.name == node_name


def newest(events: Iterable[EventRow]) -> Sequence[EventRow]:
    return sorted(events, key=lambda event: event.at, reverse=True)[:EVENTS_SHOWN]


def event_row(event: Event) -> EventRow:
    about, series = event.involvedObject, event.series
    at: datetime | None = (
        (series.lastObservedTime if series else None)
        or event.lastTimestamp
        or event.eventTime
        or event.metadata.creationTimestamp
    )
    return EventRow(
        at=at.timestamp() if at is not None else 0.0,
        type=(event.type or "")[:_MAX_TEXT],
        reason=(event.reason or "")[:_MAX_TEXT],
        about=f"{about.kind or ''} {about.name or ''}".strip()[:_MAX_TEXT],
        namespace=about.namespace or "",
        message=(event.message or "")[:_MAX_TEXT],
        count=(series.count if series and series.count else None) or event.count or 1,
    )
