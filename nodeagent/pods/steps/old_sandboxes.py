"""What a pod's sandboxes of before leave when a new one is made: nothing that they still take, and no record nobody needs."""

import logging

from nodeagent.pods.steps.contract import SyncPass
from proto import cri_pb2 as cri
from runtimes.errors import NotFound, RuntimeFault

log = logging.getLogger(__name__)


async def clear_away(work: SyncPass) -> None:
    """Stop them all, also one that a reboot has ended: its address is taken until then. Remove those without containers.

    Raises RuntimeFault when one that is ready cannot be stopped. One that is down keeps no new sandbox from being made: it is
    tried again with the next, and when the pod goes.
    """
    needed = {instance.sandbox_id for instance in work.observed.instances}
    service = work.runtime.service
    for sandbox in work.observed.sandboxes:
        try:
            await service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox.id))
            if sandbox.id not in needed:
                await service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id))
        except NotFound:
            continue
        except RuntimeFault as error:
            if sandbox.state == cri.SANDBOX_READY:
                raise
            log.warning("sandbox %s of pod %s stays for now: %s", sandbox.id, work.pod.describe(), error)
