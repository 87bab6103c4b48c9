"""The query of a list or a watch, checked."""

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.query import Query, flag, number, text
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.selectors import FieldTerm, Selection, parse_fields, parse_labels
from nodeagent.apiserver.storage.stored import Key
from runtimes.kube.field_errors import FieldError, forbidden, not_supported
from runtimes.kube.json_errors import UNREADABLE

META_VERSION = "meta.k8s.io/v1"
_REVISION_DIGITS = 20  # of 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """`revision` None: whatever is newest. `match`: "", `Exact` or `NotOlderThan`. `limit` 0: all."""

    selection: Selection
    revision: int | None = None
    match: str = ""
    limit: int = 0
    continue_: str = ""
    watch: bool = False
    bookmarks: bool = False
    initial_events: bool = False
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """Where a paged list goes on: after `start`, as of `revision`."""

    revision: int
    start: Key


def list_options(query: Query, resource: Resource, namespace: str, name: str = "") -> ListOptions:
    """Raises `ApiError` 400 and 422. `name`: of a watch on the path of a single object."""
    fields = parse_fields(text(query, "fieldSelector"), resource.field_labels, resource.aliases)
    if name:
        if any(t.field == "metadata.name" and t.equal and t.value != name for t in fields):
            raise ApiError.bad_request("field metadata.name does not match the name of the path")
        fields = (*fields, FieldTerm("metadata.name", name, True))
    watch = bool(flag(query, "watch"))
    options = ListOptions(
        selection=Selection(
            namespace=namespace if resource.namespaced else "",
            labels=parse_labels(text(query, "labelSelector")),
            fields=fields,
        ),
        revision=_revision(text(query, "resourceVersion")),
        match=text(query, "resourceVersionMatch"),
        limit=max(number(query, "limit") or 0, 0),
        continue_="" if watch else text(query, "continue"),
        watch=watch,
        bookmarks=bool(flag(query, "allowWatchBookmarks")),
        initial_events=bool(flag(query, "sendInitialEvents")),
        timeout_seconds=number(query, "timeoutSeconds"),
    )
    errors = _watch_rules(options, query) if watch else _list_rules(options, query)
    if errors:
        raise ApiError.invalid("ListOptions", "meta.k8s.io", "", errors)
    return options


def _list_rules(options: ListOptions, query: Query) -> list[FieldError]:
    errors = []
    if query.get("sendInitialEvents"):
        errors.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if options.match:
        if options.revision is None:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            errors.append(forbidden("resourceVersionMatch", why))
        if options.continue_:
            errors.append(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden with continue token"))
        if options.match not in ("Exact", "NotOlderThan"):
            errors.append(not_supported("resourceVersionMatch", options.match, ("Exact", "NotOlderThan", "")))
        if options.match == "Exact" and options.revision == 0:
            why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(forbidden("resourceVersionMatch", why))
    if options.continue_ and options.revision:
        errors.append(forbidden("resourceVersion", "specifying resource version is not allowed when using continue"))
    return errors


def _watch_rules(options: ListOptions, query: Query) -> list[FieldError]:
    errors = []
    if query.get("sendInitialEvents"):
        if options.match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            errors.append(forbidden("resourceVersionMatch", why))
    elif options.match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        errors.append(forbidden("resourceVersionMatch", why))
    if options.match and options.match != "NotOlderThan":
        errors.append(not_supported("resourceVersionMatch", options.match, ("NotOlderThan",)))
    return errors


def _revision(stated: str) -> int | None:
    if not stated:
        return None
    if not stated.isascii() or not stated.isdigit() or len(stated) > _REVISION_DIGITS:
        raise ApiError.bad_request(f"invalid resource version: {stated}")
    return int(stated)


def encode_continue(position: Continue) -> str:
    start = f"{position.start.namespace}/{position.start.name}\x00"
    data = msgspec.json.encode({"v": META_VERSION, "rv": position.revision, "start": start})
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_continue(token: str) -> Continue:
    """Raises `ApiError` 400."""
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        value: Any = msgspec.json.decode(data)
        revision, start = value["rv"], value["start"]
        if value["v"] != META_VERSION or not isinstance(revision, int) or not isinstance(start, str):
            raise ValueError("unknown version")
        namespace, slash, name = start.removesuffix("\x00").partition("/")
        if not slash:
            raise ValueError("no key")
    except (KeyError, TypeError, *UNREADABLE) as error:
        raise ApiError.bad_request(f"invalid continue token: {error}") from error
    return Continue(revision, Key(namespace, name))
