"""Around every verb: its duration and its end in the log, and no errors but the contract's."""

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
        "start_container c1: cancelled after N ms",
    ]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/f"), errors.ResourceExhausted, "No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/f"), errors.Internal, "Permission denied"),
        (TimeoutError(), errors.Timeout, "start container: no answer in time"),
        (KeyError("x"), errors.Internal, "start container: KeyError: 'x'"),
    ],
)
async def test_errors_are_the_contracts(error: Exception, kind: type[Exception], text: str) -> None:
    """Whatever goes wrong inside says outside what the caller may do; the cause is kept."""
    with pytest.raises(kind, match=text) as caught:
        await Engine(error).start_container(REQUEST)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error


async def test_a_mistake_is_logged_as_one(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback, once; the system's errors are no mistakes."""
    for error in (KeyError("x"), OSError(errno.EIO, "I/O error")):
        with pytest.raises(errors.Internal):
            await Engine(error).start_container(REQUEST)
    assert [(line.message, line.exc_info is not None) for line in caplog.records if line.levelno == logging.ERROR] == [
        ("start_container failed", True)
    ]


async def test_the_engine_is_instrumented() -> None:
    """All verbs of the contracts that are calls, and they keep their names and signatures."""
    for contract in (RuntimeService, LocalStreaming):
        for name, member in vars(contract).items():
            if inspect.iscoroutinefunction(member):
                assert hasattr(getattr(OCIRuntime, name), "__wrapped__"), name
    service = OCIRuntime(config=OCIRuntimeConfig.for_handler("h", "/bin/none"), images=None, network=None)  # type: ignore[arg-type]
    with pytest.raises(errors.Unavailable, match="runtime h is not started"):
        await service.version(cri.VersionRequest())
