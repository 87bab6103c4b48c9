"""`nodeagent kubelet`: flags over drop-ins over the file, options of the program, versions, and refusals with exit status 1."""

import sys
from pathlib import Path

import pytest

from nodeagent import cli
from nodeagent.cli.kubelet import run, version_text
from nodeagent.cli.kubelet.options import options_of
from nodeagent.cli.kubelet.parse import UsageError, parse
from nodeagent.config import Config, ConfigProblem, load

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def loaded(*arguments: str) -> Config:
    return load(options_of(parse(arguments)))


def test_precedence(tmp_path: Path) -> None:
    """Flag over drop-in over file; drop-ins by name, also in folders; feature gates by key; nulls take away."""
    (tmp_path / "k.yaml").write_text(
        HEAD + "maxPods: 1\nport: 1\nhealthzPort: 1\nclusterDNS: [10.0.0.1]\nsystemReserved: {cpu: 1m, memory: 1Mi}\n"
        "featureGates: {PodLevelResources: false, MemoryQoS: true}\n"
    )
    drop_ins = tmp_path / "d"
    (drop_ins / "20").mkdir(parents=True)
    (drop_ins / "10.conf").write_text(HEAD + "port: 2\nhealthzPort: 2\nclusterDNS: [10.0.0.2]\n")
    (drop_ins / "20" / "a.conf").write_text(HEAD + "healthzPort: 3\nsystemReserved: {cpu: 2m, memory: null}\n")
    (drop_ins / "30.yaml").write_text("not: read")
    config = loaded(
        f"--config={tmp_path / 'k.yaml'}",
        f"--config-dir={drop_ins}",
        "--healthz-port=4",
        "--feature-gates=MemoryQoS=false",
        "--container-runtime-endpoint=/run/x/crio.sock",
    )
    kubelet = config.kubelet
    assert (kubelet.maxPods, kubelet.port, kubelet.healthzPort) == (1, 2, 4)
    assert (kubelet.clusterDNS, kubelet.systemReserved) == (["10.0.0.2"], {"cpu": "2m"})
    assert kubelet.featureGates == {"PodLevelResources": False, "MemoryQoS": False}
    assert [(name, each.type, each.endpoint) for name, each in config.agent.runtimes.items()] == [
        ("cri-o", "cri", "unix:///run/x/crio.sock")
    ]
    assert config.agent.defaultRuntime == "cri-o"
    assert "containerRuntimeEndpoint" not in [each.field for each in config.ignored_settings]


def test_drop_ins_meet_defaults(tmp_path: Path) -> None:
    """A signal of evictionHard is added to the default ones; parallel pulls need serializeImagePulls said again."""
    (tmp_path / "a.conf").write_text(HEAD + 'evictionHard: {memory.available: "1Gi"}\n')
    found = loaded(f"--config-dir={tmp_path}").kubelet.evictionHard
    assert found is not None
    assert (found["memory.available"], found["nodefs.available"]) == ("1Gi", "10%")
    (tmp_path / "a.conf").write_text(HEAD + "maxParallelImagePulls: 3\n")
    with pytest.raises(ConfigProblem) as told:
        loaded(f"--config-dir={tmp_path}")
    assert told.value.problems == [
        f"{tmp_path}/a.conf:3: maxParallelImagePulls: cannot be larger than 1 unless serializeImagePulls is set to false"
    ]


def test_leniency(tmp_path: Path) -> None:
    """What does not exist and what is given twice is warned of, with its place, and left out; a wrong kind is refused."""
    file = tmp_path / "k.yaml"
    file.write_text(HEAD + "maxPods: 1\nmaxPods: 2\ndynamicKubeletConfig: x\nauthentication: {magic: 1}\n")
    config = loaded(f"--config={file}")
    assert config.kubelet.maxPods == 2
    assert config.remarks == (
        f"{file}:4: maxPods: given twice",
        f"{file}:5: dynamicKubeletConfig: unknown field",
        f"{file}:6: authentication.magic: unknown field",
    )
    file.write_text("maxPods: 1\n")
    with pytest.raises(ConfigProblem, match="apiVersion and kind"):
        loaded(f"--config={file}")


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the file: from the file's folder. Of drop-ins and flags: from the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc" / "d").mkdir(parents=True)
    (tmp_path / "etc" / "k.yaml").write_text(HEAD + "staticPodPath: m\ntlsCertFile: crt\n")
    (tmp_path / "etc" / "d" / "a.conf").write_text(
        HEAD + "tlsCertFile: crt\nauthentication: {x509: {clientCAFile: ca}}\n"
    )
    kubelet = loaded("--config=etc/k.yaml", "--config-dir=etc/d", "--volume-plugin-dir=v").kubelet
    assert (kubelet.staticPodPath, kubelet.tlsCertFile) == (f"{tmp_path}/etc/m", f"{tmp_path}/crt")
    assert (kubelet.authentication.x509.clientCAFile, kubelet.volumePluginDir) == (f"{tmp_path}/ca", f"{tmp_path}/v")


