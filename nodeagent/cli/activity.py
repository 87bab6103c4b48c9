"""What a node's agent is doing for its pods, from its /debug/pods."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.cli.output import human_age
from nodeagent.server.debug_pods import PATH, ActiveStep, Activities, Activity

_DEADLINE_SECONDS = 5.0


class ActivityUnknown(Exception):
    """The node does not answer; the text says why."""


async def read_activities(client: ApiClient, node_name: str) -> Sequence[Activity]:
    """Ask the node by way of the API; pods by name. Raises ActivityUnknown."""
    asking = client.sharing(qps=-1, burst=1, timeout_seconds=_DEADLINE_SECONDS)
    try:
        body = await asking.request("GET", f"/api/v1/nodes/{node_name}/proxy{PATH}", patient=False)
        return msgspec.json.decode(body, type=Activities).pods
    except ApiError as error:
        raise ActivityUnknown(error.message) from error
    except msgspec.DecodeError as error:
        raise ActivityUnknown(f"its {PATH} cannot be read: {error}") from error


def cells(activity: Activity, now: datetime) -> list[str]:
    """Namespace, pod, stage, runtime, and what is being done."""
    return [activity.namespace, activity.name, activity.stage, activity.handler, _doing(activity, now)]


def _doing(activity: Activity, now: datetime) -> str:
    """The steps that are under way, each with its time, or the work; then what is not begun before when."""
    parts = [_step(step, now) for step in activity.steps]
    if not parts:
        parts = [activity.doing]
    if activity.blocked_until is not None:
        parts.append(f"again in {_from_now(activity.blocked_until, now)}")
    parts += [f"{name} again in {_from_now(until, now)}" for name, until in sorted(activity.held_until.items())]
    return ", ".join(parts)


def _step(step: ActiveStep, now: datetime) -> str:
    name = step.name if step.verb == "run" else f"{step.verb} {step.name}"
    waiting = f" (waits for {', '.join(step.waits_for)})" if step.waits_for else ""
    return f"{name} {human_age((now - step.since).total_seconds())}{waiting}"


def _from_now(until: datetime, now: datetime) -> str:
    return human_age((until - now).total_seconds())
