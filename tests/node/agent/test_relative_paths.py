"""A node whose paths are all given relative: to its working directory on the command line, to the file in the file."""

import shutil
from collections.abc import Callable

import pytest
import yaml
from node_under_test import NodeUnderTest, eventually, pod_object

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-relative")]


def test_pods_run_from_relative_folders(own_node: Callable[..., NodeUnderTest]) -> None:
    """Pods of the API and of a manifest run, with their volumes, hosts file and logs below the folders that were meant."""
    runtime = shutil.which("crun") or shutil.which("runc")
    node = own_node(
        kubelet={"staticPodPath": "manifests/", "resolvConf": "./resolv.conf"},
        runtimes={"oci": {"type": "oci", "path": runtime}},
    )
    node.relative = True
    (node.directory / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (node.directory / "manifests").mkdir()
    static = pod_object("static", "sleep", "100000", terminationGracePeriodSeconds=1)  # nothing can shorten it later
    (node.directory / "manifests" / "static.yaml").write_text(yaml.safe_dump(static))
    try:
        look(node)
    finally:
        (node.directory / "manifests" / "static.yaml").unlink()


def look(node: NodeUnderTest) -> None:
    node.start()
    volume = {"name": "v", "configMap": {"name": "kube-root-ca.crt"}}
    node.apply(
        pod_object(
            "relative",
            *("sh", "-c", "cat /etc/hosts /etc/resolv.conf; ls /v; sleep 100000"),
            volumes=[volume],
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
            dnsPolicy="Default",
        )
    )
    pod = node.running("relative")
    eventually(lambda: f"static-{node.name}" in node.kubectl("get", "pods"), "the static pod's mirror")
    node.running(f"static-{node.name}")
    log = eventually(lambda: text if "ca.crt" in (text := node.container_log("relative", "c")) else "", "its output")
    assert f"{pod['status']['podIP']}\trelative" in log
    assert "nameserver 192.0.2.53" in log
    assert (node.directory / "root" / "pods" / pod["metadata"]["uid"] / "etc-hosts").is_file()
    assert list((node.directory / "containers").glob("relative_default_c-*.log"))
