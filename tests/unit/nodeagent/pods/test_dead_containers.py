"""nodeagent.pods.dead_containers: what stays of a container that has ended, and what goes (docs/facts/pod-lifecycle.md 15.1)."""

from pathlib import Path
from typing import Any

import pytest
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent.pods.dead_containers import DeadContainers, superfluous
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.rules.model import RemoveContainer
from runtimes.errors import Internal, NotFound


def paths_in(folder: Path) -> PodPaths:
    made = PodPaths(root_dir=folder / "root", pod_logs_dir=folder / "logs", container_logs_dir=folder / "links")
    made.container_logs_dir.mkdir(parents=True)
    return made


def test_one_dead_instance_of_each_name_is_kept(kit: Any) -> None:
    """The newest; what runs, or was created, does not count."""
    observed = kit.observed(
        kit.run("a", n=3),
        kit.run("a", "exited", n=2),
        kit.run("b", "created", n=1),
        kit.run("a", "exited", n=1),
        kit.run("b", "exited", n=0),
        kit.run("a", "exited", n=0),
    )
    assert superfluous(observed) == (
        RemoveContainer(container_id="a-1", name="a"),
        RemoveContainer(container_id="a-0", name="a"),
    )


@pytest.mark.parametrize("keep_logs", [False, True])
async def test_a_removed_container_takes_its_logs_along(kit: Any, tmp_path: Path, keep_logs: bool) -> None:
    """Its own log, the rotated ones and the link, after the runtime has removed it; no other instance's. Or none, where they are
    to stay.
    """
    paths, pod, diary = paths_in(tmp_path), kit.pod(["c"]), list[str]()
    folder = paths.log_dir("ns", "web", pod.uid) / "c"
    folder.mkdir(parents=True)
    mine, others = ["1.log", "1.log.20260102-030405", "1.log.20260102-030405.gz"], ["0.log", "10.log", "2.log"]
    for name in (*mine, *others):
        (folder / name).touch()
    link, other_link = (paths.log_link("ns", "web", "c", id) for id in ("c-1", "c-2"))
    for each in (link, other_link):
        each.symlink_to(folder / "x")
    remove = RemoveContainer(container_id="c-1", name="c", keep_logs=keep_logs)
    observed = kit.observed(kit.run("c", n=2), kit.run("c", "exited", n=1))
    await DeadContainers(paths).remove(runtime_of(RecordedRuntime(diary)), pod, observed, remove)
    assert diary == ["remove c-1"]
    left = {path.name for path in folder.iterdir()}
    assert left == ({*mine, *others} if keep_logs else set(others))
    assert (link.is_symlink(), other_link.is_symlink()) == (keep_logs, True)


@pytest.mark.parametrize(("error", "removed"), [(NotFound("gone"), True), (Internal("no"), False)])
async def test_the_runtime_has_the_first_word(kit: Any, tmp_path: Path, error: Exception, removed: bool) -> None:
    """What it does not know has been removed; what it cannot remove keeps its log."""
    paths, pod, service = paths_in(tmp_path), kit.pod(["c"]), RecordedRuntime()
    log = paths.log_dir("ns", "web", pod.uid) / "c" / "0.log"
    log.parent.mkdir(parents=True)
    log.touch()
    service.faults["remove c-0"] = error
    work = DeadContainers(paths).remove(
        runtime_of(service),
        pod,
        kit.observed(kit.run("c", "exited")),
        RemoveContainer(container_id="c-0", name="c"),
    )
    if removed:
        await work
    else:
        with pytest.raises(Internal):
            await work
    assert log.exists() is not removed


def test_the_restart_count_survives_in_the_names_of_logs(kit: Any, tmp_path: Path) -> None:
    """Only of containers that no runtime knows; whatever else lies in the folder is no number."""
    paths, pod = paths_in(tmp_path), kit.pod(["known", "lost", "new", "odd"])
    folder = paths.log_dir("ns", "web", pod.uid)
    for name in ("known/7.log", "lost/2.log", "lost/10.log.20260102-030405.gz", "odd/x.log", "odd/3", "odd/-1.log"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = DeadContainers(paths).highest_log_numbers(pod, kit.observed(kit.run("known", "exited")))
    assert found == {"lost": 10}
