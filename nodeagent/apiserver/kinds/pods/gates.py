"""Scheduling gates: a pod that has one waits, and says so from the start."""

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.kinds.timestamps import rfc3339
from runtimes.kube.json_object import JsonObject

REASON = "SchedulingGated"
MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"


def gated_condition(pod: JsonObject, ctx: AdmissionContext) -> list[JsonObject]:
    """The conditions that a new pod begins with."""
    if not pod["spec"].get("schedulingGates"):
        return []
    moment = rfc3339(ctx.now.timestamp())
    return [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": REASON,
            "message": MESSAGE,
            "lastTransitionTime": moment,
        }
    ]
