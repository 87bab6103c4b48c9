"""Reading the configuration file: what is accepted, and what each mistake is told as."""

from pathlib import Path

import pytest
import yaml

from nodeagent.config import ConfigProblem, Options, RuntimeSettings, load
from nodeagent.config.acted_on import ACTED_ON
from nodeagent.config.kubelet import KubeletConfiguration
from runtimes.kube import quantity

KUBELET = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
AGENT = "apiVersion: nodeagent.dev/v1alpha1\nkind: NodeAgentConfiguration\n"
RUNC = RuntimeSettings(type="oci", path="/usr/sbin/runc")


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has runc and nothing else."""
    monkeypatch.setattr("nodeagent.config.runtimes.detect", lambda: {"runc": RUNC})


def problems(path: Path, text: str) -> list[str]:
    """The mistakes of a file, without its path."""
    path.write_text(text)
    with pytest.raises(ConfigProblem) as caught:
        load(Options(config_file=path))
    lines = caught.value.problems
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def test_without_a_file_everything_has_its_default() -> None:
    """No file: upstream's defaults, but that cgroup v1 is fine; the machine's runtimes, the default CNI folders."""
    config = load(Options(node_name=" Node-A "))
    assert config.kubelet == KubeletConfiguration()
    assert config.kubelet.failCgroupV1 is False
    assert config.agent.runtimes == {"runc": RUNC}
    assert config.agent.defaultRuntime == "runc"
    assert (config.agent.cni.confDir, config.agent.cni.binDirs) == ("/etc/cni/net.d", ["/opt/cni/bin", "/usr/lib/cni"])
    assert config.ignored_settings == ()
    assert config.node_name == "node-a"
    assert config.pod_logs_dir == Path("/var/log/pods")


def test_both_documents(tmp_path: Path) -> None:
    """The example of the issue, with a kubelet's document in front, becomes what it says."""
    path = tmp_path / "config.yaml"
    path.write_text(
        KUBELET
        + "maxPods: 42\nport: 11250\npodLogsDir: logs\nclusterDNS: [10.96.0.10]\nhairpinMode: none\n"
        + "---\n"
        + AGENT
        + """runtimes:
  runc:       {type: oci, path: /usr/sbin/runc}
  crun:       {type: oci, path: /usr/bin/crun}
  gvisor:     {type: oci, path: /usr/bin/runsc, args: ["--platform=ptrace", "--network=host"], infraContainer: always}
  containerd: {type: cri, endpoint: "unix:///run/containerd/containerd.sock", handler: runc}
defaultRuntime: crun
cni: {confDir: /etc/cni/net.d, binDirs: [/opt/cni/bin, /usr/lib/cni]}
"""
    )
    config = load(Options(config_file=path))
    assert (config.kubelet.maxPods, config.kubelet.port, config.kubelet.clusterDNS) == (42, 11250, ["10.96.0.10"])
    assert config.pod_logs_dir == tmp_path / "logs", "a relative path is relative to the file"
    assert config.agent.runtimes == {
        "runc": RUNC,
        "crun": RuntimeSettings(type="oci", path="/usr/bin/crun"),
        "gvisor": RuntimeSettings(
            type="oci", path="/usr/bin/runsc", args=["--platform=ptrace", "--network=host"], infraContainer="always"
        ),
        "containerd": RuntimeSettings(type="cri", endpoint="unix:///run/containerd/containerd.sock", handler="runc"),
    }
    assert config.agent.defaultRuntime == "crun"
    assert [each.field for each in config.ignored_settings] == ["hairpinMode"], (
        "known to a kubelet, without effect here"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ["1: the file is empty"], id="empty"),
        pytest.param("# nothing\n", ["1: the file is empty"], id="only a comment"),
        pytest.param("a: [1\n", ["2: not YAML: did not find expected ',' or ']'"], id="broken YAML"),
        pytest.param("a: b: c\n", ["1: not YAML: mapping values are not allowed in this context"], id="two colons"),
        pytest.param("- a\n", ["1: not a mapping"], id="a list"),
        pytest.param(
            "kind: Pod\napiVersion: v1\n",
            [
                "1: apiVersion and kind are 'v1' 'Pod', not kubelet.config.k8s.io/v1beta1 KubeletConfiguration "
                "or nodeagent.dev/v1alpha1 NodeAgentConfiguration"
            ],
            id="another kind",
        ),
        pytest.param(
            "maxPods: 3\n",
            [
                "1: apiVersion and kind are '' '', not kubelet.config.k8s.io/v1beta1 KubeletConfiguration "
                "or nodeagent.dev/v1alpha1 NodeAgentConfiguration"
            ],
            id="no kind",
        ),
        pytest.param(
            "apiVersion: [1]\nkind: {a: b}\n",
            [
                "1: apiVersion and kind are [1] {'a': 'b'}, not kubelet.config.k8s.io/v1beta1 KubeletConfiguration "
                "or nodeagent.dev/v1alpha1 NodeAgentConfiguration"
            ],
            id="kind is no text",
        ),
        pytest.param(KUBELET + "maxPod: 3\n", ["3: maxPod: unknown field"], id="unknown field"),
        pytest.param(
            KUBELET + "authentication:\n  anonymous:\n    enable: true\n",
            ["5: authentication.anonymous.enable: unknown field"],
            id="unknown field, deep",
        ),
        pytest.param(
            KUBELET + "registerWithTaints:\n- key: a\n  effect: NoSchedule\n- kay: b\n  effect: NoSchedule\n",
            ["6: registerWithTaints[1].kay: unknown field"],
            id="unknown field in a list",
        ),
        pytest.param(
            KUBELET + "one: 1\ntwo: 2\n", ["3: one: unknown field", "4: two: unknown field"], id="every unknown field"
        ),
        pytest.param(KUBELET + "maxPods: many\n", ["3: maxPods: Expected `int`, got `str`"], id="wrong type"),
        pytest.param(
            KUBELET + "clusterDNS: 10.96.0.10\n", ["3: clusterDNS: Expected `array`, got `str`"], id="text for a list"
        ),
        pytest.param(KUBELET + "maxPods: 3\nmaxPods: 4\n", ["4: maxPods: given twice"], id="given twice"),
        pytest.param(KUBELET + "maxPods: -1\n", ["3: maxPods: -1 is not between 0 and 2147483648"], id="too small"),
        pytest.param(KUBELET + "port: 65536\n", ["3: port: 65536 is not between 1 and 65535"], id="no port"),
        pytest.param(
            KUBELET + "nodeStatusUpdateFrequency: soon\n",
            ["3: nodeStatusUpdateFrequency: 'soon' is not a duration such as 1m30s"],
            id="no duration",
        ),
        pytest.param(
            KUBELET + "cgroupDriver: openrc\n",
            ["3: cgroupDriver: 'openrc' is none of cgroupfs, systemd"],
            id="no such word",
        ),
        pytest.param(
            KUBELET + "imageGCLowThresholdPercent: 90\n",
            ["3: imageGCLowThresholdPercent: must be below imageGCHighThresholdPercent"],
            id="two fields against each other",
        ),
        pytest.param(
            KUBELET + "clusterDNS: [nowhere]\n",
            ["3: clusterDNS: 'nowhere' does not appear to be an IPv4 or IPv6 address"],
            id="no address",
        ),
        pytest.param(KUBELET + "runOnce: true\n", ["3: runOnce: is no longer supported"], id="removed upstream"),
        pytest.param(
            KUBELET + "systemReserved: {cpu: 100m, gpu: '1'}\n",
            ["3: systemReserved.gpu: is none of cpu, memory, ephemeral-storage, pid"],
            id="no such resource",
        ),
        pytest.param(
            AGENT + "runtimes:\n  runc: {type: oci}\n",
            ["4: runtimes.runc.path: a runtime of type oci needs the absolute path of its program"],
            id="no program",
        ),
        pytest.param(
            AGENT + "runtimes:\n  runc: {path: /usr/sbin/runc}\n",
            ["4: runtimes.runc: Object missing required field `type`"],
            id="no type",
        ),
        pytest.param(
            AGENT + "runtimes:\n  runc: {type: oci, path: /usr/sbin/runc, arg: [x]}\n",
            ["4: runtimes.runc.arg: unknown field"],
            id="unknown field of a runtime",
        ),
        pytest.param(
            AGENT + "runtimes:\n  containerd: {type: cri, endpoint: /run/containerd.sock}\n",
            [
                "4: runtimes.containerd.endpoint: "
                "a runtime of type cri needs an endpoint such as unix:///run/containerd/containerd.sock"
            ],
            id="no endpoint",
        ),
        pytest.param(
            AGENT + "registries:\n  docker.io: {mirrors: [m:1, 'http://m:2']}\n  '*': {}\n  Index.docker.io: {}\n",
            [
                "4: registries.docker.io.mirrors[1]: 'http://m:2' has a scheme: write 'm:2'; "
                "`insecure: true` in its own entry allows plain HTTP",
                "5: registries.*: '*' is not a registry: write host[:port] or host[:port]/path",
                "6: registries.Index.docker.io: is the same registry as 'docker.io'",
            ],
            id="no registries",
        ),
        pytest.param(
            AGENT + "runtimes:\n  runc: {type: oci, path: /usr/sbin/runc}\ndefaultRuntime: crun\n",
            ["5: defaultRuntime: 'crun' is none of the runtimes runc"],
            id="no such default",
        ),
        pytest.param(
            AGENT + "runtimes:\n  runc: {type: oci, path: /usr/sbin/runc, infraContainer: sometimes}\n",
            ["4: runtimes.runc.infraContainer: 'sometimes' is none of auto, always, never"],
            id="no such choice",
        ),
        pytest.param(
            AGENT
            + "runtimes:\n  gv: {type: oci, path: /x, podAnnotations: [dev.gvisor.*, io.x/*, '', 'a b', a/b/c]}\n",
            [
                f"4: runtimes.gv.podAnnotations[{number}]: {name!r} is no name of an annotation, with * or without"
                for number, name in ((2, ""), (3, "a b"), (4, "a/b/c"))
            ],
            id="no annotations",
        ),
        pytest.param(
            AGENT + "cni:\n  subnet: 10.0.0.1/8\n", ["4: cni.subnet: 10.0.0.1/8 has host bits set"], id="no subnet"
        ),
        pytest.param(
            AGENT + "services:\n  nodePortRange: 30000\n",
            ["4: services.nodePortRange: Expected `str`, got `int`"],
            id="a port for a range",
        ),
        pytest.param(
            AGENT + "storage:\n  capacity: lots\n",
            ["4: storage.capacity: quantities must match the regular expression '" + quantity.PATTERN + "'"],
            id="a capacity that is none",
        ),
        pytest.param(
            AGENT + "services: {clusterIPRanges: [10.0.0.0/8]}\n",
            ["3: services.clusterIPRanges: 10.0.0.0/8: the prefix of a range of cluster addresses is from 12 to 29"],
            id="a range that is too large",
        ),
        pytest.param(
            AGENT + "apiServer: {port: 70000}\n",
            ["3: apiServer.port: 70000 is not between 0 and 65535"],
            id="API port",
        ),
        pytest.param(
            AGENT + "criServer: {listen: /run/nodeagent/cri.sock}\n",
            ["3: criServer.listen: must be a unix socket such as unix:///run/nodeagent/cri.sock"],
            id="no address of a socket",
        ),
        pytest.param(
            KUBELET + "maxPods: 1\n---\n" + KUBELET,
            ["5: a second KubeletConfiguration document"],
            id="the same document twice",
        ),
        pytest.param(
            KUBELET + "a: 1\n---\n" + AGENT + "b: 2\n",
            ["3: a: unknown field", "7: b: unknown field"],
            id="mistakes in both documents",
        ),
        pytest.param(KUBELET + "1: 2\n", ["3: 1: unknown field"], id="a number for a field's name"),
        pytest.param(
            KUBELET + "? [a, b]\n: 2\n", ["3: not YAML: found unhashable key"], id="a list for a field's name"
        ),
        pytest.param(
            KUBELET + "maxPods: !!python/object:os.system 3\n",
            ["3: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"],
            id="a tag",
        ),
        pytest.param(
            AGENT + "runtimes:\n  a: {type: oci, path: /a}\n  b: {type: oci, path: /b, args: [1]}\n",
            ["5: runtimes.b.args[0]: Expected `str`, got `int`"],
            id="the wrong entry of a mapping",
        ),
        pytest.param(
            KUBELET + "featureGates: {A: true, B: maybe}\n",
            ["3: featureGates.B: Expected `bool`, got `str`"],
            id="the wrong value of a mapping",
        ),
        pytest.param(KUBELET + "clusterDNS: &x [*x]\n", ["1: nested too deeply"], id="within itself"),
        pytest.param(
            KUBELET + "clusterDNS: " + "[" * 5000 + "]" * 5000, ["3: exceeded max depth of 256"], id="very deep"
        ),
        pytest.param(
            KUBELET + "port: \x01\n",
            ["1: not YAML: unacceptable character #x0001: control characters are not allowed"],
            id="a control character",
        ),
        pytest.param(
            KUBELET + "maxPods: &x 3\nport: *y\n", ["4: not YAML: found undefined alias"], id="an unknown alias"
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, expected: list[str]) -> None:
    """Every mistake is one line: the file's line, the field, the reason."""
    assert problems(tmp_path / "config.yaml", text) == expected


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no text are mistakes, not crashes."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, reason in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "can't decode byte 0xff"),
    ):
        with pytest.raises(ConfigProblem) as caught:
            load(Options(config_file=path))
        (line,) = caught.value.problems
        assert line.startswith(f"{path}:1: cannot be read: ")
        assert reason in line


