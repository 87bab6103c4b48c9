"""`nodeagent check`: what each part of the machine is judged as."""

import json
import socket
from pathlib import Path

import pytest

from nodeagent.cli import check
from nodeagent.cli.check import cgroups, host, kernel, network, programs, security
from nodeagent.cli.check.finding import Finding, State, absent, degraded, found, missing
from nodeagent.cli.output import Output
from nodeagent.config import Config, KubeletConfiguration, NodeAgentConfiguration, Options, RuntimeSettings, load
from nodeagent.node.advisories import Installed
from nodeagent.node.kernel_defaults import KERNEL_DEFAULTS

V1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\ncgroup /x cgroup rw,memory 0 0\ncgroup /y cgroup rw,pids 0 0\n"


def config(**kubelet: object) -> Config:
    crun = RuntimeSettings(type="oci", path="/usr/bin/crun")
    return Config(
        options=Options(standalone=True),
        kubelet=KubeletConfiguration(**kubelet),  # type: ignore[arg-type]  # fields by name
        agent=NodeAgentConfiguration(runtimes={"crun": crun}, defaultRuntime="crun"),
    )


def unified(tmp_path: Path, controllers: str) -> str:
    """The line of a mounted unified hierarchy that owns `controllers`."""
    (tmp_path / "cgroup.controllers").write_text(controllers)
    return f"cgroup2 {tmp_path} cgroup2 rw,relatime 0 0\n"


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state.value for finding in findings}


def test_cgroups_v2(tmp_path: Path) -> None:
    """A pure v2 host with the needed controllers is fine; crun has nothing to complain about."""
    mounts = tmp_path / "mounts"
    mounts.write_text(unified(tmp_path, "cpu io memory pids"))
    assert states(cgroups.examine(config(), mounts)) == {
        "mode": "found",
        "cpu": "found",
        "memory": "found",
        "pids": "found",
        "cpuset": "missing",
        "hugetlb": "missing",
        "io": "found",
    }


def test_cgroups_hybrid_with_a_controller_on_v2(tmp_path: Path) -> None:
    """crun refuses a hybrid host whose v2 hierarchy owns a controller; the fix is the command that takes it away."""
    mounts = tmp_path / "mounts"
    mounts.write_text(V1 + unified(tmp_path, "hugetlb"))
    findings = cgroups.examine(config(), mounts)
    assert findings[0] == found("cgroups", "mode", "hybrid")
    assert findings[-1] == degraded(
        "cgroups",
        "crun on a hybrid host",
        "crun does not start a container while the v2 hierarchy owns hugetlb",
        "mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb cgroup /sys/fs/cgroup/hugetlb",
    )


def test_cgroups_without_a_needed_controller(tmp_path: Path) -> None:
    """No memory controller: no pod can run, since no limit could be held."""
    mounts = tmp_path / "mounts"
    mounts.write_text(unified(tmp_path, "cpu pids"))
    (memory,) = (finding for finding in cgroups.examine(config(), mounts) if finding.name == "memory")
    assert memory.fatal


def test_cgroups_v1_where_the_configuration_forbids_it(tmp_path: Path) -> None:
    """failCgroupV1 means what it says."""
    mounts = tmp_path / "mounts"
    mounts.write_text(V1)
    (finding,) = cgroups.examine(config(failCgroupV1=True), mounts)
    assert finding.fatal


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    """A machine without any hierarchy cannot run a pod."""
    mounts = tmp_path / "mounts"
    mounts.write_text("proc /proc proc rw 0 0\n")
    (finding,) = cgroups.examine(config(), mounts)
    assert finding.fatal


def test_a_kernel_without_anything(tmp_path: Path) -> None:
    """An empty /proc: what every pod needs is missing, what only some pods ask for is degraded."""
    assert {finding.name: (finding.state, finding.fatal) for finding in kernel.examine(tmp_path)[:-1]} == {
        "overlayfs": (State.MISSING, True),
        "namespaces": (State.MISSING, True),
        "user namespaces": (State.DEGRADED, False),
        "seccomp": (State.DEGRADED, False),
        "pressure stall information": (State.MISSING, False),
    }


def test_forbidden_user_namespaces(tmp_path: Path) -> None:
    """A limit of 0 is as good as none in the kernel, and has another fix."""
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/user").touch()
    (tmp_path / "sys/user").mkdir(parents=True)
    (tmp_path / "sys/user/max_user_namespaces").write_text("0\n")
    finding = kernel.user_namespaces(tmp_path)
    assert (finding.state, finding.fix) == (State.DEGRADED, "sysctl -w user.max_user_namespaces=15000")


