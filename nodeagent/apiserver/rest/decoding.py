"""Request bodies: JSON, YAML and Kubernetes protobuf, as plain objects."""

import json
from typing import Any

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import protobuf
from nodeagent.apiserver.objects.patch import Patch, PatchType
from nodeagent.apiserver.rest import go_json
from nodeagent.apiserver.rest.negotiation import JSON, PROTOBUF, YAML
from nodeagent.apitypes.scalars import Number
from runtimes.kube import bounded_yaml
from runtimes.kube.bounded_yaml import MAX_REPEATED

MAX_BODY_BYTES = 3 << 20
_YAML_LIMITS = bounded_yaml.Limits(size=MAX_BODY_BYTES)
_JSON = msgspec.json.Decoder(float_hook=Number)
# what Go's encoder writes without an exponent
_PLAIN_FLOAT = 1e21
_JSON_MEDIA = frozenset(
    {"", "application/json", "text/json", "application/json-patch+json", "application/merge-patch+json"}
    | {"application/strategic-merge-patch+json"}
)
_SUMMARY_BYTES = 30
_MAX_PATH = 1024
_MAX_DIGITS = 400
_TYPE_META = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
_APPLY = "application/apply-patch+yaml"
_YAML_MEDIA = frozenset({"application/yaml", "text/yaml", _APPLY})
_PATCHES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    _APPLY: "apply",
}


def media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def decode(data: bytes, content_type: str, *, kind: str = "") -> Any:
    """The object in a body; null is `{}`, and so is an empty body where no `kind` is expected. Of a key that comes twice the
    last is taken.

    Raises `ApiError`: 400 no object, 415 another media type.
    """
    if not data and not kind:
        return {}
    value = _value(data, content_type, kind=kind)
    if value is not None and not isinstance(value, dict):
        wrong = f"json: cannot unmarshal {go_json.kind_of(value)} into Go value of type {_TYPE_META}"
        raise _unrecognized(data, kind, f"couldn't get version/kind; json parse error: {wrong}")
    return {} if value is None else value


def _value(data: bytes, content_type: str, *, kind: str) -> Any:
    match media_type(content_type):
        case "" | "application/json" | "text/json":
            try:
                return _load(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                wrong = go_json.syntax_error(data) or str(error)
                raise _unrecognized(data, kind, f"couldn't get version/kind; json parse error: {wrong}") from error
        case "application/yaml" | "text/yaml":
            return decode_yaml(data)
        case "application/vnd.kubernetes.protobuf":
            return protobuf.decode(data)
    accepted = f"{JSON}, {YAML}, {PROTOBUF}"
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    raise ApiError(415, "UnsupportedMediaType", message, details={})


def _load(data: bytes) -> Any:
    """JSON as Go reads it: what is no Unicode in a text is U+FFFD there, and no error."""
    try:
        return _JSON.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if go_json.syntax_error(data):
            raise
        try:
            text = data.decode("utf-8", errors="replace")
            return _unicode(json.loads(text, parse_int=_integer, parse_float=Number, parse_constant=_no_json))
        except ValueError as error:
            raise msgspec.DecodeError(str(error)) from error


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is out of range")
    return int(digits)


def _no_json(word: str) -> Any:
    raise ValueError(f"invalid character '{word[0]}' looking for beginning of value")


def _unicode(value: Any) -> Any:
    """Halves of surrogate pairs as U+FFFD, at any depth."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_unicode(inner) for inner in value]
    if isinstance(value, dict):
        return {_unicode(key): _unicode(inner) for key, inner in value.items()}
    return value


def _unrecognized(data: bytes, kind: str, why: str) -> ApiError:
    expected = f" (must be of type {kind})" if kind else ""
    return ApiError.bad_request(f"the object provided is unrecognized{expected}: {why} ({_summary(data)})")


def _summary(data: bytes) -> str:
    """The beginning of a body, as far as it helps to recognize it."""
    if not data:
        return "<empty>"
    start = data[:_SUMMARY_BYTES]
    shown = start.decode(errors="replace") if data.startswith(b"{") else start.hex()
    return f"{shown} ..." if len(data) > _SUMMARY_BYTES else shown


def decode_yaml(data: bytes) -> Any:
    """One document with the types of JSON."""
    try:
        value = bounded_yaml.read(data, _YAML_LIMITS).value
    except bounded_yaml.YamlError as error:
        raise ApiError.bad_request(f"error converting YAML to JSON: {error}") from error
    return {} if value is None else value


def _whole(value: float) -> int | float:
    """A number of which only the value is known: a whole one is an integer, however it was written."""
    return int(value) if value.is_integer() and abs(value) < _PLAIN_FLOAT else float(value)


def _values(value: Any) -> Any:
    """Numbers as values instead of texts, at any depth."""
    if isinstance(value, dict):
        return {key: _values(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_values(inner) for inner in value]
    return _whole(value) if isinstance(value, float) else value


def decode_patch(data: bytes, content_type: str) -> Patch:
    """Raises `ApiError`: 400, 415."""
    kind = _PATCHES.get(media_type(content_type))
    if kind is None:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    if kind == "apply":
        return Patch(type="apply", content=decode_yaml(data))
    try:
        content = _load(data)
        # a strategic patch is carried out on values, the others on JSON texts
        return Patch(type=kind, content=_values(content) if kind == "strategic" else content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wrong = go_json.syntax_error(data) or str(error)
        raise ApiError.bad_request(wrong if kind == "strategic" else f"error decoding patch: {wrong}") from error


def is_yaml(content_type: str) -> bool:
    return media_type(content_type) in _YAML_MEDIA


def duplicate_fields(data: bytes, content_type: str) -> tuple[str, ...]:
    """What comes more than once in a body. Of JSON the paths of fields, such as `spec.containers[0].image`; of YAML lines
    such as `line 3: key "image" already set in map`; () for other media."""
    if is_yaml(content_type):
        return _repeated_keys(data)
    if media_type(content_type) not in _JSON_MEDIA:
        return ()
    repeated = False

    def notice(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(items)
        repeated = repeated or len(found) < len(items)
        return found

    try:
        json.loads(data, object_pairs_hook=notice, parse_int=str, parse_float=str)
        if not repeated:
            return ()
        paths: dict[str, None] = {}
        _repeated(json.loads(data, object_pairs_hook=_Pairs, parse_int=str, parse_float=str), [], paths)
        return tuple(paths)
    except (ValueError, RecursionError):
        return ()  # reported by the decoder proper


def _repeated_keys(data: bytes) -> tuple[str, ...]:
    try:
        return bounded_yaml.read(data, _YAML_LIMITS).repeated
    except bounded_yaml.YamlError:
        return ()  # reported by the decoder proper


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all that it says."""


def _repeated(value: Any, path: list[str], found: dict[str, None]) -> None:
    """Add the paths of what comes again in `value`, no more than are reported. A path is only built to be reported."""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, inner in value:
            path.append(f".{key}" if path else key)
            if key in seen and len(found) < MAX_REPEATED:
                found.setdefault(_joined(path))
            seen.add(key)
            if isinstance(inner, list):
                _repeated(inner, path, found)
            path.pop()
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, list):
                path.append(f"[{index}]")
                _repeated(inner, path, found)
                path.pop()


def _joined(path: list[str]) -> str:
    """The beginning of a long path only: keys are as long as a body."""
    shown = ""
    for step in path:
        shown += step[: _MAX_PATH + 1]
        if len(shown) > _MAX_PATH:
            return f"{shown[:_MAX_PATH]}..."
    return shown
