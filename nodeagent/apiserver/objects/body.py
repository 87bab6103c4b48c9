"""From a decoded request body to an object of the right kind: type errors, unknown fields, kind and apiVersion."""

from __future__ import annotations

import re
from typing import Any, Final

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import fields
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.options import FieldValidation
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Object

# where the types of the core API are registered, as messages name it
_SCHEME: Final = "pkg/api/legacyscheme/scheme.go:30"
_INTERNAL: Final = {"events": "core"}
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Undecodable(ApiError):
    """400: the body is no object of the kind. ``why`` without the words that name the kind, for patches."""

    def __init__(self, label: str, why: str) -> None:
        super().__init__(400, "BadRequest", f"{label}: {why}")
        self.why = why


def accept(
    resource: Resource,
    body: Any,
    ctx: Context,
    validation: FieldValidation,
    *,
    kind: str = "",
    group_version: str = "",
    model: fields.Model | None = None,
) -> Object:
    """``body`` as an object of ``resource`` (or of another kind, for bodies of subresources): known fields only, in the
    order kind, apiVersion, metadata, the rest. Raises ``ApiError`` 400.
    """
    kind = kind or resource.kind
    group_version = group_version or resource.group_version
    label = f'{kind} in version "{group_version.rpartition("/")[2]}" cannot be handled as a {kind}'
    if not isinstance(body, dict):
        raise Undecodable(label, "expected a JSON object")
    _check_kind(body, kind, group_version)
    found = fields.inspect(body, model or resource.model)
    if found.error is not None:
        raise Undecodable(label, found.error)
    if found.unknown:
        _unknown(body, found.unknown, label, ctx, validation)
    metadata = body.get("metadata")
    rest = {k: v for k, v in body.items() if k not in ("kind", "apiVersion", "metadata")}
    return {"kind": kind, "apiVersion": group_version, "metadata": dict(metadata or {}), **rest}


def _check_kind(body: Object, kind: str, group_version: str) -> None:
    stated, version = body.get("kind") or kind, body.get("apiVersion") or group_version
    if stated == kind and version == group_version:
        return
    if stated == kind and fields.model_for(version, stated) is not None:
        why = f"the API version in the data ({version}) does not match the expected API version ({group_version})"
        raise ApiError.bad_request(why)
    short = str(version).rpartition("/")[2]
    raise ApiError.bad_request(
        f'{stated} in version "{short}" cannot be handled as a {kind}: {wrong_kind(body, kind, group_version)}'
    )


def wrong_kind(body: Object, kind: str, group_version: str) -> str:
    """Why what ``body`` says of its kind makes it no ``kind``; empty when it does."""
    stated, version = body.get("kind") or kind, body.get("apiVersion") or group_version
    if stated == kind and version == group_version:
        return ""
    if fields.model_for(version, stated) is None:
        return f'no kind "{stated}" is registered for version "{version}" in scheme "{_SCHEME}"'
    package = group_version.partition("/")[0].partition(".")[0] if "/" in group_version else "core"
    return f"converting ({version.rpartition('/')[2]}.{stated}) to ({_INTERNAL.get(package, package)}.{kind}): unknown conversion"


def _unknown(body: Object, paths: list[str], label: str, ctx: Context, validation: FieldValidation) -> None:
    texts = [f'unknown field "{path}"' for path in paths]
    if validation == "Strict":
        raise Undecodable(label, f"strict decoding error: {', '.join(texts)}")
    if validation == "Warn":
        for text in texts:
            ctx.warn(text)
    for path in paths:
        _drop(body, path)


def _drop(body: Object, path: str) -> None:
    """Remove what ``path`` (``spec.containers[0].foo``) names. Keys with dots in them cannot be told apart and stay."""
    steps: list[str | int] = [name or int(index) for name, index in _STEP.findall(path)]
    value: Any = body
    try:
        for step in steps[:-1]:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return
    if isinstance(value, dict):
        value.pop(steps[-1], None)