@pytest.mark.parametrize(
    ("fail_on", "total", "state", "fatal"),
    [
        (True, 0, State.FOUND, False),
        (True, 2**30, State.MISSING, True),
        (False, 2**30, State.FOUND, False),
    ],
)
def test_swap(fail_on: bool, total: int, state: State, fatal: bool) -> None:
    """Swap stands in the way only where failSwapOn says so."""
    finding = host.swap(config(failSwapOn=fail_on), total)
    assert (finding.state, finding.fatal) == (state, fatal)


def test_a_port_that_is_taken() -> None:
    """A port on which another program listens is missing, with the program's name; a free one is found."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = config(enableServer=False, healthzPort=port)
        settings.agent.apiServer.port = 0
        (finding,) = network.examine_ports(settings)
        assert finding.name == f"healthz on 127.0.0.1:{port}"
        assert finding.fatal
        assert "Address already in use: " in finding.detail
    (finding,) = network.examine_ports(settings)
    assert finding == found("ports", f"healthz on 127.0.0.1:{port}", "free")


def test_an_empty_cni_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standalone mode writes a network: the native one where the kernel can, else one whose programs are looked for, and why."""
    settings = config()
    settings.agent.cni.confDir = str(tmp_path / "none")
    settings.agent.cni.binDirs = [str(tmp_path)]
    (tmp_path / "bridge").touch(mode=0o755)
    monkeypatch.setattr(network, "why_not_native", lambda: "")
    assert states(network.examine_cni(settings)) == {"configuration": "found", "native network": "found"}
    monkeypatch.setattr(network, "why_not_native", lambda: "no nf_tables")
    findings = network.examine_cni(settings)
    assert findings[0].detail.endswith("standalone mode writes one for CNI programs, since no nf_tables")
    assert states(findings) == {
        "configuration": "found",
        "plugin bridge": "found",
        "plugin host-local": "missing",
        "plugin portmap": "missing",
        "iptables": states(findings)["iptables"],
    }


def test_the_native_network_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing in confDir counts, and what the kernel lacks stands in the way only where confDir asks for it."""
    settings = config()
    settings.agent.cni.provider = "native"
    settings.agent.cni.confDir = str(tmp_path)
    (tmp_path / "10-x.conflist").write_text("{")
    monkeypatch.setattr(network, "why_not_native", lambda: "")
    assert states(network.examine_cni(settings)) == {"configuration": "found", "native network": "found"}
    (tmp_path / "10-x.conflist").write_text(
        '{"cniVersion": "1.1.0", "name": "x", "plugins": [{"type": "nodeagent-cni"}]}'
    )
    settings.agent.cni.provider = "auto"
    monkeypatch.setattr(network, "why_not_native", lambda: "no nf_tables")
    assert states(network.examine_cni(settings)) == {"configuration": "found", "native network": "missing"}


def test_a_broken_cni_file(tmp_path: Path) -> None:
    """A file that is no network is not passed over in silence, not even in standalone mode."""
    (tmp_path / "10-x.conflist").write_text("{")
    settings = config()
    settings.agent.cni.confDir = str(tmp_path)
    settings.agent.cni.provider = "programs"
    assert network.examine_cni(settings)[0].fatal


@pytest.mark.parametrize(
    ("findings", "code", "last_line"),
    [
        ([found("g", "a"), degraded("g", "b", "d"), absent("g", "c", "d", "f")], 0, "Pods can run on this machine."),
        (
            [found("g", "a"), missing("g", "b", "d", "f")],
            1,
            "No pod can run on this machine: 1 missing.",
        ),
    ],
)
def test_exit_code(
    findings: list[Finding],
    code: int,
    last_line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """1 when something is missing without which no pod runs; degraded and optional things do not count. JSON says the same."""

    async def examine(_: Config) -> list[Finding]:
        return findings

    monkeypatch.setattr(check, "examine", examine)
    assert check.run(Options(), Output.TABLE) == code
    assert capsys.readouterr().out.splitlines()[-1] == last_line
    assert check.run(Options(), Output.JSON) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["ready"] is (code == 0)
    assert answer["checks"][1] == findings[1].as_json()


async def test_a_type_that_no_package_provides() -> None:
    """Said as such; fatal where it is the default. A type that is there is found without being started."""
    types = {"own": "traced", "sim": "hollow"}
    runtimes = {name: RuntimeSettings(type=kind) for name, kind in types.items()}
    detail, fix = (
        "no installed package provides type traced",
        "install the package that provides it, or correct runtimes",
    )
    fix += " in the configuration"
    for default, own in (
        ("own", missing("runtimes", "own (default)", detail, fix)),
        ("sim", absent("runtimes", "own", detail, fix)),
    ):
        agent = NodeAgentConfiguration(runtimes=runtimes, defaultRuntime=default)
        findings = await programs.examine(Config(options=Options(), kubelet=KubeletConfiguration(), agent=agent))
        sim = found("runtimes", "sim (default)" if default == "sim" else "sim", "type hollow")
        assert findings == [own, sim]


def test_fields_that_do_nothing_are_listed(tmp_path: Path) -> None:
    """Each with its reason: degraded where somebody relies on it, optional where it is a matter of taste."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\noomScoreAdj: -500\nsyncFrequency: 2m\n"
        "maxPods: 7\n"
    )
    assert security.configuration(load(Options(config_file=path))) == [
        degraded(
            "configuration",
            "oomScoreAdj",
            "not in force: the agent keeps that of its service (OOMScoreAdjust=)",
            "remove oomScoreAdj from the configuration",
        ),
        absent(
            "configuration",
            "syncFrequency",
            "without effect here: pods are looked at when something happens, not at intervals",
            "remove syncFrequency from the configuration",
        ),
    ]
    assert security.configuration(config()) == [found("configuration", "in force", "every field of the file")]


