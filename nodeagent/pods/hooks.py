"""Lifecycle hooks: postStart and preStop by exec, HTTP GET or sleep (facts: pod lifecycle, section 8)."""

import asyncio
import ssl
from typing import Protocol

import aiohttp
from lightkube.models.core_v1 import HTTPGetAction, LifecycleHandler, Pod

from nodeagent.pods.observation import observe
from nodeagent.pods.spec import AnyContainer, describe, uid_of
from nodeagent.volumes.downward import go_quote
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.registry import Runtime

USER_AGENT = "kube-lifecycle/1.36"

_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


class HookError(Exception):
    """The hook failed; the text is the message that a PostStartHookError shows."""


class Hooks(Protocol):
    async def run(
        self, pod: Pod, container: AnyContainer, container_id: str, handler: LifecycleHandler, runtime: Runtime
    ) -> None:
        """Run one hook to its end. Raises HookError. The caller bounds the time, if anything does."""
        ...


class HookEvents(Protocol):
    """Where events go. Never blocks."""

    def event(self, pod: Pod, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...


class LifecycleHooks:
    """Runs hooks in the runtime (exec) or against the pod's address (HTTP)."""

    def __init__(self, events: HookEvents) -> None:
        self._events = events

    async def run(
        self, pod: Pod, container: AnyContainer, container_id: str, handler: LifecycleHandler, runtime: Runtime
    ) -> None:
        where = f'for Container "{container.name}" in Pod "{describe(pod)}" failed'
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
        self, action: HTTPGetAction, where: str, pod: Pod, container: AnyContainer, runtime: Runtime
    ) -> None:
        shown = f"HTTP lifecycle hook ({action.path or ''}) {where}"
        try:
            host = action.host or await self._pod_ip(pod, runtime)
            scheme = (action.scheme or "HTTP").lower()
            host = f"[{host}]" if ":" in host else host
            address = f"{host}:{resolve_port(action.port, container)}"
            target = f"{address}/{(action.path or '').removeprefix('/')}"
            headers = {"User-Agent": USER_AGENT, **{item.name: item.value for item in action.httpHeaders or ()}}
            try:
                await _get(f"{scheme}://{target}", headers)
            except aiohttp.ClientConnectorSSLError as error:
                if not _speaks_plainly(error):
                    raise
                # The server speaks plain HTTP: what was meant for TLS eyes must not travel in the clear.
                plain = {name: value for name, value in headers.items() if name.lower() != "authorization"}
                await _get(f"http://{target}", plain)
                self._events.event(
                    pod,
                    "Warning",
                    "LifecycleHTTPFallback",
                    f"request to HTTPS lifecycle hook {address} got HTTP response, retry with HTTP succeeded",
                )
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as error:
            raise HookError(f"{shown} - error: {error}") from error

    async def _pod_ip(self, pod: Pod, runtime: Runtime) -> str:
        for sandbox in (await observe(runtime.service, uid_of(pod))).sandboxes:
            if sandbox.network.ip:
                return sandbox.network.ip
        raise LookupError(f"failed to find networking container: {describe(pod)}")


def _speaks_plainly(error: aiohttp.ClientConnectorSSLError) -> bool:
    """Whether what came in answer to the TLS handshake was no TLS record at all."""
    cause = error.os_error
    return isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS


async def _get(url: str, headers: dict[str, str]) -> None:
    """Any HTTP answer at all is a success; only transport errors raise."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.get(url, headers=headers, ssl=False) as response,
    ):
        await response.content.read(10 * 1024)


def resolve_port(port: int | str, container: AnyContainer) -> int:
    """A number, or the name of one of the container's ports. Raises LookupError."""
    text = str(port)
    if text.isdigit():
        return int(text)
    for declared in container.ports or ():
        if declared.name == text:
            return int(declared.containerPort)
    raise LookupError(f'couldn\'t find port "{text}" in container "{container.name}"')