def test_null_is_as_good_as_absent(tmp_path: Path) -> None:
    """As with a kubelet, a field that is given without a value keeps its default."""
    path = tmp_path / "config.yaml"
    path.write_text(KUBELET + "maxPods:\nclusterDNS: null\n")
    config = load(Options(config_file=path))
    assert (config.kubelet.maxPods, config.kubelet.clusterDNS) == (110, [])


def test_zero_stands_for_the_default(tmp_path: Path) -> None:
    """A zero in a field that is no pointer upstream means that nobody set it; in the others it means zero."""
    path = tmp_path / "config.yaml"
    path.write_text(
        KUBELET
        + "port: 0\nmaxPods: 0\nnodeStatusUpdateFrequency: 0s\naddress: ''\nkubeAPIBurst: 0\ncgroupDriver: ''\n"
        + "healthzPort: 0\neventRecordQPS: 0\nresolvConf: ''\nshutdownGracePeriod: 0s\n"
    )
    assert load(Options(config_file=path)).kubelet == KubeletConfiguration(
        healthzPort=0, eventRecordQPS=0, resolvConf=""
    )


def test_parallel_pulls_are_not_serial(tmp_path: Path) -> None:
    """maxParallelImagePulls above one switches serializeImagePulls off, which is on by default."""
    path = tmp_path / "config.yaml"
    path.write_text(KUBELET + "maxParallelImagePulls: 4\n")
    assert load(Options(config_file=path)).kubelet.serializeImagePulls is False


