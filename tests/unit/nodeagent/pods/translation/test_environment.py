"""The environment of a container: sources, precedence, expansion, and what goes wrong."""

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import ConfigMap, EnvVar, EnvVarSource, ResourceFieldSelector, Secret, Service

from nodeagent.api import errors
from nodeagent.pods.translation.environment import (
    ConfigError,
    EnvironmentSources,
    needs_pod_ip,
    resolve_environment,
    variables_of,
)
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import MountedVolume


class Objects:
    """Config map `cm` (a, b), secret `s` (k, raw), and `slow`, which is not synced yet."""

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        if name == "slow":
            raise RuntimeError("failed to sync configmap cache: timed out waiting for the condition")
        if name != "cm":
            raise errors.not_found("configmaps", name)
        return ConfigMap(data={"a": "1", "b": "$(X)", "odd name": "o"}, binaryData={"c": "AA=="})

    async def get_secret(self, namespace: str, name: str) -> Secret:
        if name != "s":
            raise errors.not_found("secrets", name)
        return Secret(data={"k": base64.b64encode(b"v").decode(), "raw": base64.b64encode(b"\xff\xfe").decode()})


def services(namespace: str) -> Sequence[Service]:
    return msgspec.convert(
        [
            {
                "metadata": {"name": "web", "namespace": "ns"},
                "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 80}]},
            }
        ]
        if namespace == "ns"
        else [],
        list[Service],
    )


async def resolve(pod_of: Any, container: dict[str, Any], spec: dict[str, Any] | None = None, **sources: Any) -> Any:
    pod: AgentPod = pod_of(
        {"containers": [{"name": "c", **container}], "nodeName": "n1", "serviceAccountName": "robot", **(spec or {})},
        labels={"app": "x"},
    )
    assert pod.spec is not None
    given = EnvironmentSources(
        objects=Objects(),
        **{"pod_ips": ("10.1.0.2", "fd00::2"), "host_ips": ("192.168.0.1",), "allocatable": {"cpu": "4"}, **sources},
    )
    return await resolve_environment(pod, pod.spec.containers[0], given)


async def variables(pod_of: Any, container: dict[str, Any], **more: Any) -> dict[str, str]:
    return variables_of(await resolve(pod_of, container, **more))


async def test_precedence(pod_of: Any) -> None:
    """Services lose to envFrom, earlier envFrom to later, all of it to env, earlier env to later; names appear once."""
    found = await resolve(
        pod_of,
        {
            "envFrom": [
                {"configMapRef": {"name": "cm"}},
                {"prefix": "WEB_", "configMapRef": {"name": "cm"}},
                {"secretRef": {"name": "s"}},
                {"prefix": "", "configMapRef": {"name": "none", "optional": True}},
            ],
            "env": [
                {"name": "a", "value": "2"},
                {"name": "WEB_SERVICE_PORT", "value": "own"},
                {"name": "a", "value": "3"},
                {"name": "empty"},
            ],
        },
        services=services,
    )
    names = [entry.key for entry in found]
    assert len(names) == len(set(names))
    assert {name: text for name, text in variables_of(found).items() if not name.startswith("WEB_PORT")} == {
        "WEB_SERVICE_HOST": "10.0.0.9",
        "WEB_SERVICE_PORT": "own",
        "a": "3",
        "b": "$(X)",
        "odd name": "o",
        "WEB_a": "1",
        "WEB_b": "$(X)",
        "WEB_odd name": "o",
        "k": "v",
        "raw": "\udcff\udcfe",
        "empty": "",
    }


async def test_expansion_sees_what_came_before(pod_of: Any) -> None:
    """Values may use envFrom, earlier env and services; later names, unknown names and results are left alone."""
    found = await variables(
        pod_of,
        {
            "envFrom": [{"configMapRef": {"name": "cm"}}],
            "env": [
                {"name": "X", "value": "$(a)$(LATER)"},
                {"name": "LATER", "value": "$(X)!"},
                {"name": "URL", "value": "http://$(WEB_SERVICE_HOST)/$$(a)"},
                {"name": "COPY", "value": "$(b)"},
            ],
        },
        services=services,
    )
    assert [found[name] for name in ("X", "LATER", "URL", "COPY")] == [
        "1$(LATER)",
        "1$(LATER)!",
        "http://10.0.0.9/$(a)",
        "$(X)",
    ]


async def test_bytes_of_a_secret_arrive_unchanged(pod_of: Any) -> None:
    """What is not UTF-8 reaches the runtime as it is in the secret."""
    source = {"secretKeyRef": {"name": "s", "key": "raw"}}
    (entry,) = await resolve(pod_of, {"env": [{"name": "A", "valueFrom": source}]})
    assert entry.value == b"\xff\xfe"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u"),
        ("metadata.labels['app']", "x"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'app="x"'),
        ("metadata.annotations", ""),
        ("spec.nodeName", "n1"),
        ("spec.host", "n1"),
        ("spec.serviceAccountName", "robot"),
        ("status.hostIP", "192.168.0.1"),
        ("status.hostIPs", "192.168.0.1"),
        ("status.podIP", "10.1.0.2"),
        ("status.podIPs", "10.1.0.2,fd00::2"),
    ],
)
async def test_field_references(pod_of: Any, path: str, expected: str) -> None:
    """Every field that the API allows in an environment."""
    env = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert await variables(pod_of, {"env": env}) == {"A": expected}


