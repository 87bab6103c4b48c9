"""Where an object belongs: its name and namespace against those of the URL, and the owners it names."""

from typing import Any

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.context import Context
from runtimes.kube.json_object import JsonObject

_DEDUPED = (
    "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; "
    "please fix your requests; duplicate UID(s) observed:"
)


def settle_namespace(obj: JsonObject, ctx: Context) -> None:
    """Fill in the request's namespace; a cluster-scoped object has none, whatever it says. Raises `ApiError` 400."""
    stated = obj["metadata"].pop("namespace", None)
    if not ctx.namespace:
        return
    if stated and stated != ctx.namespace:
        raise ApiError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    obj["metadata"]["namespace"] = ctx.namespace


def check_name(obj: JsonObject, ctx: Context) -> None:
    """Raises `ApiError` 400 when `obj` has another name than the URL, or none."""
    name = obj["metadata"].get("name") or ""
    if not name:
        why = f"the name of the object ({ctx.name} based on URL) was undeterminable: name must be provided"
        raise ApiError.bad_request(why)
    if name != ctx.name:
        raise ApiError.bad_request(f"the name of the object ({name}) does not match the name on the URL ({ctx.name})")


def dedup_owners(obj: JsonObject, ctx: Context, *, patched: bool = False) -> None:
    """Drop owner references that are there twice, and warn. `patched`: a patch is only looked at after admission."""
    owners: list[Any] = obj["metadata"].get("ownerReferences") or []
    kept: dict[bytes, Any] = {}
    dropped: list[str] = []
    for owner in owners:
        whole = msgspec.json.encode(owner, order="sorted")
        if whole in kept:
            dropped.append(str(owner.get("uid") or ""))
        else:
            kept[whole] = owner
    if dropped:
        when = " after mutating admission happens" if patched else ""
        ctx.warn(f".metadata.ownerReferences contains duplicate entries{when}; {_DEDUPED} {', '.join(dropped)}")
        obj["metadata"]["ownerReferences"] = list(kept.values())
