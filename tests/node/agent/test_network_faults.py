"""CNI plugins that fail, hang or print rubbish: the pod says which and why, and nothing stays behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-network")]

FAULTS = {
    "fails": ('echo \'{"cniVersion":"1.0.0","code":7,"msg":"no luck today"}\'; exit 1', "no luck today"),
    "rubbish": ("echo this is not JSON", "not"),
}


def write_plugin(folder: Path, script: str) -> None:
    """A last plugin of the chain that misbehaves on ADD only."""
    folder.mkdir()
    for name in ("bridge", "host-local", "portmap"):
        (folder / name).symlink_to(f"/usr/lib/cni/{name}")
    plugin = folder / "broken"
    plugin.write_text(f'#!/bin/sh\ncat > /dev/null\ntest "$CNI_COMMAND" = ADD || exit 0\n{script}\n')
    plugin.chmod(0o755)


def connections(node: NodeUnderTest) -> list[str]:
    """What is left of the pod's sandboxes. Its volumes and cgroup wait for the next try, as does its folder."""
    waiting = ("pod folder", "cgroup", f"mount {node.root_dir}/pods/")
    return [leak for leak in node._pod_leaks() if not leak.startswith(waiting)]


def test_pods_wait_until_there_is_a_network(own_node: Callable[..., NodeUnderTest]) -> None:
    """Without a usable configuration the node is not Ready and says why; pods of the host's network run, others wait with
    NetworkNotReady in the same words, and nothing is made for them; they start when the configuration comes. When it goes, what
    runs stays as it is, and new pods wait again."""
    node = own_node()
    folder = node.directory / "cni"
    folder.mkdir()
    (folder / "05-empty.conflist").write_text('{"cniVersion": "1.0.0", "name": "empty"}')
    node.start_with("--standalone")
    eventually(node.kubeconfig.exists, "the API is there")
    text = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:"
    told = eventually(lambda: ready(node) if ready(node)[0] == "False" else (), "the node says so")
    assert (told[1], text in told[2]) == ("KubeletNotReady", True)
    # no scheduler puts a pod on a node that is not Ready
    idle = {"nodeName": node.name, "automountServiceAccountToken": False}
    node.apply(
        pod_object("plain", "sleep", "100000", **idle),
        pod_object("hosted", "sleep", "100000", hostNetwork=True, **idle),
    )
    message = node.event_when("plain", "NetworkNotReady")
    assert message.startswith(f"network is not ready: {text}Network plugin returns error: ")
    node.running("hosted")
    pod = node.pod("plain")
    waiting = pod["status"]["containerStatuses"][0]["state"]
    assert (pod["status"]["phase"], waiting) == ("Pending", {"waiting": {"reason": "ContainerCreating"}})
    assert {reason for reason, _ in node.events("plain")} == {"NetworkNotReady"}

    usable = f"""{{"cniVersion": "1.0.0", "name": "{node.bridge}", "plugins": [{{"type": "bridge", "bridge": "{node.bridge}",
        "isGateway": true, "ipam": {{"type": "host-local", "dataDir": "{node.directory}/ipam",
        "ranges": [[{{"subnet": "{node.subnet}"}}]]}}}}]}}"""
    (folder / "10-usable.conflist").write_text(usable)
    before = node.running("plain")["status"]["containerStatuses"][0]
    eventually(lambda: ready(node)[0] == "True", "the node is Ready")

    (folder / "10-usable.conflist").unlink()
    node.apply(pod_object("late", "sleep", "100000", **idle))
    assert node.event_when("late", "NetworkNotReady").startswith("network is not ready: ")
    assert node.pod("plain")["status"]["containerStatuses"][0] == before
    assert "Failed" not in {reason for reason, _ in node.events("late")}
    (folder / "10-usable.conflist").write_text(usable)
    node.running("late")


def ready(node: NodeUnderTest) -> tuple[str, str, str]:
    """The node's Ready condition: status, reason, message; empty while there is none."""
    answer = node.kubectl("get", "node", node.name, "-o", "json", check=False)
    found = json.loads(answer)["status"].get("conditions", []) if answer.startswith("{") else []
    conditions = [(item["status"], item["reason"], item["message"]) for item in found if item["type"] == "Ready"]
    return conditions[0] if conditions else ("", "", "")


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_broken_plugin_is_named_and_undone(
    own_node: Callable[..., NodeUnderTest], tmp_path: Path, fault: str
) -> None:
    """FailedCreatePodSandBox names the plugin and its error; no address, link, namespace, mount or cgroup stays."""
    script, words = FAULTS[fault]
    write_plugin(tmp_path / "bin", script)
    node = own_node(cni={"binDirs": [str(tmp_path / "bin")]})
    config = f"""{{"cniVersion": "1.0.0", "name": "{node.bridge}", "plugins": [
        {{"type": "bridge", "bridge": "{node.bridge}", "isGateway": true, "ipMasq": true,
          "ipam": {{"type": "host-local", "dataDir": "{node.directory}/ipam", "ranges": [[{{"subnet": "{node.subnet}"}}]]}}}},
        {{"type": "broken"}}]}}"""
    (node.directory / "cni").mkdir()
    (node.directory / "cni" / "10-broken.conflist").write_text(config)
    node.start()
    node.apply(pod_object("unconnected", "sleep", "1000"))
    message = node.event_when("unconnected", "FailedCreatePodSandBox")
    assert "broken" in message
    assert words in message
    # the container that was made while the network came up is no failure of its own
    assert "Failed" not in {reason for reason, _ in node.events("unconnected")}
    status = node.pod("unconnected")["status"]
    assert status["phase"] == "Pending", json.dumps(status)
    eventually(lambda: connections(node) == [], f"nothing of the network stays: {connections(node)}")
    # mended: the pod starts by itself
    shutil.copy("/usr/lib/cni/tuning", tmp_path / "bin" / "broken")
    node.running("unconnected")