async def test_pod_ip_on_the_nodes_network_is_the_nodes(pod_of: Any) -> None:
    """It is known before there is a sandbox."""
    env = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    assert await variables(pod_of, {"env": env}, spec={"hostNetwork": True}, pod_ips=()) == {"A": "192.168.0.1"}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "limits.cpu"}, "4"),
        ({"resource": "requests.cpu", "divisor": "1m"}, "100"),
        ({"resource": "limits.cpu", "containerName": "other", "divisor": "1m"}, "1500"),
        ({"resource": "limits.memory", "containerName": "other"}, "0"),
        ({"resource": "limits.cpu", "containerName": "init"}, "0"),
    ],
)
async def test_resource_references(pod_of: Any, reference: dict[str, str], expected: str) -> None:
    """Of the container itself or of a named one; a missing limit is the node's, but not that of a named init container."""
    pod = pod_of(
        {
            "initContainers": [{"name": "init"}],
            "containers": [
                {"name": "c", "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m"}}},
                {"name": "other", "resources": {"limits": {"cpu": "1500m"}}},
            ],
        }
    )
    container = pod.spec.containers[0]
    variable = EnvVar(name="A", valueFrom=EnvVarSource(resourceFieldRef=ResourceFieldSelector(**reference)))
    container.env = [variable]
    sources = EnvironmentSources(objects=Objects(), allocatable={"cpu": "4"})
    assert variables_of(await resolve_environment(pod, container, sources)) == {"A": expected}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
        ({"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v2"}}, "unsupported pod version: v2"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "containerName": "none"}}, "container none not found"),
        ({"configMapKeyRef": {"name": "cm", "key": "none"}}, "couldn't find key none in ConfigMap ns/cm"),
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, 'configmap "none" not found'),
        (
            {"configMapKeyRef": {"name": "slow", "key": "a", "optional": True}},
            "failed to sync configmap cache: timed out waiting for the condition",
        ),
        ({"secretKeyRef": {"name": "s", "key": "none"}}, "couldn't find key none in Secret ns/s"),
        ({"secretKeyRef": {"name": "none", "key": "a"}}, 'secret "none" not found'),
        (
            {"fileKeyRef": {"volumeName": "none", "path": "f", "key": "A"}},
            'cannot find the volume "none" referenced by FileKeyRef',
        ),
    ],
)
async def test_what_cannot_be_resolved(pod_of: Any, source: dict[str, Any], message: str) -> None:
    """Each failure has the kubelet's words."""
    with pytest.raises(ConfigError) as caught:
        await resolve(pod_of, {"env": [{"name": "A", "valueFrom": source}]})
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", ["configMapKeyRef", "secretKeyRef"])
@pytest.mark.parametrize(("name", "key"), [("none", "a"), ("cm", "none"), ("s", "none")])
async def test_optional_references_leave_the_variable_out(pod_of: Any, kind: str, name: str, key: str) -> None:
    """Neither object nor key need to be there."""
    env = [{"name": "A", "valueFrom": {kind: {"name": name, "key": key, "optional": True}}}]
    assert await variables(pod_of, {"env": env}) == {}


async def test_unsynced_services_hold_api_pods_back(pod_of: Any) -> None:
    """A pod of the API waits for the service list, a static pod does not; links that are not defaulted are an error."""
    message = "services have not yet been read at least once, cannot construct envvars"
    with pytest.raises(ConfigError, match=message):
        await resolve(pod_of, {}, services=lambda namespace: None)
    assert await variables(pod_of, {}, services=lambda namespace: None, static_pod=True) == {}
    with pytest.raises(ConfigError, match="enableServiceLinks"):
        await resolve(pod_of, {}, spec={"enableServiceLinks": None})


async def test_env_files(pod_of: Any, tmp_path: Path) -> None:
    """A key of a file inside a volume; missing keys and files may be optional; the file cannot be outside."""
    (tmp_path / "vars").write_text("A='1'\nEMPTY=\n")
    (tmp_path / "bad").write_text("A=1\n")
    os.symlink("/etc/passwd", tmp_path / "escape")
    mounted = {"v": MountedVolume(host_path=tmp_path, directory_name="v")}

    async def value(path: str, key: str, *, optional: bool = False) -> dict[str, str]:
        reference = {"volumeName": "v", "path": path, "key": key, "optional": optional}
        env = [{"name": "X", "valueFrom": {"fileKeyRef": reference}}]
        return await variables(pod_of, {"env": env}, mounted=mounted)

    assert await value("vars", "A") == {"X": "1"}
    assert await value("vars", "EMPTY", optional=True) == {}
    assert await value("gone", "A", optional=True) == {}
    for path, key, message in (
        ("vars", "B", 'environment variable key "B" not found in file "vars"'),
        ("gone", "A", "couldn't parse env file: gone: no such file"),
        ("bad", "A", "couldn't parse env file: line 1: expected NAME='value'"),
        ("escape", "root", "couldn't parse env file"),
    ):
        with pytest.raises(ConfigError, match=message):
            await value(path, key)


@pytest.mark.parametrize(
    ("path", "host_network", "expected"),
    [
        ("status.podIP", False, True),
        ("status.podIPs", False, True),
        ("status.podIP", True, False),
        ("status.hostIP", False, False),
        ("metadata.name", False, False),
    ],
)
def test_who_needs_the_pods_ip(pod_of: Any, path: str, host_network: bool, expected: bool) -> None:
    """Only then must creation wait for the network."""
    env = [{"name": "B", "value": "1"}, {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    pod = pod_of({"containers": [{"name": "c", "env": env}], "hostNetwork": host_network})
    assert needs_pod_ip(pod, pod.spec.containers[0]) is expected
