"""Checkpoint files: what was written is read, and what cannot be trusted is told of."""

from pathlib import Path

import pytest
from lightkube.models.core_v1 import ResourceRequirements

from nodeagent.pods.resize.allocation import PodResources
from nodeagent.pods.resize.changes import Actuated, ActuatedContainer
from nodeagent.pods.resize.checkpoint import Checkpoint, CorruptCheckpoint

ENTRY = PodResources(containers={"c": ResourceRequirements(requests={"cpu": "1"})}, pod=None)
IN_FORCE = Actuated(
    containers={"c": ActuatedContainer(id="1", resources=ResourceRequirements(limits={"memory": "1Gi"}))},
    pod=ResourceRequirements(limits={"memory": "1Gi"}),
    restarting={"d": "2"},
)


@pytest.mark.parametrize(("kind", "entry"), [(PodResources, ENTRY), (Actuated, IN_FORCE)])
async def test_it_comes_back_as_it_was(tmp_path: Path, kind: type[object], entry: object) -> None:
    """Only what changed is written, by a file of its own that takes the place of the old one."""
    path = tmp_path / "state"
    one = Checkpoint(path, kind)
    one.load()
    await one.flush()
    assert not path.exists()
    one.set("a", entry)
    one.set("b", entry)
    one.remove("b")
    await one.flush()
    inode = path.stat().st_ino
    one.set("a", entry)
    await one.flush()
    assert path.stat().st_ino == inode
    other = Checkpoint(path, kind)
    other.load()
    assert (other.get("a"), other.get("b"), list(other.uids())) == (entry, None, ["a"])
    assert [item.name for item in tmp_path.iterdir()] == ["state"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "checkpoint is corrupted: "),
        (b'{"version":1,"checksum":"0","pods":{}}', "checkpoint is corrupted, "),
        (b'{"version":2,"checksum":"0","pods":{}}', "version 2 is not 1, "),
        (b'{"version":1,"che', "checkpoint is corrupted: "),
        (b"\0" * 100, "checkpoint is corrupted: "),
    ],
)
def test_a_spoilt_file_is_told_of(tmp_path: Path, content: bytes, why: str) -> None:
    """The message names the file and what to do; nothing is guessed."""
    path = tmp_path / "allocated_pods_state"
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpoint) as caught:
        Checkpoint(path, PodResources).load()
    text = str(caught.value)
    assert text.startswith(f"could not restore state from checkpoint: {why}")
    assert text.endswith(f'please drain this node and delete pod checkpoint file "{path}" before restarting the agent')


async def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    """A full disk loses nothing that is in memory."""
    path = tmp_path / "missing" / "state"
    store = Checkpoint(path, PodResources)
    store.set("a", ENTRY)
    with pytest.raises(OSError):
        await store.flush()
    path.parent.mkdir()
    store.flush_now()
    assert path.exists()
