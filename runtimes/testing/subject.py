"""A started runtime with few words: pods, containers, their output and their end."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import ImageService, LocalStreaming, RuntimeService
from runtimes.registry import Runtime
from runtimes.testing.abilities import ABILITIES
from runtimes.testing.url_streaming import URLStreaming

T = TypeVar("T")
Pod = tuple[str, cri.PodSandboxConfig]  # its id, and what it was made of

IMAGE = "localhost/conformance:1"
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/www:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nweb:x:1001:\nstaff:x:2000:web\naudit:x:2001:web,other\nnogroup:x:65534:\n",
}
DEADLINE_SECONDS = 30.0
MASKED_PATHS = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


@dataclass(kw_only=True)
class Subject:
    """One implementation, started: what the cases talk to. `directory` is the test's own folder on the host.

    `exceptions`: what it cannot do, and why (runtimes/testing/abilities.py). `pods`, `uids`: ids and UIDs
    of the sandboxes that were made.
    """

    name: str
    runtime: Runtime
    cgroup_parent: str
    directory: Path
    image_ref: str = ""
    exceptions: Mapping[str, str] = field(default_factory=dict)
    pods: list[str] = field(default_factory=list)
    uids: set[str] = field(default_factory=set)

    @property
    def handler(self) -> str:
        """What RunPodSandbox is asked for."""
        return self.runtime.cri_handler

    @property
    def service(self) -> RuntimeService:
        return self.runtime.service

    @property
    def images(self) -> ImageService:
        return self.runtime.images

    @cached_property
    def streaming(self) -> LocalStreaming:
        """In this form whichever way the runtime streams."""
        self.needs("streams")
        return self.runtime.streaming or URLStreaming(self.service)

    def needs(self, *abilities: str) -> None:
        """Skip the test, with the reason, where the implementation is known not to have one of these."""
        for ability in abilities:
            assert ability in ABILITIES or ability.startswith("test_"), ability
            if reason := self.exceptions.get(ability):
                pytest.skip(f"{self.name}: {reason}")

    def can(self, ability: str) -> bool:
        """For a case that has more to say: whether the implementation has the ability."""
        assert ability in ABILITIES, ability
        return ability not in self.exceptions

    def refusal(self, kind: type[errors.RuntimeFault], match: str | None = None) -> Any:
        """Expects an error of that class; of any, where the implementation's codes do not tell them apart."""
        return pytest.raises(kind if self.can("error codes") else errors.RuntimeFault, match=match)

    # sandboxes

    def sandbox_config(self, name: str = "pod", **fields: object) -> cri.PodSandboxConfig:
        uid = secrets.token_hex(8)
        self.uids.add(uid)
        logs = self.directory / "logs" / f"{name}-{uid}"
        logs.mkdir(parents=True)
        config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=uid, namespace="default"),
            hostname=name,
            log_directory=str(logs),
            dns_config=cri.DNSConfig(servers=["10.0.0.10"], searches=["a.example", "b.example"], options=["ndots:5"]),
            labels={"app": name},
            annotations={"note": "kept"},
        )
        config.linux.cgroup_parent = f"{self.cgroup_parent}/pod{uid}"
        config.linux.security_context.namespace_options.pid = cri.CONTAINER
        config.linux.security_context.seccomp.profile_type = cri.SecurityProfile.RuntimeDefault
        for key, value in fields.items():
            getattr(config, key).CopyFrom(value) if hasattr(value, "CopyFrom") else setattr(config, key, value)
        return config

    async def run_sandbox(self, config: cri.PodSandboxConfig | None = None) -> Pod:
        config = config or self.sandbox_config()
        response = await self.service.run_pod_sandbox(
            cri.RunPodSandboxRequest(config=config, runtime_handler=self.handler)
        )
        self.pods.append(response.pod_sandbox_id)
        return response.pod_sandbox_id, config

    # containers

    def container_config(self, *args: str, name: str = "main") -> cri.ContainerConfig:
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name),
            image=cri.ImageSpec(image=self.image_ref, user_specified_image=IMAGE),
            command=["/bin/sh", "-c"],
            args=[" ".join(args) or "sleep 1000"],
            labels={"part": name},
            annotations={"hash": "1"},
            log_path=f"{name}.log",
        )
        security = config.linux.security_context
        security.namespace_options.pid = cri.CONTAINER
        security.masked_paths.extend(MASKED_PATHS)
        security.readonly_paths.extend(READONLY_PATHS)
        return config

    async def create(self, pod: Pod, config: cri.ContainerConfig) -> str:
        response = await self.service.create_container(
            cri.CreateContainerRequest(pod_sandbox_id=pod[0], config=config, sandbox_config=pod[1])
        )
        return response.container_id

    async def start(self, container_id: str) -> None:
        await self.service.start_container(cri.StartContainerRequest(container_id=container_id))

    async def launch(self, pod: Pod, config: cri.ContainerConfig) -> str:
        container_id = await self.create(pod, config)
        await self.start(container_id)
        return container_id

    async def status(self, container_id: str) -> cri.ContainerStatus:
        return (await self.service.container_status(cri.ContainerStatusRequest(container_id=container_id))).status

    async def exited(self, container_id: str) -> cri.ContainerStatus:
        """The status once the container has ended."""
        self.needs("processes")

        async def ended() -> cri.ContainerStatus | None:
            status = await self.status(container_id)
            return status if status.state == cri.CONTAINER_EXITED else None

        return await until(ended)

    @staticmethod
    async def eventually(probe: Callable[[], Awaitable[T | None]]) -> T:
        return await until(probe)

    @staticmethod
    async def until(happened: Callable[[], bool]) -> None:
        async def probe() -> bool | None:
            return happened() or None

        await until(probe)

    async def run(self, *args: str) -> tuple[cri.ContainerStatus, str]:
        """Run a shell script in a container of a pod of its own; its final status and its output."""
        self.needs("processes")
        pod = await self.run_sandbox()
        return await self.run_in(pod, self.container_config(*args))

    async def run_in(self, pod: Pod, config: cri.ContainerConfig) -> tuple[cri.ContainerStatus, str]:
        """Launch a container, and await its end: its final status and its output."""
        self.needs("processes")
        status = await self.exited(await self.launch(pod, config))
        return status, log_text(Path(status.log_path))

    async def exec(self, container_id: str, *cmd: str, timeout: int = 0) -> cri.ExecSyncResponse:
        self.needs("processes")
        return await self.service.exec_sync(
            cri.ExecSyncRequest(container_id=container_id, cmd=list(cmd), timeout=timeout)
        )

    async def sh(self, container_id: str, script: str) -> str:
        """The output of a script in a running container, which must succeed."""
        response = await self.exec(container_id, "/bin/sh", "-c", script)
        assert response.exit_code == 0, response
        return response.stdout.decode()


def log_text(path: Path, stream: str | None = None) -> str:
    """The text of a CRI log: lines "<time> <stream> <P or F> <text>"."""
    found = ""
    for line in path.read_text().splitlines():
        _, name, tag, text = line.split(" ", 3)
        if stream in (None, name):
            found += text + ("\n" if tag == "F" else "")
    return found


async def until(probe: Callable[[], Awaitable[T | None]]) -> T:
    """What `probe` answers once it is not None."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := await probe()) is None:
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)
    return found
