"""Stop containers the way Kubernetes promises: event, preStop, grace period, order of sidecars.

Source: docs/facts/pod-lifecycle.md 9.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable

from lightkube.models.core_v1 import Probe

from nodeagent.api.events import Events
from nodeagent.pods.hooks import HookError, Hooks
from nodeagent.pods.observation import observe
from nodeagent.pods.rules.termination import container_grace_seconds, may_stop, remaining_seconds, stop_timeout_seconds
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.containers import AnyContainer, field_path, find_container
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import NotFound, RuntimeFault
from runtimes.kube.labels import LABEL_CONTAINER_NAME
from runtimes.registry import Runtime

log = logging.getLogger(__name__)


class StillRunning(Exception):
    """A container was stopped, the runtime says, and runs all the same."""


class Terminator:
    """Stops single containers and whole pods."""

    def __init__(self, hooks: Hooks, events: Events, clock: Callable[[], float] = time.monotonic) -> None:
        self._hooks = hooks
        self._events = events
        self._clock = clock

    async def kill_container(
        self,
        runtime: Runtime,
        pod: AgentPod,
        container_id: str,
        name: str,
        *,
        message: str = "",
        grace_seconds: int | None = None,
        run_pre_stop: bool = True,
        probe: Probe | None = None,
        turn: Callable[[float], Awaitable[None]] | None = None,
        at_once: bool = False,
    ) -> None:
        """Stop one container and return when it has exited.

        `grace_seconds` overrides the pod's rules; `probe` is the failed one that may bring its own grace period. `turn` waits,
        for at most so many seconds, until the container's turn to be stopped has come. `at_once`: SIGKILL, and nothing before.
        """
        grace = container_grace_seconds(pod, probe=probe, override=grace_seconds)
        found = find_container(pod, name)
        if found is not None:
            text = message or f"Stopping container {name}"
            self._events.event(pod, "Normal", "Killing", text, field_path=field_path(found[0], name))
        if at_once:
            await self._stop(runtime, container_id, 0)
            return
        begin = self._clock()
        if found is not None and run_pre_stop and grace > 0:
            await self._pre_stop(runtime, pod, found[1], container_id, grace)
        if turn is not None:
            await turn(max(0.0, grace - (self._clock() - begin)))
        await self._stop(runtime, container_id, stop_timeout_seconds(remaining_seconds(grace, self._clock() - begin)))

    async def _stop(self, runtime: Runtime, container_id: str, timeout: int) -> None:
        with contextlib.suppress(NotFound):
            await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=timeout))

    async def kill_pod(self, runtime: Runtime, teardown: Teardown) -> None:
        """Stop every running container of the pod in one runtime, side by side; sidecars after those they serve.

        Raises RuntimeFault, or StillRunning when something survived.
        """
        running = await self._running(runtime, teardown)
        turns = _Turns(teardown.pod, set(running.values()))
        async with asyncio.TaskGroup() as group:
            for container_id, name in running.items():
                group.create_task(self._kill_in_turn(runtime, teardown, container_id, name, turns))
        survivors = await self._running(runtime, teardown) if running else {}
        if survivors:
            raise StillRunning(f"containers still running after they were stopped: {', '.join(survivors.values())}")

    async def _kill_in_turn(
        self, runtime: Runtime, teardown: Teardown, container_id: str, name: str, turns: "_Turns"
    ) -> None:
        try:
            await self.kill_container(
                runtime,
                teardown.pod,
                container_id,
                name,
                grace_seconds=teardown.grace_seconds,
                turn=functools.partial(turns.wait, name),
                at_once=teardown.at_once,
            )
        finally:
            turns.exited(name)

    async def _running(self, runtime: Runtime, teardown: Teardown) -> dict[str, str]:
        observed = await observe(runtime.service, teardown.uid)
        return {
            instance.status.id: instance.status.labels.get(LABEL_CONTAINER_NAME, instance.status.metadata.name)
            for instance in observed.instances
            if instance.status.state in (cri.CONTAINER_RUNNING, cri.CONTAINER_UNKNOWN)
        }

    async def _pre_stop(
        self, runtime: Runtime, pod: AgentPod, container: AnyContainer, container_id: str, grace: int
    ) -> None:
        """Run the preStop hook for as long as the grace period lasts; its failure does not stop the stop."""
        handler = container.lifecycle.preStop if container.lifecycle is not None else None
        if handler is None:
            return
        try:
            async with asyncio.timeout(grace):
                await self._hooks.run(pod, container, container_id, handler, runtime)
        except TimeoutError:
            log.info("preStop hook of container %s did not end within %d s", container.name, grace)
        except (HookError, RuntimeFault) as error:
            log.warning("preStop hook of container %s: %s", container.name, error)
            found = find_container(pod, container.name)
            path = field_path(found[0], container.name) if found is not None else ""
            self._events.event(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", field_path=path)


class _Turns:
    """The order in which a pod's containers are stopped: which may be stopped now."""

    def __init__(self, pod: AgentPod, running: set[str]) -> None:
        self._pod = pod
        self._running = running
        self._allowed = {name: asyncio.Event() for name in running}
        self._update()

    async def wait(self, name: str, seconds: float) -> None:
        """Wait until `name` may be stopped, at most `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._allowed[name].wait()

    def exited(self, name: str) -> None:
        self._running.discard(name)
        self._update()

    def _update(self) -> None:
        for name in may_stop(self._pod, self._running):
            self._allowed[name].set()
