"""Lists: options, pages, revisions."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.list_options import Continue, decode_continue, encode_continue, list_options
from nodeagent.apiserver.rest.listing import list_objects
from nodeagent.apiserver.storage.history import Retention
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key


@pytest.fixture
def kind(registry: Registry) -> Resource:
    found = registry.by_id("configmaps")
    assert found is not None
    return found


async def fill(store: Store, *names: str) -> None:
    for name in names:
        obj: dict[str, Any] = {"metadata": {"name": name, "namespace": "d", "labels": {"n": name}}}
        await store.put("configmaps", Key("d", name), obj).durable()


def listed(store: Store, kind: Resource, **query: str) -> tuple[list[str], dict[str, Any]]:
    options = list_options({name: [value] for name, value in query.items()}, kind, "d")
    items, metadata = list_objects(store, kind, options)
    return [item.key.name for item in items], metadata


async def test_pages(store: Store, kind: Resource) -> None:
    """Pages follow each other at one revision, whatever is written between them."""
    await fill(store, "a", "c", "e", "g", "i")
    first, meta = listed(store, kind, limit="2")
    assert (first, meta["resourceVersion"], meta["remainingItemCount"]) == (["a", "c"], "5", 3)
    await fill(store, "d", "h")
    await store.remove("configmaps", Key("d", "e")).durable()
    second, meta = listed(store, kind, limit="2", **{"continue": meta["continue"]})
    assert (second, meta["resourceVersion"], meta["remainingItemCount"]) == (["e", "g"], "5", 1)
    assert listed(store, kind, limit="2", **{"continue": meta["continue"]}) == (["i"], {"resourceVersion": "5"})


async def test_no_count_with_selectors(store: Store, kind: Resource) -> None:
    """How many more there are is not told of a selection."""
    await fill(store, "a", "b", "c")
    names, meta = listed(store, kind, limit="1", labelSelector="n!=b")
    assert (names, "remainingItemCount" in meta) == (["a"], False)


async def test_expired_token(open_store: Any, kind: Resource, clock: Any) -> None:
    """A token from before the compaction is 410 with one that goes on with what there is now."""
    store = open_store(Retention(min_age_seconds=1, max_age_seconds=10))
    await fill(store, "a", "b", "c")
    _, meta = listed(store, kind, limit="1")
    await fill(store, "d")
    clock.forward(11)
    await fill(store, "e")
    with pytest.raises(ApiError) as caught:
        listed(store, kind, **{"continue": meta["continue"]})
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert caught.value.message.startswith("The provided continue parameter is too old to display a consistent list")
    names, _ = listed(store, kind, **{"continue": caught.value.status()["metadata"]["continue"]})
    assert names == ["b", "c", "d", "e"]


async def test_exact_revision(store: Store, kind: Resource) -> None:
    """An exact revision lists the past."""
    await fill(store, "a", "b")
    assert listed(store, kind, resourceVersion="1", resourceVersionMatch="Exact") == (["a"], {"resourceVersion": "1"})
    assert listed(store, kind, resourceVersion="1", resourceVersionMatch="NotOlderThan")[0] == ["a", "b"]
    assert listed(store, kind, resourceVersion="0")[0] == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ({"resourceVersion": "x"}, 400, "invalid resource version: x"),
        (
            {"resourceVersionMatch": "Exact"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden '
            "unless resourceVersion is provided",
        ),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422, None),
        ({"resourceVersionMatch": "Foo", "resourceVersion": "1"}, 422, None),
        ({"continue": "!!"}, 400, None),
        ({"resourceVersion": "99"}, 504, "Too large resource version: 99, current: 0"),
        ({"fieldSelector": "spec.x=1"}, 400, "field label not supported: spec.x"),
        ({"limit": "many"}, 400, 'strconv.ParseInt: parsing "many": invalid syntax'),
        ({"limit": ""}, 400, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"timeoutSeconds": "9223372036854775808"}, 400, None),
        ({"labelSelector": "a b"}, 400, None),
        ({"sendInitialEvents": "true"}, 422, None),
        ({"watch": "true", "resourceVersionMatch": "Exact", "resourceVersion": "1"}, 422, None),
        ({"watch": "true", "sendInitialEvents": "true"}, 422, None),
        (
            {"watch": "maybe", "resourceVersionMatch": "NotOlderThan"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for '
            "watch unless sendInitialEvents is provided",
        ),
    ],
)
async def test_bad_options(store: Store, kind: Resource, query: Any, code: int, message: str | None) -> None:
    """What a list or watch may not ask for."""
    with pytest.raises(ApiError) as caught:
        listed(store, kind, **query)
    assert caught.value.code == code
    assert message is None or caught.value.message == message


def test_continue_tokens() -> None:
    """A token is what it was made of, in the form of a real API server."""
    assert decode_continue(encode_continue(Continue(7, Key("d", "x")))) == Continue(7, Key("d", "x"))
    known = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJkL2NcdTAwMDAifQ"
    assert decode_continue(known) == Continue(5, Key("d", "c"))
