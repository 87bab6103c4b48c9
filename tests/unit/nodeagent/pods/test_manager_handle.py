"""The way to the pods' manager for those that are made before it."""

from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.pod import PodUID


class Manager:
    """Tells what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, verb: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.asked.append((verb, *arguments))
            return f"{verb} done"

        return call

    async def end(self, *arguments: Any) -> None:
        self.asked.append(("end", *arguments))


async def test_before_there_is_a_manager() -> None:
    """There are no pods, and nothing to wake or to end; that a source speaks already would be a mistake in the order."""
    port = ManagerHandle()
    assert (port.active_pods(), list(port.known_uids())) == ([], [])
    port.wake("u")
    port.refresh("u")
    port.resized(PodUID("u"))
    await port.end(agent_pod({}), Termination(grace_seconds=1))
    with pytest.raises(AssertionError, match="before there is a manager"):
        port.apply([])


async def test_everything_is_passed_on() -> None:
    """With what was given, and what is answered."""
    manager: Any = Manager()
    port = ManagerHandle()
    port.open(manager)
    pod, termination = agent_pod({}), Termination(grace_seconds=1)
    assert (port.active_pods(), port.known_uids()) == ("active_pods done", "known_uids done")
    port.wake("a")
    port.refresh("b")
    port.resized(PodUID("c"))
    port.apply([])
    await port.end(pod, termination)
    assert manager.asked == [
        ("active_pods",),
        ("known_uids",),
        ("wake", "a"),
        ("refresh", "b"),
        ("resized", "c"),
        ("apply", []),
        ("end", pod, termination),
    ]