def test_options_of_the_program() -> None:
    """What has no field: names, addresses, labels, folders, the cloud; defaults are a kubelet's."""
    options = options_of(
        parse(
            [
                *("--hostname-override= Node-1", "--node-ip=192.0.2.1,zz", "--node-labels=a=b,c=", "--seccomp-default"),
                *("--cloud-provider=external", "--register-schedulable=false", "--root-dir=/r", "--config=/k"),
            ]
        )
    )
    assert (options.node_name, options.node_ip, options.node_labels) == ("node-1", "192.0.2.1", (("a", "b"), ("c", "")))
    assert (options.external_cloud, options.schedulable) == (True, False)
    assert (options.root_dir, options.cert_dir) == (Path("/r"), Path("/var/lib/kubelet/pki"))
    assert [(each.flag, each.value) for each in options.overrides] == [("--seccomp-default", True)]
    assert options.remarks == ("could not parse some node IP(s), ignoring them: 'zz'",)
    assert options_of(parse(["--seccomp-default=false", "--config=/k"])).overrides == ()
    assert "neither --config nor --config-dir is given" in options_of(parse([])).remarks[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cloud-provider=aws"], 'unsupported value "aws" for --cloud-provider: only "external", or empty'),
        (
            ["--node-ip=192.0.2.1,192.0.2.2"],
            "bad --node-ip: must contain either a single IP or a dual-stack pair of IPs",
        ),
        (["--node-labels=node-role.kubernetes.io/master=x"], "unknown 'kubernetes.io' or 'k8s.io' labels specified"),
        (["--hostname-override=a_b"], "--hostname-override 'a_b': "),
    ],
)
def test_a_kubelet_that_does_not_start(arguments: list[str], message: str) -> None:
    """Said before anything is made."""
    with pytest.raises(UsageError) as told:
        options_of(parse(arguments))
    assert str(told.value).startswith(message)


def test_exit_status_and_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """0 for the version and the help; 1, with the reason at the flag, for what a kubelet refuses."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == "Kubernetes v1.36.0\n"
    assert run(["--help"]) == 0
    assert "\n      --bootstrap-kubeconfig string\n" in capsys.readouterr().out
    assert run(["--nothing"]) == 1
    assert capsys.readouterr().err == '"command failed" err="failed to parse kubelet flag: unknown flag: --nothing"\n'
    assert run(["--max-pods=-1", "--feature-gates=NodeSwap=false"]) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if "deprecated" not in line] == [
        '"command failed" err="--max-pods: maxPods: -1 is not between 0 and 2147483648"',
        '"command failed" err="--feature-gates: featureGates.NodeSwap: cannot set feature gate NodeSwap to false, feature is '
        'locked to true"',
    ]


def test_version_raw() -> None:
    """Go's way of writing a struct."""
    assert version_text("raw").startswith('version.Info{Major:"1", Minor:"36", GitVersion:"v1.36.0", Platform:"linux/')


def test_under_the_name_of_a_kubelet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The program's own name decides: /usr/bin/kubelet --version is `nodeagent kubelet --version`."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubelet", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().out) == (0, "Kubernetes v1.36.0\n")


def test_runtimes_of_a_second_document(tmp_path: Path) -> None:
    """They win over the endpoint, which is told as not in force; that of images goes with the endpoint."""
    file = tmp_path / "k.yaml"
    endpoints = "containerRuntimeEndpoint: unix:///r.sock\nimageServiceEndpoint: unix:///i.sock\n"
    file.write_text(HEAD + endpoints)
    config = loaded(f"--config={file}")
    assert (config.agent.runtimes["r"].endpoint, config.agent.runtimes["r"].imageEndpoint) == (
        "unix:///r.sock",
        "unix:///i.sock",
    )
    assert config.ignored_settings == ()
    own = (
        "---\napiVersion: nodeagent.dev/v1alpha1\nkind: NodeAgentConfiguration\nruntimes: {o: {type: oci, path: /o}}\n"
    )
    file.write_text(HEAD + endpoints + own)
    config = loaded(f"--config={file}")
    assert (list(config.agent.runtimes), config.agent.defaultRuntime) == (["o"], "o")
    assert [each.field for each in config.ignored_settings] == ["containerRuntimeEndpoint", "imageServiceEndpoint"]