def test_a_whole_kubelet_file_is_accepted(tmp_path: Path) -> None:
    """A file as kubeadm writes it loads; what is not acted on is listed."""
    path = tmp_path / "config.yaml"
    path.write_text(
        KUBELET
        + yaml.safe_dump(
            {
                "authentication": {
                    "anonymous": {"enabled": False},
                    "webhook": {"cacheTTL": "0s", "enabled": True},
                    "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
                },
                "authorization": {
                    "mode": "Webhook",
                    "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"},
                },
                "cgroupDriver": "systemd",
                "clusterDNS": ["10.96.0.10"],
                "clusterDomain": "cluster.local",
                "containerRuntimeEndpoint": "",
                "cpuManagerReconcilePeriod": "0s",
                "evictionPressureTransitionPeriod": "0s",
                "fileCheckFrequency": "0s",
                "healthzBindAddress": "127.0.0.1",
                "healthzPort": 10248,
                "httpCheckFrequency": "0s",
                "imageMaximumGCAge": "0s",
                "imageMinimumGCAge": "0s",
                "logging": {"flushFrequency": 0, "options": {"json": {"infoBufferSize": "0"}}, "verbosity": 0},
                "memorySwap": {},
                "nodeStatusReportFrequency": "0s",
                "nodeStatusUpdateFrequency": "0s",
                "rotateCertificates": True,
                "runtimeRequestTimeout": "0s",
                "shutdownGracePeriod": "0s",
                "staticPodPath": "/etc/kubernetes/manifests",
                "volumeStatsAggPeriod": "0s",
            }
        )
    )
    config = load(Options(config_file=path))
    assert config.kubelet.staticPodPath == "/etc/kubernetes/manifests"
    assert config.kubelet.authentication.x509.clientCAFile == "/etc/kubernetes/pki/ca.crt"
    assert config.kubelet.nodeStatusUpdateFrequency == "10s", "as upstream, zero stands for the default"
    assert [each.field for each in config.ignored_settings if each.promise] == [], "zeroes ask for nothing"
    assert not ACTED_ON & {each.field for each in config.ignored_settings}


def test_a_node_of_its_own_limits_pids(tmp_path: Path) -> None:
    """Standalone: a pod may have 16384 processes, unless the file says otherwise; a cluster's node has upstream's default."""
    path = tmp_path / "config.yaml"
    path.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\npodPidsLimit: -1\n")
    assert load(Options(standalone=True)).kubelet.podPidsLimit == 16384
    assert load(Options()).kubelet.podPidsLimit == -1
    assert load(Options(standalone=True, config_file=path)).kubelet.podPidsLimit == -1
