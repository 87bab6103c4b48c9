"""A container that keeps failing costs a bounded amount of disk, and its count is not lost."""

from collections.abc import Callable

import pytest
from node_under_test import NodeUnderTest, eventually, pod_object, restart_count

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-crash-loop")]


def test_one_dead_instance_is_kept(own_node: Callable[..., NodeUnderTest]) -> None:
    """After several restarts one dead container and its log stay; older ones, their logs and links are gone."""
    node = own_node(kubelet={"crashLoopBackOff": {"maxContainerRestartPeriod": "1s"}})
    node.start()
    node.apply(pod_object("loop", "sh", "-c", "echo run; exit 1"))
    node.pod_when("loop", lambda pod: restart_count(pod) >= 4)
    folder = next((node.directory / "logs").glob("default_loop_*")) / "c"
    eventually(lambda: len(list(folder.iterdir())) <= 2, f"logs: {sorted(folder.iterdir())}")
    eventually(lambda: len(list((node.directory / "containers").iterdir())) <= 2, "links")
    eventually(
        lambda: len(list((node.directory / "state" / "runtimes" / "runc" / "containers").iterdir())) <= 2, "containers"
    )
