"""What happens while the API or the agent is away: cases that are a course of events, not one fault at one point.

Each is told in order and asserts on the way; the lane asks afterwards, as of every case, whether anything is left. `mode` says
how the one who goes away goes: the API by `freeze` (SIGSTOP) or `kill`, the agent by `freeze`, `kill` or `stop` (SIGTERM).
"""

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.crash.crash_node import CrashNode, until
from tests.crash.scenarios import container, is_ready, pod

_WAIT = "trap 'exit 0' TERM; sleep 100000 & wait"
_UNTIL_TOLD = 'while ! test -e "/ran/$POD.go"; do sleep 0.1; done; '


@dataclass(slots=True)
class Story:
    """One telling: its node, its way and the pods it made."""

    node: CrashNode
    mode: str
    name: str
    random: random.Random
    made: list[str] = field(default_factory=list)

    def create(self, body: dict[str, Any]) -> str:
        name: str = body["metadata"]["name"]
        self.node.create(body)
        if name not in self.made:
            self.made.append(name)
        return name

    def when(self, name: str, check: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.node.find(name)
            return found if found is not None and check(found) else None

        result: dict[str, Any] = until(look, what)
        return result

    def tell(self, name: str) -> None:
        """Let a container go on that waits for it."""
        (self.node.ran_dir / f"{name}.go").touch()

    def ran(self, name: str, times: int) -> None:
        until(lambda: self.node.times_ran(name, "c") == times, f"{name} began {times} times", 20)

    @contextlib.contextmanager
    def without_api(self) -> Iterator[None]:
        node = self.node
        assert node.api_process is not None
        if self.mode == "freeze":
            node.api_process.send_signal(signal.SIGSTOP)
        else:
            node.stop_api(signal.SIGKILL)
        yield
        if self.mode == "freeze":
            node.api_process.send_signal(signal.SIGCONT)
        else:
            node.start_api()

    @contextlib.contextmanager
    def without_agent(self) -> Iterator[None]:
        node = self.node
        assert node.agent is not None
        if self.mode == "freeze":
            node.agent.send_signal(signal.SIGSTOP)
        elif self.mode == "stop":
            node.stop()
        else:
            node.kill()
        yield
        if self.mode == "freeze":
            node.agent.send_signal(signal.SIGCONT)
        else:
            node.revive()


def first(found: dict[str, Any]) -> dict[str, Any]:
    """The status of a pod's first container."""
    status: dict[str, Any] = found["status"]["containerStatuses"][0]
    return status


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(item for item in found["status"]["conditions"] if item["type"] == kind)


# -- the API is away -----------------------------------------------------------------------------------------------------


def ends_in_outage(story: Story) -> None:
    """A pod that completes while the API is away: its status arrives when the API is back."""
    name = story.create(pod(story.node, story.name, container("c", _UNTIL_TOLD + "exit 7"), restartPolicy="Never"))
    before = story.when(name, is_ready, "running")
    with story.without_api():
        story.tell(name)
        time.sleep(1.0)
    found = story.when(name, lambda item: item["status"]["phase"] == "Failed", "the end is told")
    assert first(found)["state"]["terminated"]["exitCode"] == 7
    assert first(found)["containerID"] == first(before)["containerID"]
    story.ran(name, 1)


def restarts_in_outage(story: Story) -> None:
    """A container that dies and is restarted while the API is away: count, exit code and readiness arrive."""
    script = f'if test "$(wc -l < "/ran/$POD.c")" = 1; then {_UNTIL_TOLD} exit 4; fi; {_WAIT}'
    name = story.create(pod(story.node, story.name, container("c", script)))
    story.when(name, is_ready, "running")
    with story.without_api():
        story.tell(name)
        story.ran(name, 2)
    found = story.when(name, lambda item: is_ready(item) and first(item)["restartCount"] == 1, "the restart is told")
    assert first(found)["lastState"]["terminated"]["exitCode"] == 4


def agent_dies_in_outage(story: Story) -> None:
    """The agent dies, and comes back, while the API is away: nothing is touched; what ended meanwhile is told afterwards."""
    node = story.node
    stays = story.create(pod(node, f"{story.name}-stays", container("c", _WAIT)))
    ends = story.create(pod(node, f"{story.name}-ends", container("c", _UNTIL_TOLD + "exit 0"), restartPolicy="Never"))
    before = {name: first(story.when(name, is_ready, "running"))["containerID"] for name in (stays, ends)}
    with story.without_api():
        node.kill()
        story.tell(ends)
        node.revive()
        time.sleep(2.0)
        assert node.alive(), "the agent waits for its API"
    found = story.when(ends, lambda item: item["status"]["phase"] == "Succeeded", "the end is told")
    assert first(found)["containerID"] == before[ends]
    found = story.when(stays, is_ready, "still running")
    assert (first(found)["containerID"], first(found)["restartCount"]) == (before[stays], 0)
    story.ran(stays, 1)
    story.ran(ends, 1)


def static_pod_in_outage(story: Story) -> None:
    """A static pod starts while the API is away, and has its mirror when the API is back."""
    node, name = story.node, f"{story.name}-{story.node.name}"
    manifest = node.directory / "manifests" / f"{story.name}.yaml"
    with story.without_api():
        temporary = manifest.parent.parent / manifest.name
        temporary.write_text(yaml.safe_dump(pod(node, story.name, container("c", _WAIT))))
        temporary.rename(manifest)
        story.ran(name, 1)
    story.when(name, is_ready, "the mirror tells that it runs")
    story.ran(name, 1)
    manifest.unlink()
    until(lambda: node.find(name) is None, "the mirror goes with its file")


def deleted_before_outage(story: Story) -> None:
    """A deletion that the API took just before it went away is carried to its end."""
    node = story.node
    name = story.create(pod(node, story.name, container("c", _WAIT)))
    story.when(name, is_ready, "running")
    node.delete(name)
    with story.without_api():
        time.sleep(1.5)
    until(lambda: node.find(name) is None, "gone")


# -- the agent is away -----------------------------------------------------------------------------------------------------


def deleted_while_away(story: Story) -> None:
    """A pod deleted while the agent is away ends by its rules when it is back: with its preStop hook."""
    node = story.node
    hook = {"preStop": {"exec": {"command": ["sh", "-c", 'echo x >> "/ran/$POD.stopped"']}}}
    name = story.create(pod(node, story.name, container("c", _WAIT, lifecycle=hook), terminationGracePeriodSeconds=20))
    story.when(name, is_ready, "running")
    with story.without_agent():
        node.delete(name)
        time.sleep(0.3)
        assert node.find(name) is not None, "the object waits for the agent"
    until(lambda: node.find(name) is None, "gone")
    assert node.times_ran(name, "stopped") == 1, "the hook ran once"


def recreated_while_away(story: Story) -> None:
    """A pod deleted by force and created again under its name while the agent looks away: the old one ends, the new one runs."""
    node = story.node
    body = pod(node, story.name, container("c", _WAIT))
    name = story.create(body)
    before = story.when(name, is_ready, "running")
    with story.without_agent():
        node.delete(name, 0)
        story.create(body)
    found = story.when(name, is_ready, "the new one runs")
    assert found["metadata"]["uid"] != before["metadata"]["uid"]
    assert first(found)["containerID"] != first(before)["containerID"]
    assert first(found)["restartCount"] == 0
    story.ran(name, 2)
    old = node.directory / "logs" / f"default_{name}_{before['metadata']['uid']}"
    until(lambda: not old.exists(), "the old one is gone with its logs")


def recreated_gracefully(story: Story) -> None:
    """Deleted, its agent gone in the middle of the grace period, gone; created again under its name: no trace of the first."""
    node = story.node
    body = pod(node, story.name, container("c", "trap 'sleep 1; exit 0' TERM; sleep 100000 & wait"))
    body["spec"]["terminationGracePeriodSeconds"] = 10
    name = story.create(body)
    story.when(name, is_ready, "running")
    node.delete(name)
    with story.without_agent():
        time.sleep(0.2)
    until(lambda: node.find(name) is None, "gone")
    story.create(body)
    found = story.when(name, is_ready, "the new one runs")
    assert first(found)["restartCount"] == 0
    story.ran(name, 2)


def died_while_away(story: Story) -> None:
    """A container that dies while the agent is away: its exit code is told, and it is restarted once."""
    script = f'if test "$(wc -l < "/ran/$POD.c")" = 1; then {_UNTIL_TOLD} exit 9; fi; {_WAIT}'
    name = story.create(pod(story.node, story.name, container("c", script)))
    before = story.when(name, is_ready, "running")
    with story.without_agent():
        story.tell(name)
        time.sleep(0.8)
    found = story.when(name, lambda item: is_ready(item) and first(item)["restartCount"] == 1, "restarted")
    assert first(found)["lastState"]["terminated"]["exitCode"] == 9
    assert first(found)["lastState"]["terminated"]["containerID"] == first(before)["containerID"]
    assert found["status"]["podIP"] == before["status"]["podIP"]
    story.ran(name, 2)


def probes_go_on(story: Story) -> None:
    """Readiness does not flicker when the agent comes back; the liveness probe still kills, once, when it fails."""
    node = story.node
    alive = {"exec": {"command": ["sh", "-c", '! test -e "/ran/$POD.go" || test "$(wc -l < "/ran/$POD.c")" -gt 1']}}
    probe = {**alive, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10}
    name = story.create(pod(node, story.name, container("c", _WAIT, livenessProbe=probe, readinessProbe=probe)))
    before = story.when(name, is_ready, "ready")
    with story.without_agent():
        time.sleep(0.3)
    time.sleep(1.5)
    found = story.when(name, is_ready, "ready again")
    assert condition(found, "Ready") == condition(before, "Ready"), "readiness flickered"
    assert first(found)["containerID"] == first(before)["containerID"]
    story.tell(name)
    story.when(name, lambda item: is_ready(item) and first(item)["restartCount"] == 1, "killed by its probe, restarted")
    story.ran(name, 2)


def back_off_goes_on(story: Story) -> None:
    """A crash loop keeps its count and its last exit across the agent's restart."""
    name = story.create(pod(story.node, story.name, container("c", "exit 3")))

    def waits(found: dict[str, Any]) -> bool:
        state = first(found)["state"] if found["status"].get("containerStatuses") else {}
        return bool(state.get("waiting", {}).get("reason") == "CrashLoopBackOff")

    before = story.when(name, waits, "in back-off")
    with story.without_agent():
        time.sleep(0.2)
    time.sleep(1.5)
    found = story.when(name, waits, "in back-off again")
    assert first(found)["restartCount"] >= first(before)["restartCount"]
    story.ran(name, first(found)["restartCount"] + 1)
    assert first(found)["lastState"]["terminated"]["exitCode"] == 3


def killed_again_and_again(story: Story) -> None:
    """Three pods come up under an agent that is killed five times at moments of chance, each container beginning once."""
    node = story.node
    names = [story.create(pod(node, f"{story.name}-{n}", container("c", _WAIT))) for n in range(3)]
    for _ in range(5):
        time.sleep(story.random.uniform(0.1, 1.6))
        node.kill()
        node.revive()
    for name in names:
        found = story.when(name, is_ready, f"{name} runs")
        story.ran(name, 1)
        assert first(found)["restartCount"] == 0


_API, _AGENT = ("freeze", "kill"), ("freeze", "kill", "stop")
STORIES: dict[str, tuple[Callable[[Story], None], tuple[str, ...]]] = {
    "ends-in-outage": (ends_in_outage, _API),
    "restarts-in-outage": (restarts_in_outage, _API),
    "agent-dies-in-outage": (agent_dies_in_outage, _API),
    "static-pod-in-outage": (static_pod_in_outage, _API),
    "deleted-before-outage": (deleted_before_outage, _API),
    "deleted-while-away": (deleted_while_away, _AGENT),
    "recreated-while-away": (recreated_while_away, _AGENT),
    "recreated-gracefully": (recreated_gracefully, _AGENT),
    "died-while-away": (died_while_away, _AGENT),
    "probes-go-on": (probes_go_on, _AGENT),
    "back-off-goes-on": (back_off_goes_on, _AGENT),
    "killed-again-and-again": (killed_again_and_again, ("kill",)),
}
