"""Pods of an experiment on a private node: made through its API, waited for by watching, their output read from their logs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from lightkube.models.core_v1 import ContainerState, Pod
from typing_extensions import override

from nodeagent.api.client import ApiClient, WatchEvent
from nodeagent.api.errors import ApiError, NotFound
from nodeagent.isolation import host
from nodeagent.isolation.bounds import Bounds
from nodeagent.isolation.contract import Ended, Facts, PodRequest, Stage, StageError, Usage
from nodeagent.isolation.probe.output import facts_of, merged
from nodeagent.isolation.profiles import pod_of
from nodeagent.isolation.usage import usage_of

_Told = TypeVar("_Told")

NAMESPACE = "default"
_GONE_SECONDS = 30.0
_MAX_LOG_BYTES = 8 * 2**20
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
# What a container waits with when nothing but another spec or another machine helps.
_HOPELESS = frozenset(
    {
        "CreateContainerError",
        "CreateContainerConfigError",
        "RunContainerError",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)
_NEVER_RAN = frozenset({"StartError", "ContainerCannotRun"})
_SANDBOX_TRIES = 2  # a sandbox that fails is tried again, which helps against chance alone
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a stage stands on. `profile`: the changes of the pods' profile."""

    handler: str
    client: ApiClient
    pod_logs: Path
    image: str
    profile: Mapping[str, Any]
    program: Path
    bounds: Bounds
    quick: bool


class PodStage(Stage):
    """Implements `contract.Stage`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._uids: dict[str, str] = {}

    @property
    @override
    def handler(self) -> str:
        return self._place.handler

    @property
    @override
    def token(self) -> str:
        return self._place.bounds.token

    @property
    @override
    def quick(self) -> bool:
        return self._place.quick

    @override
    async def run(self, pod: PodRequest, *, deadline_seconds: float) -> Ended:
        await self._create(pod)
        try:
            ended = await self._until(pod.name, _end_of, deadline_seconds, "does not end")
            return Ended(exit_code=ended[0], reason=ended[1], output=await self.output(pod.name))
        finally:
            await asyncio.shield(self.stop(pod.name))

    @override
    async def start(self, pod: PodRequest, *, deadline_seconds: float = 60.0) -> str:
        await self._create(pod)
        try:
            return await self._until(pod.name, _address_of, deadline_seconds, "does not run")
        except BaseException:
            await asyncio.shield(self.stop(pod.name))
            raise

    @override
    async def output(self, name: str) -> str:
        uid = self._uids.get(name)
        if uid is None:
            raise StageError(f"pod {name}: there is none")
        path = self._place.pod_logs / f"{NAMESPACE}_{name}_{uid}" / "probe" / "0.log"
        try:
            return await asyncio.to_thread(_read_log, path)
        except OSError as error:
            raise StageError(f"pod {name}: its log: {error.strerror or error}") from error

    @override
    async def usage(self, name: str) -> Usage:
        if name not in self._uids:
            raise StageError(f"pod {name}: there is none")
        bounds = self._place.bounds
        return await asyncio.to_thread(usage_of, self._uids[name], bounds.cgroups, bounds.path)

    @override
    async def stop(self, name: str) -> None:
        try:
            await self._place.client.delete(Pod, name, NAMESPACE, grace_period_seconds=1)
            async with asyncio.timeout(_GONE_SECONDS):
                await self._gone(name)
        except NotFound:
            return
        except TimeoutError:
            self._place.bounds.kill()
            raise StageError(f"pod {name}: does not stop; everything in the evaluation's cgroup was killed") from None
        except ApiError as error:
            raise StageError(f"pod {name}: {error}") from error

    @override
    async def facts(self, sections: Sequence[str], *, deadline_seconds: float = 60.0) -> Facts:
        ended = await self.run(PodRequest(name="facts", arguments=merged(sections)), deadline_seconds=deadline_seconds)
        return facts_of(ended.output, sections)

    @override
    async def on_host(self, arguments: Sequence[str], *, deadline_seconds: float) -> str:
        place = self._place
        return await host.run(place.program, arguments, place.bounds, deadline_seconds=deadline_seconds)

    # ---------------------------------------------------------------------------------------------------------------

    async def _create(self, request: PodRequest) -> None:
        body = pod_of(request, image=self._place.image, profile=self._place.profile)
        try:
            made = json.loads(await self._place.client.request("POST", _PODS, json.dumps(body).encode()))
        except ApiError as error:
            raise StageError(f"pod {request.name}: {error}") from error
        self._uids[request.name] = made["metadata"]["uid"]

    async def _until(self, name: str, done: Callable[[Pod], _Told | None], seconds: float, what: str) -> _Told:
        """What `done` says of the pod, first time that it says something. Raises StageError."""
        hopeless = asyncio.create_task(self._sandbox_failure(name))
        watching = asyncio.create_task(self._watched(name, done))
        try:
            await asyncio.wait({hopeless, watching}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                return watching.result()
            why = hopeless.result() if hopeless.done() else await self._last_event(name)
            raise StageError(
                f"pod {name}: {what} in {seconds:g} s{': ' + why if why else ''}" if not hopeless.done() else why
            )
        except ApiError as error:
            raise StageError(f"pod {name}: {error}") from error
        finally:
            for task in (hopeless, watching):
                task.cancel()
            await asyncio.gather(hopeless, watching, return_exceptions=True)

    async def _watched(self, name: str, done: Callable[[Pod], _Told | None]) -> _Told:
        while True:
            events = cast(
                AsyncGenerator[WatchEvent[Pod], None],
                self._place.client.watch(
                    Pod, NAMESPACE, field_selector=f"metadata.name={name}", send_initial_events=True
                ),
            )
            async with aclosing(events):
                async for event in events:
                    if event.object is None or event.object.status is None:
                        continue
                    if why := _hopeless(event.object):
                        raise StageError(f"pod {name}: {why}")
                    if (told := done(event.object)) is not None:
                        return told

    async def _gone(self, name: str) -> None:
        while True:
            try:
                await self._place.client.get(Pod, name, NAMESPACE)
            except NotFound:
                return
            await asyncio.sleep(0.05)

    async def _sandbox_failure(self, name: str) -> str:
        """Return when the sandbox has failed for good, with the reason."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with contextlib.suppress(ApiError):
                failed = [
                    event for event in await self._events(name) if event.get("reason") == "FailedCreatePodSandBox"
                ]
                if sum(event.get("count") or 1 for event in failed) >= _SANDBOX_TRIES:
                    return str(failed[-1].get("message", ""))

    async def _last_event(self, name: str) -> str:
        with contextlib.suppress(ApiError):
            warnings = [event for event in await self._events(name) if event.get("type") == "Warning"]
            return str(warnings[-1].get("message", "")) if warnings else ""
        return ""

    async def _events(self, name: str) -> list[dict[str, Any]]:
        query = urlencode({"fieldSelector": f"involvedObject.name={name}"})
        answer = await self._place.client.request("GET", f"/api/v1/namespaces/{NAMESPACE}/events?{query}")
        items: list[dict[str, Any]] = json.loads(answer)["items"]
        return items


