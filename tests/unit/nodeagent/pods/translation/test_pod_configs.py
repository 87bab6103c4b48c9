"""From a request to a container's configuration: what is gathered for it, and that the translation itself does nothing else."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightkube.models.core_v1 import ConfigMap

from nodeagent.api.errors import NotFound
from nodeagent.images.manager import EnsuredImage
from nodeagent.node.status import RuntimeHandler
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.rules.model import Instance
from nodeagent.pods.translation.configs import NodePart, PodConfigs, container_context
from nodeagent.pods.translation.container_config import ContainerContext
from nodeagent.pods.translation.dns import DNSSettings
from nodeagent.pods.translation.environment import ConfigError
from nodeagent.pods.translation.gathering import Gathered
from nodeagent.pods.translation.node_settings import NodeSettings
from nodeagent.pods.translation.request import ContainerRequest
from nodeagent.pods.translation.resources import HostLimits, container_resources
from nodeagent.pods.translation.security import SecuritySettings
from nodeagent.podspec.containers import find_container
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.container_mounts import MountInputs, container_mounts
from nodeagent.volumes.contract import MountedVolume
from nodeagent.volumes.layout import Layout
from proto import cri_pb2 as cri

IMAGE = EnsuredImage(image_ref="sha256:1", image=cri.Image(id="sha256:1"))
HOST = HostLimits(memory_capacity_bytes=1 << 30, cgroup_v2=False)
IDS = cri.UserNamespace(mode=cri.POD, uids=[cri.IDMapping(host_id=65536, container_id=0, length=65536)])


class Objects:
    """ConfigMaps by name."""

    def __init__(self, **config_maps: dict[str, str]) -> None:
        self.config_maps = config_maps

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        if name not in self.config_maps:
            raise NotFound(404, "NotFound", f'configmaps "{name}" not found')
        return ConfigMap(data=self.config_maps[name])


def request_of(pod: AgentPod, name: str = "c", **changes: Any) -> ContainerRequest:
    found = find_container(pod, name)
    assert found is not None
    given: dict[str, Any] = {"restart_count": 2, "image": IMAGE, "mounts": {}, "pod_ips": ("10.0.0.7",), **changes}
    return ContainerRequest(pod=pod, kind=found[0], container=found[1], **given)


def configs_at(root: Path, objects: Objects, features: Mapping[str, RuntimeHandler]) -> PodConfigs:
    settings = NodeSettings(
        dns=lambda: DNSSettings(cluster_domain="cluster.local"),
        security=SecuritySettings(),
        host=HOST,
        host_ips=lambda: ("192.168.0.1",),
        allocatable=dict,
        services=lambda namespace: [],
        user_namespace=lambda pod: None,
        features=lambda handler: features.get(handler, RuntimeHandler(name=handler)),
    )
    paths = PodPaths(root_dir=root, pod_logs_dir=root / "logs", container_logs_dir=root / "links")
    events: Any = SimpleNamespace()
    return PodConfigs(settings, objects, events, paths)  # type: ignore[arg-type]


async def test_what_is_gathered_for_a_container(pod_of: Any, tmp_path: Path) -> None:
    """Its environment of the API's values, the pod's hosts file, and a fresh file for its last words, both mounted."""
    environment = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}}]
    pod = pod_of({"containers": [{"name": "c", "command": ["$(A)"], "env": environment}], "enableServiceLinks": False})
    configs = configs_at(tmp_path, Objects(m={"a": "1"}), {})
    found = await configs.container(request_of(pod, cri_handler="runc"))
    assert (found.envs[-1], list(found.command)) == (cri.KeyValue(key="A", value=b"1"), ["1"])
    assert found.image == cri.ImageSpec(image="sha256:1", runtime_handler="runc")
    hosts, last_words = found.mounts
    assert (hosts.container_path, hosts.host_path) == ("/etc/hosts", f"{tmp_path}/pods/u/etc-hosts")
    assert "10.0.0.7\tp\n" in Path(hosts.host_path).read_text()
    assert (last_words.container_path, Path(last_words.host_path).read_bytes()) == ("/dev/termination-log", b"")
    again = await configs.container(request_of(pod))
    assert again.mounts[1].host_path != last_words.host_path


@pytest.mark.parametrize(
    ("spec", "changes", "expected"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}}]},
            {},
            'configmap "m" not found',
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {},
            'cannot find volume "v" to mount into container "c"',
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Enabled"}]},
            {"mounts": {"v": MountedVolume(host_path=Path("/v"), directory_name="v")}},
            'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
        ),
        ({}, {"volume_images": {"i": cri.ImageSpec(image="x")}}, "too old"),
    ],
)
async def test_why_a_container_has_no_configuration(
    pod_of: Any, tmp_path: Path, spec: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    """What is missing in the API, on the node, or in what the runtime can do: all are ConfigErrors with their text."""
    pod = pod_of({"containers": [{"name": "c", **spec}], "enableServiceLinks": False})
    old = RuntimeHandler(name="old", image_volumes_refusal="too old")
    configs = configs_at(tmp_path, Objects(), {"old": old})
    with pytest.raises(ConfigError) as caught:
        await configs.container(request_of(pod, handler="old", **changes))
    assert str(caught.value) == expected


def test_the_translation_is_pure(pod_of: Any) -> None:
    """All of a container's context follows from the request, what was gathered and the node's part: no file is looked at."""
    mounts = [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "IfPossible", "subPath": "a"}]
    pod = pod_of(
        {
            "containers": [{"name": "c", "volumeMounts": mounts, "resources": {"limits": {"cpu": "1"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        }
    )
    volume = MountedVolume(host_path=Path("/nowhere/v"), directory_name="v", supplemental_groups=(7, 5))
    request = request_of(pod, mounts={"v": volume}, cri_handler="runc")
    gathered = Gathered(
        environment=[cri.KeyValue(key="A", value=b"1")],
        hosts_file=Path("/nowhere/hosts"),
        termination_log=Path("/nowhere/log"),
        user_namespace=IDS,
    )
    able = RuntimeHandler(name="", recursive_read_only_mounts=True)
    found = container_context(request, gathered, NodePart(layout=Layout(Path("/nowhere")), host=HOST, features=able))
    inputs = MountInputs(
        layout=Layout(Path("/nowhere")),
        mounted={"v": volume},
        environment={"A": "1"},
        hosts_file=Path("/nowhere/hosts"),
        termination_log=Path("/nowhere/log"),
        recursive_read_only=True,
        user_namespace=IDS,
    )
    assert found == ContainerContext(
        pod=pod,
        container=request.container,
        kind=request.kind,
        image=IMAGE.image,
        image_ref="sha256:1",
        restart_count=2,
        environment=gathered.environment,
        mounts=container_mounts(pod, pod.spec.containers[0], inputs),
        devices=[],
        resources=container_resources(pod, pod.spec.containers[0], HOST),
        user_namespace=IDS,
        volume_groups=(5, 7),
        runtime_handler="runc",
    )


def test_the_target_of_an_ephemeral_container_is_its_newest_instance(pod_of: Any) -> None:
    """As this pass has found it in the runtime, the newest first; without one there is no configuration."""
    pod = pod_of({"ephemeralContainers": [{"name": "debug", "targetContainerName": "c"}]})
    names = (("other", "1"), ("c", "2"), ("c", "3"))
    instances = tuple(
        Instance(sandbox_id="s", status=cri.ContainerStatus(id=number, metadata=cri.ContainerMetadata(name=name)))
        for name, number in names
    )
    gathered = Gathered(environment=(), hosts_file=Path("/h"), termination_log=Path("/t"))
    node = NodePart(layout=Layout(Path("/nowhere")), host=HOST, features=RuntimeHandler(name=""))
    assert container_context(request_of(pod, "debug", instances=instances), gathered, node).target_id == "2"
    with pytest.raises(ConfigError, match="unable to find target container c"):
        container_context(request_of(pod, "debug", instances=instances[:1]), gathered, node)
