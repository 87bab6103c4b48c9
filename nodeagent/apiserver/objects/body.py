"""From a decoded request body to an object of the right kind: types, unknown and repeated fields, kind and apiVersion."""

from collections.abc import Sequence
from typing import Any

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.options import FieldValidation, WriteOptions
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apitypes.encode import read
from nodeagent.apitypes.scalars import Mismatch, Refused, json_name
from nodeagent.apitypes.schema import is_registered, struct_for
from runtimes.kube.json_object import JsonObject

# where the types of the core API are registered, as messages name it
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
# of unknown and repeated fields; more are not reported, as Kubernetes' decoder does
MAX_STRICT_ERRORS = 100
_INTERNAL = {"events": "core"}


class Undecodable(ApiError):
    """400: the body is no object of the kind. `why` without the words that name the kind, for patches; `restoring` in the
    words for the result of a strategic merge patch."""

    def __init__(self, label: str, why: str, restoring: str = "") -> None:
        super().__init__(400, "BadRequest", f"{label}: {why}")
        self.why = why
        self.restoring = restoring or why


def accept(
    resource: Resource,
    body: Any,
    ctx: Context,
    options: WriteOptions,
    *,
    kind: str = "",
    group_version: str = "",
) -> JsonObject:
    """`body` as an object of `resource` (or of another kind, for bodies of subresources), in the form that rules work on
    (`apitypes.encode`); kind, apiVersion and metadata come first. Raises `ApiError` 400.
    """
    kind = kind or resource.kind
    group_version = group_version or resource.group_version
    label = f'{kind} in version "{group_version.rpartition("/")[2]}" cannot be handled as a {kind}'
    if not isinstance(body, dict):
        raise Undecodable(label, "expected a JSON object")
    _check_kind(body, kind, group_version)
    found = struct_for(group_version, kind)
    if found is None:
        raise Undecodable(label, "no such type")
    try:
        obj, unknown = read(found, body)
    except (Mismatch, Refused) as error:
        raise Undecodable(label, str(error), error.restoring) from error
    texts = [f'unknown field "{path}"' for path in unknown]
    if options.duplicates and options.in_yaml:
        texts.insert(0, repeated_lines(options.duplicates))
    else:
        texts += [f'duplicate field "{path}"' for path in options.duplicates]
    if texts:
        del texts[MAX_STRICT_ERRORS:]
        _strict_errors(texts, label, ctx, options.field_validation)
    if (body.get("metadata") or {}).get("managedFields") == []:
        # the one list that says something by being empty: forget who owns what
        obj["metadata"]["managedFields"] = []
    rest = {k: v for k, v in obj.items() if k not in ("kind", "apiVersion", "metadata")}
    return {"kind": kind, "apiVersion": group_version, "metadata": obj["metadata"], **rest}


def repeated_lines(lines: Sequence[str]) -> str:
    """The keys that came twice in YAML, a line each, as one error."""
    return "\n".join(("yaml: unmarshal errors:", *(f"  {line}" for line in lines)))


def _check_kind(body: JsonObject, kind: str, group_version: str) -> None:
    if wrong := _mistyped_kind(body):
        raise ApiError.bad_request(wrong)
    stated, version = body.get("kind") or kind, body.get("apiVersion") or group_version
    if stated == kind and version == group_version:
        return
    if stated == kind and is_registered(version, stated):
        why = f"the API version in the data ({version}) does not match the expected API version ({group_version})"
        raise ApiError.bad_request(why)
    short = str(version).rpartition("/")[2]
    raise ApiError.bad_request(
        f'{stated} in version "{short}" cannot be handled as a {kind}: {wrong_kind(body, kind, group_version)}'
    )


def wrong_kind(body: JsonObject, kind: str, group_version: str) -> str:
    """Why what `body` says of its kind makes it no `kind`; empty when it does."""
    if wrong := _mistyped_kind(body):
        return wrong
    stated, version = body.get("kind") or kind, body.get("apiVersion") or group_version
    if stated == kind and version == group_version:
        return ""
    if not is_registered(version, stated):
        return f'no kind "{stated}" is registered for version "{version}" in scheme "{_SCHEME}"'
    package = group_version.partition("/")[0].partition(".")[0] if "/" in group_version else "core"
    return f"converting ({version.rpartition('/')[2]}.{stated}) to ({_INTERNAL.get(package, package)}.{kind}): unknown conversion"


def _mistyped_kind(body: JsonObject) -> str:
    for field in ("apiVersion", "kind"):
        if not isinstance(body.get(field, ""), str | None):
            wrong = f"json: cannot unmarshal {json_name(body[field])} into Go struct field .{field} of type string"
            return f"couldn't get version/kind; json parse error: {wrong}"
    return ""


def _strict_errors(texts: list[str], label: str, ctx: Context, validation: FieldValidation) -> None:
    if validation == "Strict":
        raise Undecodable(label, f"strict decoding error: {', '.join(texts)}")
    if validation == "Warn":
        for text in texts:
            ctx.warn(text)
