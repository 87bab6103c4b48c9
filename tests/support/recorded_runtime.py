"""A runtime that holds everything in memory, tells in what order it was asked, and waits or fails where a test says so."""

import asyncio
import dataclasses
from collections.abc import Callable

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes.hollow.factory import hollow_runtime
from runtimes.hollow.images import HollowImages
from runtimes.hollow.runtime import HollowRuntime, HollowSettings
from runtimes.registry import Runtime


class EveryImage(HollowImages):
    """Whatever a container names is there."""

    @override
    def __contains__(self, name: str) -> bool:
        return True


class RecordedRuntime(HollowRuntime):
    """`diary`: one line for each verb that changes something, by the names of pods and containers (`start c`).

    `gates`: line -> what the verb waits for first; such a line is followed by another one (`start c ends`), also where the
    caller is cancelled meanwhile (`start c cancelled`). `faults`: line -> what is raised then, in place of the work.
    """

    def __init__(self, diary: list[str] | None = None) -> None:
        super().__init__(HollowSettings(), EveryImage())
        self.diary: list[str] = [] if diary is None else diary
        self.faults: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self._removing = False

    async def note(self, line: str) -> None:
        self.diary.append(line)
        if (gate := self.gates.get(line)) is not None:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                self.diary.append(f"{line} cancelled")
                raise
            self.diary.append(f"{line} ends")
        if (fault := self.faults.get(line)) is not None:
            raise fault

    @override
    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest, *, on_created: Callable[[str], None] | None = None
    ) -> cri.RunPodSandboxResponse:
        self._names.clear()  # a test begins the same pod again and again
        await self.note(f"run sandbox {request.config.metadata.name}/{request.config.metadata.attempt}")
        return await super().run_pod_sandbox(request, on_created=on_created)

    @override
    async def stop_pod_sandbox(self, request: cri.StopPodSandboxRequest) -> cri.StopPodSandboxResponse:
        if not self._removing:
            await self.note(f"stop sandbox {self._sandbox_name(request.pod_sandbox_id)}")
        return await super().stop_pod_sandbox(request)

    @override
    async def remove_pod_sandbox(self, request: cri.RemovePodSandboxRequest) -> cri.RemovePodSandboxResponse:
        await self.note(f"remove sandbox {self._sandbox_name(request.pod_sandbox_id)}")
        self._removing = True  # its stop is part of it
        try:
            return await super().remove_pod_sandbox(request)
        finally:
            self._removing = False

    @override
    async def create_container(self, request: cri.CreateContainerRequest) -> cri.CreateContainerResponse:
        await self.note(f"create {request.config.metadata.name}")
        return await super().create_container(request)

    @override
    async def start_container(self, request: cri.StartContainerRequest) -> cri.StartContainerResponse:
        await self.note(f"start {self._container_name(request.container_id)}")
        return await super().start_container(request)

    @override
    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        await self.note(f"stop {self._container_name(request.container_id)} within {request.timeout} s")
        return await super().stop_container(request)

    @override
    async def remove_container(self, request: cri.RemoveContainerRequest) -> cri.RemoveContainerResponse:
        await self.note(f"remove {self._container_name(request.container_id)}")
        return await super().remove_container(request)

    def _sandbox_name(self, sandbox_id: str) -> str:
        found = self._sandboxes.get(sandbox_id)
        return f"{found.status.metadata.name}/{found.status.metadata.attempt}" if found is not None else sandbox_id

    def _container_name(self, container_id: str) -> str:
        found = self._containers.get(container_id)
        return str(found.status.metadata.name) if found is not None else container_id


def runtime_of(service: HollowRuntime, handler: str = "hollow") -> Runtime:
    """The runtime as the node's registry has it."""
    return dataclasses.replace(hollow_runtime(handler, {}), service=service)
