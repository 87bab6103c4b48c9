"""Lifecycle hooks: postStart and preStop by exec, HTTP GET or sleep (facts: pod lifecycle, section 8)."""

import asyncio
import contextlib
from typing import Protocol

from lightkube.models.core_v1 import HTTPGetAction, LifecycleHandler

from nodeagent.api.events import Events
from nodeagent.pods.observation import observe
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.port_names import InvalidPort, resolve_port
from nodeagent.probes.http import PlainAnswer, TransportError, fetch
from nodeagent.probes.http_request import HTTPRequest, HTTPTarget
from nodeagent.probes.outcome import ProbeError
from nodeagent.probes.url import URLError
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.kube.go_quote import go_quote
from runtimes.registry import Runtime

USER_AGENT = "kube-lifecycle/1.36"


class HookError(Exception):
    """The hook failed; the text is the message that a PostStartHookError shows."""


class Hooks(Protocol):
    async def run(
        self, pod: AgentPod, container: AnyContainer, container_id: str, handler: LifecycleHandler, runtime: Runtime
    ) -> None:
        """Run one hook to its end. Raises HookError. The caller bounds the time, if anything does."""
        ...


class LifecycleHooks:
    """Runs hooks in the runtime (exec) or against the pod's address (HTTP)."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def run(
        self, pod: AgentPod, container: AnyContainer, container_id: str, handler: LifecycleHandler, runtime: Runtime
    ) -> None:
        where = f'for Container "{container.name}" in Pod "{pod.describe()}" failed'
        if handler.exec is not None:
            await self._exec(handler.exec.command or [], where, container_id, runtime)
        elif handler.httpGet is not None:
            await self._http_get(handler.httpGet, where, pod, container, runtime)
        elif handler.sleep is not None:
            await asyncio.sleep(handler.sleep.seconds)
        else:
            raise HookError(f"Cannot run handler: invalid handler: {handler}")

    async def _exec(self, command: list[str], where: str, container_id: str, runtime: Runtime) -> None:
        shown = f"Exec lifecycle hook ([{' '.join(command)}]) {where}"
        try:
            answer = await runtime.service.exec_sync(cri.ExecSyncRequest(container_id=container_id, cmd=command))
        except RuntimeFault as error:
            raise HookError(f'{shown} - error: {error}, message: ""') from error
        if answer.exit_code != 0:
            output = (answer.stdout + answer.stderr).decode(errors="replace")
            raise HookError(
                f"{shown} - error: command '{' '.join(command)}' exited with {answer.exit_code}: "
                f"{answer.stderr.decode(errors='replace')}, message: {go_quote(output)}"
            )

    async def _http_get(
        self, action: HTTPGetAction, where: str, pod: AgentPod, container: AnyContainer, runtime: Runtime
    ) -> None:
        shown = f"HTTP lifecycle hook ({action.path or ''}) {where}"
        try:
            target = HTTPTarget(
                host=action.host or await self._pod_ip(pod, runtime),
                port=resolve_port(action.port, container),
                path=action.path or "",
                scheme=(action.scheme or "HTTP").lower(),
                headers=[(header.name, header.value or "") for header in action.httpHeaders or ()],
                user_agent=USER_AGENT,
                compression=True,
            )
            await self._ask(target.request(), pod)
        except (TransportError, ProbeError, InvalidPort, URLError, LookupError) as error:
            raise HookError(f"{shown} - error: {error}") from error

    async def _ask(self, request: HTTPRequest, pod: AgentPod) -> None:
        """Any HTTP answer at all is a success; only transport errors raise."""
        try:
            await _answered(request)
        except PlainAnswer:
            await _answered(request.plain())
            self._events.event(
                pod,
                "Warning",
                "LifecycleHTTPFallback",
                f"request to HTTPS lifecycle hook {request.url.host.decode(errors='replace')} got HTTP response, "
                "retry with HTTP succeeded",
            )

    async def _pod_ip(self, pod: AgentPod, runtime: Runtime) -> str:
        for sandbox in (await observe(runtime.service, pod.uid)).sandboxes:
            if sandbox.network.ip:
                return sandbox.network.ip
        raise LookupError(f"failed to find networking container: {pod.describe()}")


async def _answered(request: HTTPRequest) -> None:
    """The caller bounds the time, if anything does. Raises TransportError."""
    with contextlib.suppress(ProbeError):  # its head has come, and nobody wants its body
        await fetch(request, None)