def test_open_doors_are_told() -> None:
    """AlwaysAllow and anonymous are worse together than each; the read-only port; TLS that is weak or has no effect."""

    def told(access: str, *, anonymous: bool, **kubelet: object) -> list[str]:
        made = config(**kubelet)
        made.kubelet.authorization.mode = access
        made.kubelet.authentication.anonymous.enabled = anonymous
        return [
            finding.detail.partition(":")[0] for finding in security.configuration(made) if finding.state != "found"
        ]

    assert told("Webhook", anonymous=False) == []
    assert told("AlwaysAllow", anonymous=True) == ["authentication.anonymous and authorization.mode AlwaysAllow"]
    assert told("AlwaysAllow", anonymous=False) == ["authorization.mode AlwaysAllow"]
    assert told("Webhook", anonymous=True) == ["authentication.anonymous"]
    assert told("Webhook", anonymous=False, readOnlyPort=10255) == ["readOnlyPort"]
    assert told("Webhook", anonymous=False, tlsMinVersion="VersionTLS10") == ["tlsMinVersion"]


def test_kernel_settings(tmp_path: Path) -> None:
    """With protectKernelDefaults a difference keeps the agent from starting; without it the agent fixes it."""
    for name, value in KERNEL_DEFAULTS.items():
        path = tmp_path / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    assert security.kernel(config(protectKernelDefaults=True), tmp_path) == [found("kernel", "settings")]
    (tmp_path / "kernel/panic").write_text("0\n")
    (wrong,) = security.kernel(config(protectKernelDefaults=True), tmp_path)
    assert (wrong.state, wrong.fix) == (State.DEGRADED, "sysctl -w kernel.panic=10")
    assert [finding.state for finding in security.kernel(config(), tmp_path)] == [State.FOUND]


def test_files_of_a_node(tmp_path: Path) -> None:
    """CIS 4.1: the file and the command that fixes it."""
    unit = tmp_path / "nodeagent.service"
    unit.write_text("x")
    unit.chmod(0o644)
    assert degraded(
        "files", "the unit file", f"{unit} has mode 0644, 600 or less is safe", f"chmod 600 {unit}"
    ) in security.files(config(), [unit])


def test_published_holes() -> None:
    """One finding a hole with its source and the versions without it; never a failure."""
    old = Installed(program="runc", version="1.2.7")
    assert [(item.name, item.state, item.fatal) for item in security.holes([old])] == [
        ("runc 1.2.7", State.DEGRADED, False)
    ] * 4
    assert security.holes([old])[0].fix == "upgrade to 1.2.8 or 1.3.3 or 1.4.0~rc3, or to a package with its cure"
    assert security.holes([Installed(program="runc", version="1.4.3")]) == [
        found("published holes", "runc 1.4.3", "none known")
    ]
