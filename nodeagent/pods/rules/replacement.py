"""Containers that are stopped only to start again: for a changed definition, a failed probe, a resize, a lost sandbox.

Between the stop and the next start the runtime shows an exit that is nobody's end: whatever its code and the restart policy, the
container starts again, and its pod goes on. Upstream stops and starts within one sync, so no status falls in between; here
statuses are made while work is under way, so what is being replaced is remembered (`Memory.replaced`) and recorded on the disk.
"""

from collections.abc import Iterable, Iterator, Mapping

from nodeagent.pods.rules.model import Memory, Observed, Plan, PodStage
from nodeagent.pods.rules.runtime_view import CREATED, RUNNING, name_of_instance, newest


def replacing(plan: Plan) -> dict[str, str]:
    """Container name -> id of the instance that the plan stops to start another one in its place, now or after a back-off."""
    again = {start.name for start in plan.start} | plan.waiting.keys()
    anew = (
        plan.create_sandbox is not None
    )  # everything that runs goes over to the new sandbox, if only after initialization
    return {kill.name: kill.container_id for kill in plan.kill if anew or kill.name in again}


def awaiting(observed: Observed, replaced: Iterable[str]) -> frozenset[str]:
    """Those of the ids that have stopped and whose place has not been taken yet; what runs may be kept after all."""
    return frozenset(id for _, id in _open(observed, replaced, stopped=True))


def interrupted(observed: Observed, recorded: Mapping[str, str], *, stopped: bool = False) -> dict[str, str]:
    """What is left of a record of container name -> id, which may be another agent's: the next instance has not started.

    `stopped`: and this one has stopped.
    """
    still = dict(_open(observed, recorded.values(), stopped=stopped))
    return {name: id for name, id in recorded.items() if still.get(name) == id}


def stopped_names(observed: Observed, memory: Memory) -> frozenset[str]:
    """Names of the containers that are between two of their instances."""
    if memory.stage is not PodStage.SYNC:
        return frozenset()  # nothing starts any more: an end is an end
    return frozenset(name for name, _ in _open(observed, memory.replaced, stopped=True))


def is_replaced(memory: Memory, container_id: str) -> bool:
    return memory.stage is PodStage.SYNC and container_id in memory.replaced


def _open(observed: Observed, ids: Iterable[str], *, stopped: bool) -> Iterator[tuple[str, str]]:
    wanted = frozenset(ids)
    for instance in observed.instances if wanted else ():
        if instance.status.id not in wanted or (stopped and instance.status.state == RUNNING):
            continue
        name = name_of_instance(instance)
        last = newest(observed, name)
        if last is not None and (last.status.id == instance.status.id or last.status.state == CREATED):
            yield name, instance.status.id
