"""nodeagent.pods.steps.directories: a pod's folders, and what is kept of them. (Mounts: tests/node/volumes/test_removal.py.)"""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.pods.steps.contract import StepError
from nodeagent.pods.steps.directories import DirectoriesStep
from nodeagent.volumes.contract import VolumeError

POD = agent_pod({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}})


def modes(top: Path) -> dict[str, str]:
    return {
        str(path.relative_to(top)): oct(stat.S_IMODE(path.stat().st_mode)) for path in top.rglob("*") if path.is_dir()
    }


async def test_they_are_made_once_with_their_modes(world: Any, tmp_path: Path) -> None:
    """Data is the agent's, logs may be read; a second pass finds them made."""
    before = os.umask(0)
    try:
        for _ in range(2):
            await DirectoriesStep(world.paths).run(world.work(POD))
    finally:
        os.umask(before)
    found = modes(tmp_path)
    assert {name: found[name] for name in found if "/" in name} == {
        "logs/ns_p_u": "0o755",
        "root/pods": "0o777",
        "root/pods/u": "0o750",
        "root/pods/u/plugins": "0o750",
        "root/pods/u/volumes": "0o750",
    }


async def test_what_is_in_the_way_is_an_event(world: Any, tmp_path: Path) -> None:
    """A file where a folder is to be."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/pods").write_text("x")
    with pytest.raises(StepError) as caught:
        await DirectoriesStep(world.paths).run(world.work(POD))
    assert str(caught.value).startswith("error making pod data directories: ")
    assert caught.value.event_reason == "Failed"


async def test_they_go_with_the_pod(world: Any, tmp_path: Path) -> None:
    """Its own log links only; a completed pod keeps all; a second time there is nothing to do."""
    await DirectoriesStep(world.paths).run(world.work(POD))
    (tmp_path / "root/pods/u/etc-hosts").write_text("x")
    (tmp_path / "logs/ns_p_u/c").mkdir()
    (tmp_path / "logs/ns_p_u/c/0.log").write_text("x")
    (tmp_path / "links/p_ns_c-1.log").symlink_to(tmp_path / "logs/ns_p_u/c/0.log")
    (tmp_path / "links/p_ns_c-2.log").symlink_to(tmp_path / "logs/ns_p_another/c/0.log")
    before = sorted(tmp_path.rglob("*"))
    await DirectoriesStep(world.paths).undo(world.teardown(POD, keep_records=True))
    assert sorted(tmp_path.rglob("*")) == before
    for _ in range(2):
        await DirectoriesStep(world.paths).undo(world.teardown(POD))
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert sorted(left) == ["links", "links/p_ns_c-2.log", "logs", "root", "root/pods"]


async def test_data_is_kept(world: Any, tmp_path: Path) -> None:
    """A volume that could not be taken down keeps the folder, and the error names it."""
    await DirectoriesStep(world.paths).run(world.work(POD))
    kept = tmp_path / "root/pods/u/volumes/some~driver/v/data"
    kept.parent.mkdir(parents=True)
    kept.write_text("precious")
    (tmp_path / "root/pods/u/etc-hosts").write_text("x")
    with pytest.raises(VolumeError) as caught:
        await DirectoriesStep(world.paths).undo(world.teardown(POD))
    assert str(caught.value) == f"{kept} is not a directory: it is kept"
    assert kept.read_text() == "precious"
    assert (tmp_path / "root/pods/u/etc-hosts").exists()
