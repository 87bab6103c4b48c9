"""What the node says of its runtimes."""

import asyncio
import dataclasses
from typing import Any

import pytest

from nodeagent.node import monitor
from nodeagent.node.monitor import RuntimeMonitor
from nodeagent.node.status import RuntimeHandler
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import Capabilities
from runtimes.registry import Runtime, RuntimeRegistry


class Peer:
    """A runtime that answers what it was made with: conditions, a fault, or nothing at all."""

    capabilities = Capabilities(events=True, local_streaming=False, early_sandbox=False)

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def _answer(self, verb: str, default: Any) -> Any:
        self.asked.append(verb)
        answer = self.answers.get(verb, default)
        if answer == "hangs":
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def status(self, _request: Any) -> Any:
        return await self._answer("status", conditions())

    async def version(self, _request: Any) -> Any:
        return await self._answer("version", cri.VersionResponse(runtime_name="some", runtime_version="1"))

    async def list_images(self, _request: Any) -> Any:
        return await self._answer("list_images", cri.ListImagesResponse())


def conditions(**false: str) -> cri.StatusResponse:
    """Both conditions; those named are false, with a message."""
    answer = cri.StatusResponse()
    for kind in ("RuntimeReady", "NetworkReady"):
        message = false.get(kind, "")
        answer.status.conditions.add(type=kind, status=not message, reason="Why" if message else "", message=message)
    return answer


def registry(default: str, **peers: Any) -> RuntimeRegistry:
    made = {
        name: Runtime(
            handler=name,
            service=peer,
            images=peer,
            lifecycle=peer,
            streaming=None,
            cri_handler=name,
            display_name=name,
        )
        for name, peer in peers.items()
    }
    return RuntimeRegistry(made, default)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (conditions(), ()),
        (
            conditions(RuntimeReady="shim gone"),
            ("container runtime not ready: RuntimeReady=false reason:Why message:shim gone",),
        ),
        (
            conditions(NetworkReady="cni config uninitialized"),
            ("container runtime network not ready: NetworkReady=false reason:Why message:cni config uninitialized",),
        ),
        (
            cri.StatusResponse(),
            (
                "container runtime not ready: RuntimeReady=false reason: message:",
                "container runtime network not ready: NetworkReady=false reason: message:",
            ),
        ),
        (errors.Unavailable("connection refused"), ("container runtime containerd is down: connection refused",)),
    ],
    ids=["ready", "runtime", "network", "nothing said", "gone"],
)
async def test_conditions_of_a_runtime_are_the_nodes(status: Any, expected: tuple[str, ...]) -> None:
    """A condition that is false, or missing, is told in the kubelet's words: of the default runtime it keeps the node from being
    Ready, of another it is told apart, with its name."""
    found = RuntimeMonitor(registry("containerd", runc=Peer(), containerd=Peer(status=status)))
    await found.look()
    assert (found.state().errors, found.state().handler_errors) == (expected, ())
    found = RuntimeMonitor(registry("runc", runc=Peer(), containerd=Peer(status=status)))
    await found.look()
    named = tuple(text if " is down: " in text else f"containerd: {text}" for text in expected)
    assert (found.state().errors, found.state().handler_errors) == ((), named)


async def test_a_runtime_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is down after its time, and is asked nothing more; the state of the others is told."""
    monkeypatch.setattr(monitor, "STATUS_DEADLINE_SECONDS", 0.05)
    stuck = Peer(status="hangs", version="hangs", list_images="hangs")
    changes: list[int] = []
    found = RuntimeMonitor(registry("runc", runc=Peer(), containerd=stuck), lambda: changes.append(1))
    async with asyncio.timeout(20):
        await found.look()
    assert found.state().handler_errors == ("container runtime containerd is down: no answer within 0.05s",)
    assert (found.state().version, stuck.asked, changes) == ("some://1", ["status"], [1])


@pytest.mark.parametrize(
    ("listed", "able"),
    [({"runc": True, "": False}, True), ({"runc": False, "": True}, False), ({"": True}, True), ({}, False)],
)
async def test_what_a_handler_can(listed: dict[str, bool], able: bool) -> None:
    """The runtime's own handler counts, else its default one; a runtime that names none can nothing. What it cannot mount by
    its version is known with it; of a handler that has not answered nothing is."""
    status = conditions()
    for name, can in listed.items():
        status.runtime_handlers.add(name=name, features=cri.RuntimeHandlerFeatures(recursive_read_only_mounts=can))
    old = Peer(status=status)
    old.capabilities = dataclasses.replace(Peer.capabilities, image_volumes_refusal="too old")
    down = Peer(status=errors.Unavailable("gone"))
    found = RuntimeMonitor(registry("other", other=Peer(), runc=old, down=down))
    await found.look()
    expected = RuntimeHandler(name="runc", recursive_read_only_mounts=able, image_volumes_refusal="too old")
    assert (found.handler("runc"), found.handler("down")) == (expected, RuntimeHandler(name="down"))
