"""Every field of a KubeletConfiguration is acted on, or its idleness has a reason that an operator is told."""

import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from nodeagent.config.acted_on import ACTED_ON
from nodeagent.config.ignored_fields import IGNORED_FIELDS, ignored_field, ignored_settings
from nodeagent.config.kubelet import KubeletConfiguration


def leaves(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """The dotted names of all fields that have no fields of their own."""
    for name, hint in typing.get_type_hints(kind).items():
        inner = next((each for each in (hint, *typing.get_args(hint)) if hasattr(each, "__struct_fields__")), None)
        if inner is None or typing.get_origin(hint) in (list, dict):
            yield prefix + name
        else:
            yield from leaves(inner, f"{prefix}{name}.")


def stands_in(name: str, names: typing.Collection[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in names for end in range(1, len(parts) + 1))


@pytest.mark.parametrize("name", list(leaves(KubeletConfiguration)))
def test_every_field_is_decided(name: str) -> None:
    """A new field is either read by the code, or gets a reason."""
    acted = stands_in(name, ACTED_ON) or any(known.startswith(f"{name}.") for known in ACTED_ON)
    assert acted or stands_in(name, IGNORED_FIELDS), "neither acted on nor in nodeagent/config/ignored_fields.py"


def test_no_reason_for_what_is_acted_on() -> None:
    """Nothing that is in force is said not to be."""
    assert not ACTED_ON & set(IGNORED_FIELDS)


def test_what_is_told() -> None:
    """Promises first; what asks for nothing else than is done anyway is in force; feature gates by name."""
    given: dict[str, Any] = {
        "maxPods": 10,
        "contentType": "x",
        "cpuManagerPolicy": "none",
        "oomScoreAdj": -500,
        "qosReserved": {"memory": "50%"},
        "featureGates": {"NodeSwap": True},
        "memorySwap": {},
        "logging": {"vmodule": [], "format": "json"},
    }
    told = ignored_settings(given, ACTED_ON)
    assert [(each.field, each.promise) for each in told] == [
        ("oomScoreAdj", True),
        ("qosReserved", True),
        ("contentType", False),
        ("featureGates.NodeSwap", False),
    ]
    assert str(told[0]).startswith("oomScoreAdj (the agent keeps that of its service")


def test_a_field_without_an_entry() -> None:
    """Told all the same."""
    assert ignored_field("neverHeardOf").reason == "not acted on by this version"
