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
    status = node.pod("unconnected")["status"]
    assert status["phase"] == "Pending", json.dumps(status)
    eventually(lambda: connections(node) == [], f"nothing of the network stays: {connections(node)}")
    # mended: the pod starts by itself
    shutil.copy("/usr/lib/cni/tuning", tmp_path / "bin" / "broken")
    node.running("unconnected")
