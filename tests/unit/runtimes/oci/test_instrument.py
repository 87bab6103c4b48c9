"""Around every verb: its duration and its end in the log, and a disk's errors in the contract's words."""

import asyncio
import errno
import inspect
import logging
import re
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import LocalStreaming, RuntimeService
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.engine import OCIRuntime
from runtimes.oci.instrument import instrumented


@instrumented
class Engine:
    """Three verbs; each does what the test says."""

    def __init__(self, outcome: Any = None) -> None:
        self.outcome = outcome

    async def _end(self) -> Any:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    async def start_container(self, request: cri.StartContainerRequest) -> Any:
        return await self._end()

    async def run_pod_sandbox(self, request: cri.RunPodSandboxRequest, *, on_created: Any = None) -> Any:
        return await self._end()

    async def open_port(self, pod_sandbox_id: str, port: int) -> Any:
        return await self._end()


REQUEST = cri.StartContainerRequest(container_id="c1")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [re.sub(r"[\d.]+ ms", "N ms", message) for message in caplog.messages]


async def test_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Verb, whose, how it ended, how long it took; a line each, at debug."""
    caplog.set_level(logging.DEBUG, "runtimes.oci.instrument")
    assert await Engine("answer").start_container(REQUEST) == "answer"
    config = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="web"))
    await Engine().run_pod_sandbox(cri.RunPodSandboxRequest(config=config), on_created=None)
    await Engine().open_port("s1", 80)
    with pytest.raises(errors.WrongState):
        await Engine(errors.WrongState("it has exited")).start_container(REQUEST)
    with pytest.raises(asyncio.CancelledError):
        await Engine(asyncio.CancelledError()).start_container(REQUEST)
    assert lines(caplog) == [
        "start_container c1: done after N ms",
        "run_pod_sandbox web: done after N ms",
        "open_port s1: done after N ms",
        "start_container c1: WrongState: it has exited after N ms",
        "start_container c1: CancelledError after N ms",
    ]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/f"),
            errors.ResourceExhausted,
            "cannot start the container: No space left on device (/f)",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/f"),
            errors.Internal,
            "cannot start the container: Permission denied (/f)",
        ),
    ],
)
async def test_a_disks_errors_are_the_contracts(error: Exception, kind: type[Exception], text: str) -> None:
    """Whichever verb meets them: in one line, and the cause is kept."""
    with pytest.raises(kind) as caught:
        await Engine(error).start_container(REQUEST)
    assert (type(caught.value), str(caught.value), caught.value.__cause__) == (kind, text, error)


@pytest.mark.parametrize("error", [KeyError("x"), TimeoutError(), errors.NotFound("x")])
async def test_other_errors_pass(error: Exception) -> None:
    """Those of the contract are answers; mistakes are the boundary's to tell."""
    with pytest.raises(type(error)) as caught:
        await Engine(error).start_container(REQUEST)
    assert caught.value is error


async def test_the_engine_is_instrumented() -> None:
    """All verbs of the contracts that are calls, and they keep their names and signatures."""
    for contract in (RuntimeService, LocalStreaming):
        for name, member in vars(contract).items():
            if inspect.iscoroutinefunction(member):
                assert hasattr(getattr(OCIRuntime, name), "__wrapped__"), name
    service = OCIRuntime(config=OCIRuntimeConfig.for_handler("h", "/bin/none"), images=None, network=None)  # type: ignore[arg-type]
    with pytest.raises(errors.Unavailable, match="runtime h is not started"):
        await service.version(cri.VersionRequest())
