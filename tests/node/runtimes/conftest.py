"""The engine with real runtimes: restarts, faults, networks. Shares the conformance suite's image, store and helpers."""

import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from components import require

from proto import cri_pb2 as cri
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.engine import OCIRuntime
from runtimes.oci.images.store import DiskImageStore
from runtimes.registry import Runtime
from runtimes.testing.fixtures import image_archive, image_store
from runtimes.testing.host import leaks, mount_hugetlb
from runtimes.testing.subject import IMAGE, Subject

__all__ = ["image_archive", "image_store"]


class Node:
    """Engines that follow one another on the same folders, as agents do."""

    def __init__(self, directory: Path, image_store: Path) -> None:
        self.directory = directory
        self.image_store = image_store
        self.cgroup_parent = f"/natest-{secrets.token_hex(4)}"
        self.conmon_cgroup = f"{self.cgroup_parent}-conmon"

    def config(self, name: str = "runc", **changes: Any) -> OCIRuntimeConfig:
        require(name)
        path = shutil.which(name)
        if name == "crun":
            mount_hugetlb()
        args = ("--platform=ptrace", "--network=host") if name == "runsc" else ()
        fields: dict[str, Any] = {
            "name": name,
            "path": path,
            "global_args": args,
            "state_dir": self.directory / "state",
            "run_dir": self.directory / "run",
            "conmon_cgroup": self.conmon_cgroup,
        }
        return OCIRuntimeConfig(**fields | changes)

    @contextlib.asynccontextmanager
    async def agent(self, name: str = "runc", *, network: Any = None, **changes: Any) -> AsyncIterator[Any]:
        """One life of the engine; what it runs stays when it ends."""
        store = DiskImageStore(self.image_store)
        await store.start()
        engine = OCIRuntime(config=self.config(name, **changes), images=store, network=network)
        await engine.start()
        try:
            runtime = Runtime(
                handler=name,
                service=engine,
                images=store,
                lifecycle=engine,
                streaming=engine,
                cri_handler=name,
                display_name=name,
            )
            yield Subject(
                name=name,
                runtime=runtime,
                cgroup_parent=self.cgroup_parent,
                directory=self.directory,
                image_ref=IMAGE,
            )
        finally:
            await engine.stop()
            await store.stop()

    async def remove_all(self, subject: Any) -> None:
        pods = await subject.service.list_pod_sandbox(cri.ListPodSandboxRequest())
        for pod in pods.items:
            await subject.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod.id))

    def leaks(self) -> list[str]:
        return leaks(self.directory, self.cgroup_parent) + leaks(self.directory, self.conmon_cgroup)


@pytest.fixture
async def node(tmp_path: Path, image_store: Path) -> AsyncIterator[Node]:
    """A node's folders; afterwards everything on it is removed, and nothing may be left."""
    found = Node(tmp_path, image_store)
    yield found
    async with found.agent() as subject:
        await found.remove_all(subject)
    assert found.leaks() == []
