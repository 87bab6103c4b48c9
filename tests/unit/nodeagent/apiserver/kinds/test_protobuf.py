"""Protobuf request bodies become the JSON objects that they stand for."""

import base64
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import protobuf, protobuf_types

FRAMES = json.loads((Path(__file__).parent / "data" / "kubectl_1_32_frames.json").read_text())


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def number(index: int, value: int) -> bytes:
    return varint(index << 3) + varint(value & (2**64 - 1))


def frame(api_version: str, kind: str, raw: bytes) -> bytes:
    head = field(1, field(1, api_version.encode()) + field(2, kind.encode()))
    return protobuf.MAGIC + head + field(2, raw) + field(3, b"") + field(4, b"")


@pytest.mark.parametrize("recorded", FRAMES, ids=[item["command"] for item in FRAMES])
def test_kubectl_frames(recorded: dict) -> None:
    """What kubectl 1.32 really sent for a command decodes to the object that the command describes."""
    assert protobuf.decode(base64.b64decode(recorded["frame"])) == recorded["object"]


def test_zero_values() -> None:
    """A zero that was set on purpose (a pointer in the API's types) stays, any other zero is left out."""
    options = number(1, 0) + field(4, b"Background") + field(5, b"All")
    assert protobuf.decode(frame("v1", "DeleteOptions", options)) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
        "dryRun": ["All"],
    }
    assert protobuf.decode_message("core.v1.ContainerPort", field(1, b"web") + number(2, 0) + number(3, 80)) == {
        "name": "web",
        "containerPort": 80,
    }


def test_scalar_forms() -> None:
    """Negative numbers, times, quantities, numbers-or-strings and inlined messages have their JSON forms."""
    assert protobuf.decode_message("core.v1.PodSpec", number(4, -5)) == {"terminationGracePeriodSeconds": -5}
    time = number(1, 1_700_000_000) + number(2, 0)
    assert protobuf.decode_message("meta.v1.ObjectMeta", field(1, b"x") + field(8, time) + field(9, b"")) == {
        "name": "x",
        "creationTimestamp": "2023-11-14T22:13:20Z",
    }
    micro = number(1, 1_700_000_000) + number(2, 5000)
    assert protobuf.decode_message("coordination.v1.LeaseSpec", field(4, micro)) == {
        "renewTime": "2023-11-14T22:13:20.000005Z"
    }
    limit = field(1, field(1, b"cpu") + field(2, field(1, b"500m")))
    assert protobuf.decode_message("core.v1.ResourceRequirements", limit) == {"limits": {"cpu": "500m"}}
    by_name = field(2, number(1, 1) + number(2, 0) + field(3, b"http"))
    by_number = field(2, number(1, 0) + number(2, 8080) + field(3, b""))
    assert protobuf.decode_message("core.v1.HTTPGetAction", by_name) == {"port": "http"}
    assert protobuf.decode_message("core.v1.HTTPGetAction", by_number) == {"port": 8080}
    probe = field(1, field(1, field(1, b"true"))) + number(4, 7)
    assert protobuf.decode_message("core.v1.Probe", probe) == {"exec": {"command": ["true"]}, "periodSeconds": 7}
    groups = number(4, 1) + field(4, varint(2) + varint(3))
    assert protobuf.decode_message("core.v1.PodSecurityContext", groups) == {"supplementalGroups": [1, 2, 3]}


def test_unknown_numbers_are_skipped() -> None:
    """A field of a later Kubernetes release does not get in the way, whatever its wire type."""
    later = (
        number(900, 1)
        + field(901, b"x")
        + varint(902 << 3 | 1)
        + struct.pack("<d", 1.5)
        + varint(903 << 3 | 5)
        + b"abcd"
    )
    raw = later + field(1, field(1, b"a"))
    assert protobuf.decode(frame("v1", "ConfigMap", raw)) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "a"},
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", 400),
        (protobuf.MAGIC + b"\x0a\xff", 400),
        (protobuf.MAGIC + b"\x0b", 400),
        (frame("v1", "ConfigMap", b"\x0a\x05ab"), 400),
        (frame("v1", "ConfigMap", field(1, field(1, b"\xff\xfe"))), 400),
        (frame("v1", "ConfigMap", number(1, 3)), 400),
        (frame("v1", "Flower", b""), 415),
        (frame("flowers.example.com/v1", "Pod", b""), 415),
    ],
)
def test_bad_bodies(body: bytes, code: int) -> None:
    """Broken bytes are 400, a kind that cannot be read in this form 415."""
    with pytest.raises(ApiError) as refused:
        protobuf.decode(body)
    assert refused.value.code == code


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(raw: bytes) -> None:
    """Whatever comes over the wire, the answer is an object or an ApiError."""
    for kind in ("Pod", "DeleteOptions"):
        try:
            protobuf.decode(frame("v1", kind, raw))
        except ApiError:
            continue


def test_every_message_is_complete() -> None:
    """Each type named in the table is one that can be read, so no frame can meet a hole."""
    tables = protobuf_types.tables()
    for name in tables.messages:
        for item in protobuf_types.shape_of(name).fields.values():
            assert item.type in protobuf_types._SCALARS or protobuf_types.shape_of(item.type).name == item.type
    assert set(tables.roots.values()) - set(tables.messages) == set()
