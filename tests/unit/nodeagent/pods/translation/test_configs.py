"""Sandbox and container configurations as a whole."""

import json
from typing import Any

from nodeagent.pods.rules.runtime_view import container_hash
from nodeagent.pods.translation.container_config import ContainerContext, container_config, log_path
from nodeagent.pods.translation.sandbox_config import sandbox_config
from nodeagent.pods.translation.security import SecuritySettings, container_security, sandbox_security
from nodeagent.podspec.containers import ContainerKind
from proto import cri_pb2 as cri

IMAGE = cri.Image(id="sha256:1")


def sandbox(pod: Any, **changes: Any) -> cri.PodSandboxConfig:
    given: dict[str, Any] = {
        "attempt": 2,
        "hostname": "web",
        "dns": cri.DNSConfig(servers=["10.96.0.10"]),
        "cgroup_parent": "/kubepods/podu",
        "log_directory": "/var/log/pods/ns_p_u",
        **changes,
    }
    return sandbox_config(pod, **given)


def container(pod: Any, **changes: Any) -> cri.ContainerConfig:
    given: dict[str, Any] = {
        "pod": pod,
        "container": pod.spec.containers[0],
        "kind": ContainerKind.REGULAR,
        "image": IMAGE,
        "image_ref": "sha256:1",
        "restart_count": 3,
        **changes,
    }
    return container_config(ContainerContext(**given))


def test_a_sandbox(pod_of: Any) -> None:
    """Names, labels with the three keys by which it is found again, annotations, ports, sysctls, resources."""
    pod = pod_of(
        {
            "containers": [
                {"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1", "name": "http"}]}
            ],
            "initContainers": [{"name": "i", "ports": [{"containerPort": 1}]}],
            "securityContext": {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}]},
        },
        labels={"app": "x"},
        annotations={"note": "y"},
    )
    resources, overhead = cri.LinuxContainerResources(cpu_shares=100), cri.LinuxContainerResources(cpu_shares=2)
    assert sandbox(pod, resources=resources, overhead=overhead) == cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name="p", namespace="ns", uid="u", attempt=2),
        hostname="web",
        log_directory="/var/log/pods/ns_p_u",
        dns_config=cri.DNSConfig(servers=["10.96.0.10"]),
        port_mappings=[cri.PortMapping(container_port=80, host_port=8080, host_ip="127.0.0.1")],
        labels={
            "app": "x",
            "io.kubernetes.pod.name": "p",
            "io.kubernetes.pod.namespace": "ns",
            "io.kubernetes.pod.uid": "u",
        },
        annotations={"note": "y"},
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent="/kubepods/podu",
            security_context=sandbox_security(pod),
            sysctls={"net.ipv4.tcp_syncookies": "1"},
            resources=resources,
            overhead=overhead,
        ),
    )


def test_on_the_nodes_network_the_sandbox_has_no_name(pod_of: Any) -> None:
    """It shares the node's."""
    assert sandbox(pod_of({"hostNetwork": True})).hostname == ""


def test_ports_that_repeat_are_sent_once(pod_of: Any) -> None:
    """Within a container, by name or by address; two containers may use the same name."""
    first = [
        {"containerPort": 80, "name": "http"},
        {"containerPort": 81, "name": "http"},
        {"containerPort": 53, "protocol": "UDP"},
        {"containerPort": 53, "protocol": "UDP"},
        {"containerPort": 53, "protocol": "TCP"},
        {"containerPort": 53, "protocol": "SCTP", "hostIP": "::1", "hostPort": 1},
    ]
    second = [{"containerPort": 90, "name": "http"}]
    pod = pod_of({"containers": [{"name": "a", "ports": first}, {"name": "b", "ports": second}]})
    assert list(sandbox(pod).port_mappings) == [
        cri.PortMapping(container_port=80),
        cri.PortMapping(container_port=53, protocol=cri.UDP),
        cri.PortMapping(container_port=53),
        cri.PortMapping(container_port=53, protocol=cri.SCTP, host_ip="::1", host_port=1),
        cri.PortMapping(container_port=90),
    ]


