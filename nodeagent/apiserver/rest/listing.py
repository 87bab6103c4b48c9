"""Lists: everything that is selected, at one revision, in pages if asked for."""

from collections.abc import Sequence

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.list_options import Continue, ListOptions, decode_continue, encode_continue
from nodeagent.apiserver.storage.store import Store, too_large_revision
from nodeagent.apiserver.storage.stored import Stored
from runtimes.kube.json_object import JsonObject

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing "
    "with the provided token results in an inconsistent list - objects that were created, modified, or deleted between "
    "the time the first chunk was returned and now may show up in the list."
)


def list_objects(store: Store, resource: Resource, options: ListOptions) -> tuple[Sequence[Stored], JsonObject]:
    """The objects of one page and the list's metadata. Raises `ApiError` 400, 410, 504."""
    revision, start = _at(store, options)
    items = _state(store, resource, options, revision)
    if start is not None:
        items = [item for item in items if item.key > start.start]
    metadata: JsonObject = {"resourceVersion": str(revision)}
    if options.limit and len(items) > options.limit:
        page, rest = items[: options.limit], len(items) - options.limit
        metadata["continue"] = encode_continue(Continue(revision, page[-1].key))
        if not options.selection.is_filter:
            metadata["remainingItemCount"] = rest
        items = page
    return items, metadata


def _at(store: Store, options: ListOptions) -> tuple[int, Continue | None]:
    """The revision to list at, and the position in it."""
    if options.continue_:
        position = decode_continue(options.continue_)
        if position.revision < 0:
            return store.revision, position
        if position.revision < store.compacted:
            raise _too_old(position)
        return position.revision, position
    wanted = options.revision or 0
    if wanted > store.revision:
        raise too_large_revision(wanted, store.revision)
    if options.match == "Exact" and wanted:
        store.check_revision(wanted)
        return wanted, None
    return store.revision, None


def _too_old(position: Continue) -> ApiError:
    error = ApiError.expired(_TOO_OLD)
    token = encode_continue(Continue(-1, position.start))
    error.list_metadata = {"continue": token}
    return error


def _state(store: Store, resource: Resource, options: ListOptions, revision: int) -> Sequence[Stored]:
    selection = options.selection
    if revision == store.revision:
        return store.list(resource.storage, selection, selection.namespace)
    return [item for item in store.state_at(resource.storage, revision) if selection.matches(item)]
