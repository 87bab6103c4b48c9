"""What belongs to no pod is found and taken down."""

import asyncio
from collections.abc import Collection
from pathlib import Path

import pytest
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent.pods.orphans import OrphanCollector
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.teardown import Teardown
from nodeagent.volumes.contract import VolumeError
from proto import cri_pb2 as cri


class Engine:
    """Notes whose end it is given."""

    def __init__(self) -> None:
        self.ended: dict[str, tuple[str, str]] = {}
        self.given_back: set[str] = set()

    async def stop(self, teardown: Teardown) -> None:
        self.ended[teardown.uid] = teardown.pod.key

    async def give_back(self, teardown: Teardown) -> None:
        self.given_back.add(teardown.uid)

    async def release(self, teardown: Teardown) -> None:
        assert teardown.uid in self.ended
        assert teardown.uid in self.given_back


class Service(RecordedRuntime):
    """A runtime with a sandbox for each of these pods."""

    def __init__(self, *uids: str) -> None:
        super().__init__()
        self._uids = uids

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        metadata = cri.PodSandboxMetadata(name="boxed", namespace="ns")
        items = [cri.PodSandbox(id=uid, labels={"io.kubernetes.pod.uid": uid}, metadata=metadata) for uid in self._uids]
        return cri.ListPodSandboxResponse(items=items)


class Cgroups:
    async def list(self) -> Collection[str]:
        return {"u-cgroup"}


def collector(
    tmp_path: Path, engine: Engine, *, known: Collection[str] = (), sandboxes: Collection[str] = ()
) -> OrphanCollector:
    return OrphanCollector(
        engine=engine,
        runtimes=lambda: (runtime_of(Service(*sandboxes)),),
        cgroups=Cgroups(),
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
        async def release(self, teardown: Teardown) -> None:
            volumes = ExceptionGroup("volumes", [VolumeError("unmount of /a failed"), VolumeError("/b is kept")])
            raise ExceptionGroup("pod", [volumes, VolumeError("/c still holds the mount /c/d")])

    await collector(tmp_path, Stuck()).collect()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        'orphaned pod "u-cgroup" found, but unmount of /a failed',
        'orphaned pod "u-cgroup" found, but /b is kept',
        'orphaned pod "u-cgroup" found, but /c still holds the mount /c/d',
    ]