def test_a_container(pod_of: Any) -> None:
    """Command and arguments are expanded; labels and annotations are all that a later agent needs."""
    pod = pod_of(
        {
            "containers": [
                {
                    "name": "c",
                    "image": "busybox:1",
                    "command": ["sh", "-c", "echo $(A) $(NONE) $$(A)"],
                    "args": ["$(A)"],
                    "workingDir": "/w",
                    "stdin": True,
                    "stdinOnce": True,
                    "tty": True,
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "lifecycle": {"preStop": {"exec": {"command": ["x"]}}, "stopSignal": "SIGUSR1"},
                    "terminationMessagePath": "/last",
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                }
            ],
            "terminationGracePeriodSeconds": 30,
        },
        deletionGracePeriodSeconds=10,
    )
    declared = pod.spec.containers[0]
    mount, device = cri.Mount(container_path="/x"), cri.Device(container_path="/dev/x")
    resources = cri.LinuxContainerResources(cpu_shares=5)
    found = container(
        pod,
        environment=[cri.KeyValue(key="A", value=b"1")],
        mounts=[mount],
        devices=[device],
        resources=resources,
        annotations={"from-plugin": "z", "io.kubernetes.container.restartCount": "plugins do not win"},
        runtime_handler="runc",
    )
    assert found == cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name="c", attempt=3),
        image=cri.ImageSpec(image="sha256:1", user_specified_image="busybox:1", runtime_handler="runc"),
        command=["sh", "-c", "echo 1 $(NONE) $(A)"],
        args=["1"],
        working_dir="/w",
        envs=[cri.KeyValue(key="A", value=b"1")],
        mounts=[mount],
        devices=[device],
        labels={
            "io.kubernetes.pod.name": "p",
            "io.kubernetes.pod.namespace": "ns",
            "io.kubernetes.pod.uid": "u",
            "io.kubernetes.container.name": "c",
        },
        annotations={
            "from-plugin": "z",
            "io.kubernetes.container.hash": container_hash(declared),
            "io.kubernetes.container.restartCount": "3",
            "io.kubernetes.container.terminationMessagePath": "/last",
            "io.kubernetes.container.terminationMessagePolicy": "FallbackToLogsOnError",
            "io.kubernetes.pod.terminationGracePeriod": "30",
            "io.kubernetes.pod.deletionGracePeriod": "10",
            "io.kubernetes.container.preStopHandler": json.dumps({"exec": {"command": ["x"]}}, separators=(",", ":")),
            "io.kubernetes.container.ports": '[{"containerPort":80,"protocol":"TCP"}]',
        },
        log_path="c/3.log",
        stdin=True,
        stdin_once=True,
        tty=True,
        stop_signal=cri.SIGUSR1,
        linux=cri.LinuxContainerConfig(
            resources=resources,
            security_context=container_security(pod, declared, IMAGE, SecuritySettings()),
        ),
    )


def test_defaults_of_a_container(pod_of: Any) -> None:
    """Pod labels are not copied; what is not set is not annotated; the message file has its default place."""
    found = container(pod_of({"terminationGracePeriodSeconds": None}, labels={"app": "x"}))
    assert "app" not in found.labels
    assert sorted(found.annotations) == [
        "io.kubernetes.container.hash",
        "io.kubernetes.container.restartCount",
        "io.kubernetes.container.terminationMessagePath",
        "io.kubernetes.container.terminationMessagePolicy",
    ]
    assert found.annotations["io.kubernetes.container.terminationMessagePath"] == "/dev/termination-log"
    assert found.annotations["io.kubernetes.container.terminationMessagePolicy"] == "File"
    assert found.stop_signal == cri.RUNTIME_DEFAULT


def test_ephemeral_containers_join_their_target(pod_of: Any) -> None:
    """The PID namespace is that of the named container."""
    pod = pod_of({"ephemeralContainers": [{"name": "debug", "targetContainerName": "c"}]})
    found = container(pod, container=pod.spec.ephemeralContainers[0], kind=ContainerKind.EPHEMERAL, target_id="abc")
    options = found.linux.security_context.namespace_options
    assert (options.pid, options.target_id) == (cri.TARGET, "abc")


def test_log_files_are_numbered_by_restarts() -> None:
    """Relative to the pod's log directory."""
    assert log_path("c", 4) == "c/4.log"
