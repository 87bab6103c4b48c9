"""What belongs to no pod is found and taken down."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent.pods.orphans import OrphanCollector
from nodeagent.pods.steps.contract import Ending, PodPaths
from nodeagent.volumes.contract import VolumeError
from proto import cri_pb2 as cri


class Engine:
    """Notes whose end it is given."""

    def __init__(self) -> None:
        self.ended: dict[str, tuple[str, str]] = {}

    async def stop(self, ending: Ending) -> None:
        self.ended[ending.uid] = ending.pod.key

    async def release(self, ending: Ending) -> None:
        assert ending.uid in self.ended


class Service:
    def __init__(self, *uids: str) -> None:
        self._uids = uids

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        metadata = cri.PodSandboxMetadata(name="boxed", namespace="ns")
        items = [cri.PodSandbox(id=uid, labels={"io.kubernetes.pod.uid": uid}, metadata=metadata) for uid in self._uids]
        return cri.ListPodSandboxResponse(items=items)


def collector(tmp_path: Path, engine: Engine, *, known: Collection[str] = (), sandboxes: Collection[str] = ()) -> Any:
    async def cgroups() -> Collection[str]:
        return {"u-cgroup"}

    runtime = SimpleNamespace(service=Service(*sandboxes), handler="fake")
    return OrphanCollector(
        engine=engine,  # type: ignore[arg-type]
        runtimes=lambda: (runtime,),  # type: ignore[arg-type,return-value]
        cgroups=SimpleNamespace(list=cgroups),  # type: ignore[arg-type]
        paths=PodPaths(root_dir=tmp_path, pod_logs_dir=tmp_path / "logs", container_logs_dir=tmp_path / "links"),
        known=lambda: known,
        ready=lambda: True,
    )


@pytest.mark.parametrize("known", [(), ("u-log",), ("u-log", "u-box", "u-cgroup", "u-folder")])
def test_orphans_of_every_kind_are_taken_down(tmp_path: Path, known: tuple[str, ...]) -> None:
    """A sandbox, a cgroup, a pod folder or a log folder of an unknown pod: each is enough; known pods are left alone.

    The log folder is the last that tells the name of a pod whose agent was killed between its sandbox and its folders.
    """
    for folder in ("logs/ns_logged_u-log", "logs/ns_foldered_u-folder", "logs/not-a-pods", "pods/u-folder"):
        (tmp_path / folder).mkdir(parents=True)
    engine = Engine()
    asyncio.run(collector(tmp_path, engine, known=known, sandboxes=["u-box"]).collect())
    all_of_them = {
        "u-box": ("ns", "boxed"),
        "u-log": ("ns", "logged"),
        "u-folder": ("ns", "foldered"),
        "u-cgroup": ("default", ""),
    }
    assert engine.ended == {uid: name for uid, name in all_of_them.items() if uid not in known}


async def test_what_stands_in_the_way_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything that a teardown could not do is a line of the log, by the words that a kubelet begins it with."""

    class Stuck(Engine):
        async def release(self, ending: Ending) -> None:
            volumes = ExceptionGroup("volumes", [VolumeError("unmount of /a failed"), VolumeError("/b is kept")])
            raise ExceptionGroup("pod", [volumes, VolumeError("/c still holds the mount /c/d")])

    await collector(tmp_path, Stuck()).collect()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        'orphaned pod "u-cgroup" found, but unmount of /a failed',
        'orphaned pod "u-cgroup" found, but /b is kept',
        'orphaned pod "u-cgroup" found, but /c still holds the mount /c/d',
    ]
