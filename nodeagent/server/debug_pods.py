"""/debug/pods: what is being done for each pod now, since when, and what it waits for, for whoever looks for one that hangs."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
from aiohttp import web

from nodeagent.pods.manager import PodActivity
from nodeagent.pods.step_runs import StepRun

PATH = "/debug/pods"


class ActiveStep(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`verb`: check, run or undo. `waits_for`: what other steps have not provided yet."""

    name: str
    verb: str
    since: datetime
    waits_for: tuple[str, ...] = ()


class Activity(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One pod's. `handler`: of the runtime that runs it, empty before the first look. Times are there where they apply.

    `sync_began`: of the sync that is under way; `blocked_until`: no pass before; `held_until`: container -> no start before.
    """

    namespace: str
    name: str
    uid: str
    stage: str
    doing: str
    handler: str = ""
    steps: tuple[ActiveStep, ...] = ()
    sync_began: datetime | None = None
    blocked_until: datetime | None = None
    held_until: dict[str, datetime] = {}


class Activities(msgspec.Struct, frozen=True):
    """The page."""

    pods: tuple[Activity, ...]


class DebugPods:
    """`activities()`: of all pods; `now`: the time of day; `clock`: that of the steps."""

    def __init__(
        self,
        activities: Callable[[], Sequence[PodActivity]],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._activities = activities
        self._now = now
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.show)]

    async def show(self, request: web.Request) -> web.Response:
        pods = sorted((self._shown(each) for each in self._activities()), key=lambda pod: (pod.namespace, pod.name))
        return web.Response(body=msgspec.json.encode(Activities(tuple(pods))), content_type="application/json")

    def _shown(self, found: PodActivity) -> Activity:
        namespace, name = found.pod.key
        return Activity(
            namespace=namespace,
            name=name,
            uid=found.pod.uid,
            stage=found.stage.value,
            doing=found.doing.value,
            handler=found.handler,
            steps=tuple(self._step(run) for run in found.steps),
            sync_began=found.sync_began,
            blocked_until=found.blocked_until,
            held_until=dict(found.held_until),
        )

    def _step(self, run: StepRun) -> ActiveStep:
        since = self._now() - timedelta(seconds=run.seconds(self._clock()))
        return ActiveStep(name=run.step, verb=run.verb.value, since=since, waits_for=tuple(run.waits_for))
