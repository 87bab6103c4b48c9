"""Small languages inside fields: quantities, durations, times, selectors, references, field paths, JWTs, variables."""

import contextlib
from collections.abc import Callable

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.jwt import decode as decode_jwt
from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.rest.list_options import decode_continue, list_options
from nodeagent.apiserver.rest.path import parse as parse_path
from nodeagent.apiserver.rest.request import parse_query
from nodeagent.apitypes import scalars
from nodeagent.apitypes.scalars import Refused
from nodeagent.apitypes.times import parse_time
from nodeagent.podspec.expansion import TooLarge, expand
from nodeagent.probes.url import parse as parse_url
from nodeagent.server.log_lines import parse_time as parse_log_time
from runtimes.kube import canonical_quantity, duration, quantity
from runtimes.kube.duration import seconds
from runtimes.kube.image_reference import InvalidReference, parse, parse_location
from tests.fuzz.contract import Errors, Target
from tests.fuzz.grammar import sentences, text_of

_PODS = next(resource for resource in RESOURCES if resource.id == "pods")
_DIGITS = ("0", "1", "9" * 30, "9" * 5000, "0." + "0" * 400 + "1", ".", "-", "+", "e", "E", "1e999", "e-999999999", "²")


def _quantity(data: bytes) -> None:
    text = text_of(data)
    if canonical_quantity.is_quantity(text):
        canonical_quantity.canonical(text)
    canonical_quantity.canonical_or_same(text)
    scalars.canonical_quantity(text)
    quantity.from_milli(quantity.milli(text))
    quantity.from_bytes(quantity.value(text))


def _duration(data: bytes) -> None:
    duration.go_duration(seconds(text_of(data)))


def _time(data: bytes) -> None:
    parse_log_time(text_of(data))
    parse_time(text_of(data))


def _query(data: bytes) -> None:
    query = parse_query(text_of(data))
    options = list_options(query, _PODS, "default")
    for term in options.selection.labels:
        term.matches({"a": "1", "b": "9" * 5000, "": ""})
    decode_continue(options.continue_)


def _image(data: bytes) -> None:
    text = text_of(data)
    with contextlib.suppress(ValueError):
        parse_location(text)
    str(parse(text))


def _expand(data: bytes) -> None:
    text = text_of(data)
    expand(text, {"A": text, "B": "$(A)$(A)", "": "x"}, max_bytes=1 << 20)


def _target(
    name: str, run: Callable[[bytes], object], allowed: Errors, words: tuple[str, ...], most: int = 8192
) -> Target:
    encoded = tuple(word.encode() for word in words)
    return Target(name=name, run=run, allowed=allowed, inputs=sentences(words), words=encoded, largest_bytes=most)


TARGETS = (
    _target(
        "quantity", _quantity, (quantity.InvalidQuantity, Refused), (*_DIGITS, "n", "u", "m", "k", "Ki", "Ei", "E", " ")
    ),
    _target("duration", _duration, (ValueError,), (*_DIGITS, "h", "m", "s", "ms", "us", "µs", "ns", " ")),
    _target(
        "time", _time, (ValueError,), ("2026-01-02T03:04:05Z", "9999-12-31", "T", ":", ".", "Z", "+23:59", *_DIGITS)
    ),
    _target(
        "query",
        _query,
        (ApiError,),
        (
            "labelSelector=",
            "fieldSelector=",
            "continue=",
            "limit=",
            "resourceVersion=",
            "timeoutSeconds=",
            "&",
            "%2C",
            "%3D",
            "a",
            " in ",
            " notin ",
            "(",
            ")",
            ",",
            "!",
            "!=",
            "==",
            ">",
            "<",
            "metadata.name",
            "\\",
            "%00",
            "%ff",
            "+",
            *_DIGITS,
        ),
    ),
    _target(
        "path",
        lambda data: parse_path(text_of(data)),
        (ApiError,),
        ("/", "api", "apis", "v1", "namespaces", "%2f", "..", "%00", "%ff", "pods", "?"),
    ),
    _target(
        "image-reference",
        _image,
        (InvalidReference,),
        ("a", "docker.io/", "reg:5000/", "[::1]:5000/", "@sha256:", "a" * 64, "a" * 5000, "-", "_", "/", ":", ".", "A"),
    ),
    _target("variables", _expand, (TooLarge,), ("$(A)", "$(B)", "$$", "$(", ")", "$", "A" * 1000)),
    _target(
        "probe-url",
        lambda data: parse_url(text_of(data)),
        (ValueError,),
        ("http://", "https://", "[::1", "]", "%zz", "%2f", ":", "@", "/", "?", "#", "\r\n", *_DIGITS),
    ),
    _target("jwt", lambda data: decode_jwt(text_of(data)), (ValueError,), ("e30", ".", "=", "-_", "é")),
)
