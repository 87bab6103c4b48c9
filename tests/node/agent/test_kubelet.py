"""In a kubelet's place on a machine as kubeadm leaves it: its unit, files, ports and paths, and another program."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from components import needs
from kubeadm_machine import MAX_PODS, KubeadmMachine, kubeadm_machine
from node_under_test import DEMO_IMAGE, eventually

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-kubelet"), needs("containerd"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[KubeadmMachine]:
    with kubeadm_machine(tmp_path_factory.mktemp("k"), demo_image) as made:
        yield made


def control_plane(name: str) -> dict[str, Any]:
    """A manifest in the shape of kubeadm's, with a program that waits in the place of the component."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {"component": name, "tier": "control-plane"},
            "creationTimestamp": None,
        },
        "spec": {
            "containers": [
                {
                    "name": name,
                    "image": DEMO_IMAGE,
                    "command": [
                        "sh",
                        "-c",
                        "trap 'exit 0' TERM; test -e /etc/kubernetes/pki/ca.crt; sleep 100000 & wait",
                    ],
                    "imagePullPolicy": "IfNotPresent",
                    "resources": {"requests": {"cpu": "25m"}},
                    "livenessProbe": {
                        "failureThreshold": 8,
                        "httpGet": {"host": "127.0.0.1", "path": "/healthz", "port": 10248, "scheme": "HTTP"},
                        "initialDelaySeconds": 10,
                        "periodSeconds": 10,
                        "timeoutSeconds": 15,
                    },
                    "volumeMounts": [{"mountPath": "/etc/kubernetes/pki", "name": "k8s-certs", "readOnly": True}],
                }
            ],
            "hostNetwork": True,
            "priority": 2000001000,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [
                {"hostPath": {"path": "/etc/kubernetes/pki", "type": "DirectoryOrCreate"}, "name": "k8s-certs"}
            ],
        },
        "status": {},
    }


def healthy(machine: KubeadmMachine) -> bool:
    return machine.run("wget", "-q", "-O-", "http://127.0.0.1:10248/healthz", check=False) == "ok"


def ready(found: dict[str, Any]) -> bool:
    conditions = found.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_kubeadm_join(machine: KubeadmMachine) -> None:
    """From the bootstrap kubeconfig alone: /healthz on 10248, the client certificate and kubelet.conf, the serving certificate,
    the node Ready with its labels, and a static pod of a control plane on containerd, with its mirror in the API. The runtime is
    that of config.yaml; instance-config.yaml beside it is kubeadm's, and no configuration."""
    machine.write("/etc/kubernetes/manifests/kube-apiserver.yaml", yaml.safe_dump(control_plane("kube-apiserver")))
    machine.start()
    eventually(lambda: healthy(machine), "/healthz is ok")
    eventually(lambda: ready(machine.get("node", machine.name)), f"node Ready: {machine.log()[-2000:]}")
    pod = f"kube-apiserver-{machine.name}"
    eventually(lambda: ready(machine.get("-n", "kube-system", "pod", pod)), f"{pod} Ready: {machine.log()[-2000:]}")
    found = machine.get("-n", "kube-system", "pod", pod)
    assert found["status"]["podIP"] == "192.0.2.9"
    assert len(machine.runtime.tasks()) == 2  # its container, and the sandbox's
    node = machine.get("node", machine.name)
    assert node["metadata"]["labels"]["disk"] == "ssd"
    assert node["status"]["capacity"]["pods"] == str(MAX_PODS)
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.0"
    kubeconfig = yaml.safe_load(machine.run("cat", "/etc/kubernetes/kubelet.conf"))
    current = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    assert kubeconfig["users"] == [
        {"name": "default-auth", "user": {"client-certificate": current, "client-key": current}}
    ]
    names = machine.run("sh", "-c", "stat -c '%a %F %n' /var/lib/kubelet/pki/*").splitlines()
    assert [line.rpartition("/")[2] for line in names if "symbolic" in line] == ["kubelet-client-current.pem"]
    assert "644 regular file /var/lib/kubelet/pki/kubelet.crt" in names
    assert [line.split()[0] for line in names if "kubelet-client-2" in line or line.endswith(".key")] == ["600", "600"]
    log = machine.log()
    assert "Flag --pod-infra-container-image has been deprecated, will be removed in 1.35." in log
    assert "--pod-infra-container-image has no effect here" in log


def test_a_kubelet_that_starts_again(machine: KubeadmMachine) -> None:
    """SIGTERM ends it with 0 and leaves the containers; the next one needs no bootstrap, and goes on with them. SIGHUP is not
    caught, as by a kubelet: it ends it by the signal, and leaves them, too."""
    before = sorted(machine.runtime.tasks())
    assert machine.stop() == 0
    machine.run("rm", "/etc/kubernetes/bootstrap-kubelet.conf")  # as kubeadm does when it has joined
    begin = len(machine.log())
    machine.start()
    eventually(lambda: healthy(machine), "/healthz is ok")
    eventually(lambda: "is up" in machine.log()[begin:], "up")
    assert "asking for a client certificate" not in machine.log()[begin:]
    assert sorted(machine.runtime.tasks()) == before
    assert machine.stop(signal.SIGHUP) == -signal.SIGHUP
    assert sorted(machine.runtime.tasks()) == before
