"""nodeagent.resources.cpu.state: the file, which a kubelet can read, and whose files are read."""

import json
from pathlib import Path

import pytest

from nodeagent.podspec.pod import PodUID
from nodeagent.resources.checkpoint import BadState
from nodeagent.resources.cpu.state import CPUState, checksum


@pytest.mark.parametrize(("policy", "shared", "known"), [("none", "", 1353318690), ("none", "4-6", 354655845)])
def test_checksums_are_a_kubelets(policy: str, shared: str, known: int) -> None:
    """docs/facts/node-resources.md 11.1: known values."""
    assert checksum(policy, shared, {}) == known


async def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Shared CPUs and each container's own; in the format of a kubelet."""
    state = CPUState(tmp_path, "static")
    assert not state.load()
    state.set_shared(frozenset(range(8)))
    state.assign("u", "c", frozenset({1, 5}))
    await state.save()
    assert json.loads((tmp_path / "cpu_manager_state").read_bytes()) == {
        "policyName": "static",
        "defaultCpuSet": "0,2-4,6-7",
        "entries": {"u": {"c": "1,5"}},
        "checksum": checksum("static", "0,2-4,6-7", {"u": {"c": "1,5"}}),
    }
    again = CPUState(tmp_path, "static")
    assert again.load()
    assert (again.shared, again.of("u")) == (state.shared, {"c": frozenset({1, 5})})


def test_removed_cpus_are_shared_again() -> None:
    """All but those that another pod's container has."""
    state = CPUState(Path("/nowhere"), "static")
    state.set_shared(frozenset(range(4)))
    state.assign("u", "c", frozenset({1}))
    state.assign("v", "c", frozenset({2}))
    assert state.shared == {0, 3}
    assert state.remove("u")
    assert not state.remove("u")
    assert state.shared == {0, 1, 3}
    assert state.uids() == {PodUID("v")}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "checkpoint is corrupted"),
        ('{"policyName":"static","defaultCpuSet":"0-3","checksum":1}', "checkpoint is corrupted"),
        (
            '{"policyName":"none","defaultCpuSet":"","checksum":1353318690}',
            'configured policy "static" differs from state checkpoint policy "none"',
        ),
    ],
)
def test_a_file_that_cannot_be_gone_on_with(tmp_path: Path, text: str, why: str) -> None:
    """The error says why, which file it is, and the way out."""
    (tmp_path / "cpu_manager_state").write_text(text)
    with pytest.raises(BadState) as caught:
        CPUState(tmp_path, "static").load()
    assert str(caught.value).startswith(f"could not restore state from checkpoint: {why}")
    assert f'delete the state file "{tmp_path}/cpu_manager_state"' in str(caught.value)
