"""Bodies of requests to the embedded API, before anybody knows what kind of object they are."""

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.decoding import decode, decode_patch, duplicate_fields
from tests.fuzz.api_under_test import POD
from tests.fuzz.contract import Target
from tests.fuzz.grammar import lines, near, sentences

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"

_YAML_WORDS = (
    "a: ",
    "- ",
    "\n  ",
    "\n",
    "&a ",
    "*a",
    "<<: *a",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "!!binary ",
    "!!timestamp ",
    "!!python/object:os.system ",
    "!!set ",
    "!!omap ",
    "1e400",
    ".nan",
    "0b1",
    "1:30",
    "2026-99-99",
    "---\n",
    "|\n  ",
    "%YAML 1.1\n",
    "0x1f",
    "~",
)


def _json(data: bytes) -> None:
    duplicate_fields(data, JSON)
    decode(data, JSON, kind="Pod")


def _yaml(data: bytes) -> None:
    duplicate_fields(data, APPLY)
    decode(data, YAML, kind="Pod")
    decode_patch(data, APPLY)


TARGETS = (
    Target(
        name="body-json",
        run=_json,
        allowed=(ApiError,),
        inputs=near(POD) | sentences(('{"a":', '"', "}", "[", "]", ",", "1e5", "null", "\\u", "NaN", "-0", "\\ud800")),
        words=(b'"a":1,"a":2,', b'"\\ud800"', b"1E400", b"-0.0"),
    ),
    Target(
        name="body-yaml",
        run=_yaml,
        allowed=(ApiError,),
        inputs=lines(_YAML_WORDS, ("apiVersion: v1", "kind: Pod", "metadata: {name: a}", "a: &x [1]", "b: [*x, *x]")),
        words=tuple(word.encode() for word in _YAML_WORDS),
    ),
    Target(
        name="body-protobuf",
        run=lambda data: decode(b"k8s\0" + data, PROTOBUF, kind="Pod"),
        allowed=(ApiError,),
        inputs=sentences(
            ("\n\x0c\n\x02v1\x12\x03Pod\x12", "\x1a\0", '"\0', "\n", "\x12", "\x08", "\x7f" * 9, "\x03Pod")
        ),
        words=(b"\n\x0c\n\x02v1\x12\x03Pod\x12", b"\x1a\0", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\n\x02\n\0"),
    ),
)
