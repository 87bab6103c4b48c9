"""Static pods from a folder: they run without anybody's leave, and the API shows them as mirror pods."""

from collections.abc import Callable

import pytest
import yaml
from node_under_test import NodeUnderTest, eventually, is_ready, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-static")]


def test_a_static_pod_runs_and_has_a_mirror(own_node: Callable[..., NodeUnderTest]) -> None:
    """A manifest in the folder is a pod with the node's name appended; a bad file beside it does no harm; the API shows its
    status; deleting the mirror brings it back; removing the file ends the pod."""
    node = own_node()
    manifests = node.directory / "manifests"
    manifests.mkdir()
    node.config["kubelet"] = {"staticPodPath": str(manifests)}
    (manifests / "bad.yaml").write_text("kind: Pod\nspec: [\n")
    pod = pod_object("fixed", "sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait", automountServiceAccountToken=False)
    (manifests / "fixed.yaml").write_text(yaml.safe_dump(pod))
    node.start()
    name = f"fixed-{node.name}"
    eventually(lambda: f"pod/{name}" in node.kubectl("get", "pods", "-o", "name"), "mirror pod")
    mirror = node.running(name)
    assert mirror["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert mirror["status"]["podIP"]
    container_id = mirror["status"]["containerStatuses"][0]["containerID"]
    node.kubectl("delete", "pod", name, "--wait=false")
    again = node.pod_when(
        name, lambda found: found["metadata"]["uid"] != mirror["metadata"]["uid"] and is_ready(found), "mirror again"
    )
    assert again["status"]["containerStatuses"][0]["containerID"] == container_id
    (manifests / "fixed.yaml").unlink()
    eventually(lambda: not node._processes("conmon"), "the pod has ended")
    eventually(lambda: "NotFound" in node.kubectl("get", "pod", name, check=False), "the mirror is gone")


DEAD_API = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


def test_static_pods_need_no_api(own_node: Callable[..., NodeUnderTest]) -> None:
    """An agent whose API cannot be reached, from its start on, runs the pods of its folder; killed and started again it goes on
    with the same container; one without any API takes the pod down when its file goes."""
    node = own_node()
    manifests = node.directory / "manifests"
    manifests.mkdir()
    node.config["kubelet"] = {"staticPodPath": str(manifests)}
    pod = pod_object("lonely", "sh", "-c", "echo up; trap 'exit 0' TERM; sleep 100000 & wait")
    pod["spec"] |= {"automountServiceAccountToken": False, "hostNetwork": True}
    (manifests / "lonely.yaml").write_text(yaml.safe_dump(pod))
    kubeconfig = node.directory / "dead.kubeconfig"
    kubeconfig.write_text(DEAD_API)
    logs = node.directory / "logs"
    node.start_with("--kubeconfig", str(kubeconfig))
    eventually(lambda: [path for path in logs.glob("*/c/0.log") if " up" in path.read_text()], "the pod runs")
    before = node._processes("conmon")
    assert node.agent is not None
    node.agent.kill()
    node.agent.wait(30)
    node.start_with("--kubeconfig", str(kubeconfig))
    eventually(lambda: node.log().count(" is up") >= 2, "the agent is up again")
    assert node._processes("conmon") == before
    assert len(list(logs.glob("*/c/*.log"))) == 1
    node.stop()
    node.start_with()
    (manifests / "lonely.yaml").unlink()
    eventually(lambda: not node._processes("conmon"), "the pod has ended")
    node.stop()
