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

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


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
        raise ApiError.bad_request(f"{label}: expected a JSON object")
    _check_kind(body, kind, group_version)
    found = fields.inspect(body, model or resource.model)
    if found.error is not None:
        raise ApiError.bad_request(f"{label}: {found.error}")
    if found.unknown:
        _unknown(body, found.unknown, label, ctx, validation)
    metadata = body.get("metadata")
    rest = {k: v for k, v in body.items() if k not in ("kind", "apiVersion", "metadata")}
    return {"kind": kind, "apiVersion": group_version, "metadata": dict(metadata or {}), **rest}


def _check_kind(body: Object, kind: str, group_version: str) -> None:
    stated, version = body.get("kind") or kind, body.get("apiVersion") or group_version
    if stated == kind and version == group_version:
        return
    short = str(version).rpartition("/")[2]
    raise ApiError.bad_request(
        f'{stated} in version "{short}" cannot be handled as a {kind}: '
        f"converting ({stated}) to ({kind}): no kind {stated!r} of {version!r} is served here"
    )


def _unknown(body: Object, paths: list[str], label: str, ctx: Context, validation: FieldValidation) -> None:
    texts = [f'unknown field "{path}"' for path in paths]
    if validation == "Strict":
        raise ApiError.bad_request(f"{label}: strict decoding error: {', '.join(texts)}")
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
