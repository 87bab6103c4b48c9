"""nodeagent.pods.steps.records: what the runtimes know of a pod goes when the pod is forgotten, not before."""

from typing import Any

import pytest

from nodeagent.pods.steps.records import RecordsStep
from proto import cri_pb2 as cri


@pytest.mark.parametrize("keep_records", [True, False])
async def test_sandboxes_are_removed_with_the_pod(kit: Any, world: Any, keep_records: bool) -> None:
    """All of the pod's, and nobody else's; a completed pod's logs and exit codes stay readable until then."""
    for uid, attempt in (("uid-1", 0), ("uid-1", 1), ("uid-2", 7)):
        config = world.sandbox(kit.pod(meta={"uid": uid}), attempt=attempt, cgroup_parent="/pod")
        await world.service.run_pod_sandbox(cri.RunPodSandboxRequest(config=config))
    world.diary.clear()
    await RecordsStep().undo(world.teardown(kit.pod(), keep_records=keep_records))
    assert world.diary == ([] if keep_records else ["remove sandbox web/0", "remove sandbox web/1"])
