"""nodeagent.resources.memory.state: a kubelet's file. docs/facts/node-resources.md 11.1."""

import json
from pathlib import Path

import msgspec
import pytest

from nodeagent.resources.checkpoint import BadState
from nodeagent.resources.memory.accounts import Block, Room
from nodeagent.resources.memory.state import MemoryState, _File, check_other_policy, checksum

ROOMS = {0: {"memory": Room(total=2048, system_reserved=512, allocatable=1536)}}
KNOWN = {
    "policyName": "static",
    "machineState": {
        "0": {
            "numberOfAssignments": 0,
            "memoryMap": {
                "memory": {"total": 2048, "systemReserved": 512, "allocatable": 1536, "reserved": 512, "free": 1024}
            },
            "cells": [],
        }
    },
    "entries": {"pod": {"container1": [{"numaAffinity": [0], "type": "memory", "size": 512}]}},
    "checksum": 4215593881,
}


def test_a_kubelets_checksum() -> None:
    """The known value."""
    assert checksum(msgspec.convert(KNOWN, _File)) == 4215593881


async def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Blocks, and what is left of each node; an agent that starts again has them."""
    state = MemoryState(tmp_path, "Static", ROOMS)
    state.load()
    state.set("u", "c", (Block(nodes=frozenset({0}), resource="memory", size=1000),))
    await state.save()
    file = json.loads(state.path.read_bytes())
    assert file["machineState"] == {
        "0": {
            "numberOfAssignments": 1,
            "memoryMap": {
                "memory": {"total": 2048, "systemReserved": 512, "allocatable": 1536, "reserved": 1000, "free": 536}
            },
            "cells": [0],
        }
    }
    assert file["entries"] == {"u": {"c": [{"numaAffinity": [0], "type": "memory", "size": 1000}]}}
    again = MemoryState(tmp_path, "Static", ROOMS)
    again.load()
    assert again.of("u") == state.of("u")


async def test_a_file_that_cannot_be_gone_on_with(tmp_path: Path) -> None:
    """Another policy, another machine, a byte that has changed: named, with the way out."""
    state = MemoryState(tmp_path, "Static", ROOMS)
    state.load()
    await state.save()
    with pytest.raises(BadState, match='configured policy "None" differs from state checkpoint policy "Static"'):
        check_other_policy(state.path, "None")
    other = {0: {"memory": Room(total=4096, system_reserved=512, allocatable=3584)}}
    with pytest.raises(BadState, match="is not that of the machine and its reserved memory"):
        MemoryState(tmp_path, "Static", other).load()
    state.path.write_bytes(state.path.read_bytes().replace(b"512", b"513"))
    with pytest.raises(BadState, match="checkpoint is corrupted"):
        MemoryState(tmp_path, "Static", ROOMS).load()


def test_no_file_is_any_policys(tmp_path: Path) -> None:
    """A node that has never pinned memory starts with either policy."""
    check_other_policy(tmp_path / "memory_manager_state", "None")
