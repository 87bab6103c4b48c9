"""One suite for every volume type, on the real kernel. A test sees the contract, and the files.

`place`, and those for some of the types only, are parametrised over SUBJECTS; to run the suite on another type, describe it
there (tests/support/volume_subjects.py).
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import csi_subjects
import pytest
from volume_subjects import Place, SharedMemory, Subject, disk, small_file_system

from nodeagent.volumes.config_map import CONFIG_MAP
from nodeagent.volumes.downward_api import DownwardAPIPlugin
from nodeagent.volumes.empty_dir import EmptyDirPlugin
from nodeagent.volumes.host_path import HostPathPlugin
from nodeagent.volumes.local import LocalPlugin
from nodeagent.volumes.object_keys import ObjectKeysPlugin
from nodeagent.volumes.payload_budget import PayloadBudget
from nodeagent.volumes.projected import ProjectedPlugin
from nodeagent.volumes.secret import SECRET
from runtimes.linux import syscalls

HUGE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
LABEL = {"path": "label", "fieldRef": {"fieldPath": "metadata.labels['version']"}}
SOURCES = [
    {"serviceAccountToken": {"path": "token"}},
    {"configMap": {"name": "c", "items": [{"key": "a", "path": "deep/er/a"}]}},
    {"secret": {"name": "s"}},
    {"downwardAPI": {"items": [LABEL]}},
]

CLAIM = {"persistentVolumeClaim": {"claimName": "c"}}
DISK_BYTES = 16 << 20


@contextlib.contextmanager
def _local_disk(folder: Path, **spec: Any) -> Iterator[Mapping[str, Any]]:
    with disk(folder, DISK_BYTES) as device:
        yield {"local": {"path": str(device)}, **spec}


@contextlib.contextmanager
def _local_directory(folder: Path) -> Iterator[Mapping[str, Any]]:
    with small_file_system(folder):
        yield {"local": {"path": str(folder)}}


SUBJECTS = [
    Subject(
        name="emptyDir",
        make=lambda layout, world: EmptyDirPlugin(layout, world.allocatable),
        volume={"emptyDir": {}},
    ),
    Subject(
        name="emptyDir in memory",
        make=lambda layout, world: EmptyDirPlugin(layout, world.allocatable),
        volume={"emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    ),
    Subject(
        name="emptyDir of huge pages",
        make=lambda layout, world: EmptyDirPlugin(layout, world.allocatable),
        volume={"emptyDir": {"medium": "HugePages"}},
        written="nobody",
        container={"resources": {"limits": {"hugepages-2Mi": "4Mi"}}},
        absent=lambda: "" if HUGE_PAGES.exists() else "this kernel has no 2 MiB pages",
    ),
    Subject(
        name="hostPath",
        make=lambda layout, world: HostPathPlugin(),
        volume={"hostPath": {"path": "/etc", "type": "Directory"}},
        written="host",
        group="",
        measured=False,
    ),
    Subject(
        name="configMap",
        make=lambda layout, world: ObjectKeysPlugin(CONFIG_MAP, layout, world.allocatable, world, PayloadBudget()),
        volume={"configMap": {"name": "c"}},
        written="agent",
        group="read",
    ),
    Subject(
        name="secret",
        make=lambda layout, world: ObjectKeysPlugin(SECRET, layout, world.allocatable, world, PayloadBudget()),
        volume={"secret": {"secretName": "s"}},
        written="agent",
        group="read",
    ),
    Subject(
        name="downwardAPI",
        make=lambda layout, world: DownwardAPIPlugin(layout, world.allocatable, PayloadBudget()),
        volume={"downwardAPI": {"items": [LABEL]}},
        written="agent",
        group="read",
    ),
    Subject(
        name="projected",
        make=lambda layout, world: ProjectedPlugin(layout, world.allocatable, world, world, PayloadBudget()),
        volume={"projected": {"sources": SOURCES}},
        written="agent",
        group="read",
    ),
    Subject(
        name="a driver of shared memory",
        make=lambda layout, world: SharedMemory(layout),
        volume=CLAIM,
        persistent=True,
        group="",  # the driver's, which here does nothing
    ),
    Subject(
        name="local directory",
        make=lambda layout, world: LocalPlugin(layout, world),
        volume=CLAIM,
        persistent=True,
        bound=_local_directory,
        staged=False,
    ),
    Subject(
        name="local file system on a disk",
        make=lambda layout, world: LocalPlugin(layout, world),
        volume=CLAIM,
        persistent=True,
        bound=_local_disk,
    ),
    Subject(
        name="local disk",
        make=lambda layout, world: LocalPlugin(layout, world),
        volume=CLAIM,
        persistent=True,
        bound=lambda folder: _local_disk(folder, volumeMode="Block"),
        staged=False,
        block=True,
        written="nobody",
        group="",
    ),
    Subject(
        name="CSI file system",
        make=csi_subjects.plugin,
        volume=CLAIM,
        persistent=True,
        bound=csi_subjects.volume,
        any_root=False,  # a path in a message is text
    ),
    Subject(
        name="CSI device",
        make=csi_subjects.plugin,
        volume=CLAIM,
        persistent=True,
        bound=lambda folder: csi_subjects.volume(folder, block=True),
        staged=False,
        block=True,
        written="nobody",
        group="",
        any_root=False,
    ),
]
ROOTS = {"plain": b"kubelet", "strange": b"a b\\040\n\xff"}


@pytest.fixture(scope="session", autouse=True)
def driver() -> Iterator[None]:
    """The CSI driver, where one was needed, is ended."""
    yield
    csi_subjects.end()


def _places(subjects: list[Subject]) -> Any:
    """A fixture: a root directory, by each subject; what is still mounted below it at the end fails the test."""

    @pytest.fixture(
        params=[
            pytest.param((each, root), id=f"{each.name}-{root}")
            for each in subjects
            for root in ROOTS
            if each.any_root or root == "plain"
        ]
    )
    def place(
        request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Place]:
        subject, root = request.param
        if reason := subject.absent():
            pytest.skip(reason)
        with subject.bound(tmp_path_factory.mktemp("made-of")) as spec:
            found = Place(subject, tmp_path / os.fsdecode(ROOTS[root]), spec)
            yield found
            mounted = found.mounts()
            for path in reversed(mounted):
                with contextlib.suppress(OSError):
                    syscalls.umount(path, syscalls.MNT_DETACH)
        assert mounted == []

    return place


place = _places(SUBJECTS)
own_place = _places([each for each in SUBJECTS if each.written != "host"])
pods_place = _places([each for each in SUBJECTS if each.written == "pod"])
agents_place = _places([each for each in SUBJECTS if each.written == "agent"])
staged_place = _places([each for each in SUBJECTS if each.persistent and each.staged])
unstaged_place = _places([each for each in SUBJECTS if not each.persistent])