def _state(pod: Pod) -> ContainerState | None:
    statuses = pod.status.containerStatuses if pod.status is not None else None
    return statuses[0].state if statuses else None


def _end_of(pod: Pod) -> tuple[int, str] | None:
    """(exit code, reason) once the pod has ended: its own reason (Evicted…) before that of its container."""
    status = pod.status
    if status is None or status.phase not in ("Succeeded", "Failed"):
        return None
    state = _state(pod)
    ended = state.terminated if state is not None else None
    return ended.exitCode if ended is not None else -1, status.reason or (
        ended.reason if ended is not None else ""
    ) or ""


def _address_of(pod: Pod) -> str | None:
    state = _state(pod)
    if state is not None and state.terminated is not None:
        raise StageError(f"it ended at once: {state.terminated.reason}, exit code {state.terminated.exitCode}")
    if state is None or state.running is None or pod.status is None:
        return None
    return pod.status.podIP or ""


def _hopeless(pod: Pod) -> str:
    """Why the pod never runs; empty: it may."""
    state, status = _state(pod), pod.status
    waiting = state.waiting if state is not None else None
    if waiting is not None and waiting.reason in _HOPELESS:
        return f"{waiting.reason}: {waiting.message or ''}"
    ended = state.terminated if state is not None else None
    if ended is not None and ended.reason in _NEVER_RAN:
        return f"{ended.reason}: {ended.message or ''}"
    if status is not None and status.phase == "Failed" and not status.containerStatuses:
        return f"{status.reason or 'Failed'}: {status.message or ''}"
    return ""


def _read_log(path: Path) -> str:
    """The text of a log in the CRI's format: `time stream P|F text`."""
    with path.open(errors="replace") as file:
        lines = file.read(_MAX_LOG_BYTES).splitlines()
    pieces = [line.split(" ", 3) for line in lines]
    return "".join(piece[3] + ("" if piece[2] == "P" else "\n") for piece in pieces if len(piece) == 4)
