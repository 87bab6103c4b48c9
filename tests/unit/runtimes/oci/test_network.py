"""What plugins are told about a pod, and which network takes it down again."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni import errors as cni_errors
from cni.attachment import AlreadyAttached
from cni.network import Network
from cni.result import Result
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.network import CNINetwork, CNISettings, capabilities, cni_args, runtime_error

ANSWER = '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/16"}]}'


def pod(**annotations: str) -> cri.PodSandboxConfig:
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name="web", namespace="shop", uid="u1"),
        annotations={key.replace("_", "-"): value for key, value in annotations.items()},
    )


class Site:
    """A conf dir, a folder of shell plugins and the provider on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        self.provider = self.start()

    def start(self) -> CNINetwork:
        settings = CNISettings(
            conf_dir=self.folder / "net.d", bin_dirs=(self.folder / "bin",), cache_dir=self.folder / "cache"
        )
        return CNINetwork(settings)

    def configure(self, name: str, *plugins: str, version: str = "1.0.0") -> None:
        (self.folder / "net.d").mkdir(exist_ok=True)
        document = {"cniVersion": version, "name": name, "plugins": [{"type": plugin} for plugin in plugins]}
        temporary = self.folder / "net.d/new"
        temporary.write_text(json.dumps(document))
        temporary.rename(self.folder / "net.d/10.conflist")

    def plugin(self, name: str, add: str = f"echo '{ANSWER}'", delete: str = ":", status: str = ":") -> None:
        path = self.folder / "bin" / name
        path.write_text(
            f"#!/bin/sh\ncat > {self.folder}/stdin\necho $CNI_COMMAND {name} $CNI_CONTAINERID $CNI_NETNS >> {self.folder}/calls\n"
            f"case $CNI_COMMAND in ADD) {add} ;; DEL) {delete} ;; STATUS) {status} ;; esac\n"
        )
        path.chmod(0o755)

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_arguments() -> None:
    """CNI_ARGS have the keys and the order that Kubernetes' plugins know."""
    assert list(cni_args("s1", pod()).items()) == [
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", "shop"),
        ("K8S_POD_NAME", "web"),
        ("K8S_POD_INFRA_CONTAINER_ID", "s1"),
        ("K8S_POD_UID", "u1"),
    ]


def test_all_capabilities() -> None:
    """Ports with a host port only, bandwidth in bits, the DNS of the pod, its cgroup and annotations."""
    config = pod(note="kept")
    config.annotations["kubernetes.io/ingress-bandwidth"] = "10M"
    config.port_mappings.add(host_port=80, container_port=8080, protocol=cri.TCP, host_ip="127.0.0.1")
    config.port_mappings.add(host_port=53, container_port=53, protocol=cri.UDP)
    config.port_mappings.add(host_port=0, container_port=9)
    config.dns_config.servers.append("10.0.0.10")
    config.linux.cgroup_parent = "/kubepods/podu1"
    assert capabilities(config) == {
        "io.kubernetes.cri.pod-annotations": {"note": "kept", "kubernetes.io/ingress-bandwidth": "10M"},
        "portMappings": [
            {"hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": "127.0.0.1"},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": ""},
        ],
        "bandwidth": {"ingressRate": 10_000_000, "ingressBurst": 4294967295},
        "dns": {"servers": ["10.0.0.10"], "searches": [], "options": []},
        "cgroupPath": "/kubepods/podu1",
    }


@pytest.mark.parametrize(
    ("text", "bits"), [("1k", 1000), ("1000", 1000), ("1.5Mi", 1572864), ("1e6", 1_000_000), ("1P", 10**15)]
)
def test_rates(text: str, bits: int) -> None:
    """Quantities in every notation, in bits per second."""
    config = pod()
    config.annotations["kubernetes.io/egress-bandwidth"] = text
    assert capabilities(config)["bandwidth"] == {"egressRate": bits, "egressBurst": 4294967295}


@pytest.mark.parametrize("text", ["999", "2P", "-1M", "fast", "1MM", "1e999999999", "1/2", "1_000_000"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Below 1k, above 1P, or no quantity: the sandbox cannot be made, and the annotation is named."""
    config = pod()
    config.annotations["kubernetes.io/egress-bandwidth"] = text
    with pytest.raises(errors.InvalidArgument, match=r"annotation kubernetes\.io/egress-bandwidth"):
        capabilities(config)


async def test_status_follows_the_folder(site: Site) -> None:
    """No configuration is said in the known words; one that appears is seen at once, without a restart."""
    expected = (
        f"Network plugin returns error: no CNI configuration file in {site.folder}/net.d. "
        "Has your network provider started?"
    )
    assert await site.provider.status() == expected
    with pytest.raises(errors.Unavailable):
        await site.provider.setup("s1", Path("/n"), pod())
    site.configure("net", "one")
    assert await site.provider.status() is None
    (site.folder / "net.d/10.conflist").unlink()
    assert await site.provider.status() == expected


async def test_status_is_the_plugins(site: Site) -> None:
    """From version 1.1.0 on they are asked, and what they say is passed on."""
    site.plugin("one", status='echo \'{"code": 50, "msg": "no address left"}\'; exit 1')
    site.configure("net", "one")
    assert await site.provider.status() is None
    site.configure("net", "one", version="1.1.0")
    expected = 'Network plugin returns error: plugin type="one" failed (status): no address left'
    assert await site.provider.status() == expected
    site.plugin("one")
    assert await site.provider.status() is None


async def test_setup_and_teardown(site: Site) -> None:
    """The pod's addresses come back; taking it down twice is fine."""
    site.plugin("one")
    site.configure("net", "one")
    assert await site.provider.setup("s1", Path("/n"), pod()) == ("10.1.0.5",)
    await site.provider.teardown("s1", Path("/n"), pod())
    await site.provider.teardown("s1", None, pod())
    assert site.calls() == ["ADD one s1 /n", "DEL one s1 /n", "DEL one s1"]


@pytest.mark.parametrize("configuration", ["other", "none"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_teardown_by_the_network_of_the_setup(site: Site, configuration: str, restarted: bool) -> None:
    """Another network has been configured since, or none is: the plugins that connected the pod disconnect it."""
    site.plugin("one")
    site.plugin("two")
    site.configure("net", "one")
    await site.provider.setup("s1", Path("/n"), pod())
    if configuration == "other":
        site.configure("another", "two")
    else:
        (site.folder / "net.d/10.conflist").unlink()
    provider = site.start() if restarted else site.provider
    await provider.teardown("s1", Path("/n"), pod())
    assert site.calls() == ["ADD one s1 /n", "DEL one s1 /n"]
    assert list((site.folder / "cache/results").iterdir()) == []


@pytest.mark.parametrize("configuration", ["same", "other", "none"])
async def test_garbage(site: Site, configuration: str) -> None:
    """Attachments of our namespaces that are gone go, by the plugins that made them; a known sandbox's and others' stay."""
    site.plugin("one")
    site.plugin("two")
    site.configure("net", "one")
    own = site.folder / "run"
    for sandbox_id, netns in (("lost", own / "a"), ("known", own / "b"), ("foreign", site.folder / "c")):
        await site.provider.setup(sandbox_id, netns, pod())
    if configuration == "other":
        site.configure("another", "two")
    elif configuration == "none":
        (site.folder / "net.d/10.conflist").unlink()
    await site.start().collect_garbage(own, {"known"})
    assert site.calls()[3:] == ["DEL one lost"]
    assert sorted(path.name for path in (site.folder / "cache/results").iterdir()) == [
        "net-foreign-eth0",
        "net-known-eth0",
    ]


async def test_plugins_hear_what_is_left(site: Site) -> None:
    """From version 1.1.0 on: recorded attachments, others' too, and known sandboxes without a record."""
    site.plugin("one")
    site.configure("net", "one", version="1.1.0")
    for sandbox_id, netns in (("lost", site.folder / "run/a"), ("foreign", site.folder / "c")):
        await site.provider.setup(sandbox_id, netns, pod())
    await site.start().collect_garbage(site.folder / "run", {"unrecorded"})
    assert [call.split()[0] for call in site.calls()] == ["ADD", "ADD", "DEL", "GC"]
    assert json.loads((site.folder / "stdin").read_text())["cni.dev/valid-attachments"] == [
        {"containerID": "foreign", "ifname": "eth0"},
        {"containerID": "unrecorded", "ifname": "eth0"},
    ]


async def test_garbage_that_cannot_be_collected(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start goes on, and the log says whose it is and what its plugin says; so it does where that takes too long."""
    site.plugin("one", delete='echo \'{"code": 100, "msg": "no"}\'; exit 1')
    site.configure("net", "one")
    await site.provider.setup("lost", site.folder / "run/a", pod())
    await site.start().collect_garbage(site.folder / "run", ())
    assert 'network net: garbage is left: plugin type="one" failed (del): no' in caplog.text
    monkeypatch.setattr("runtimes.oci.network.GARBAGE_SECONDS", 0.0)
    await site.start().collect_garbage(site.folder / "run", ())
    assert "garbage of pod networks is left for the next start: it takes too long" in caplog.text


async def test_teardown_without_any_network(site: Site) -> None:
    """Nothing configured, nothing recorded: nothing to undo."""
    await site.provider.teardown("s1", Path("/n"), pod())
    assert site.calls() == []


async def test_errors_name_the_plugin(site: Site) -> None:
    """A failure is Internal with the plugin's own words, at setup and at teardown."""
    fail = 'echo \'{"code": 100, "msg": "broken"}\'; exit 1'
    site.plugin("one", delete=fail)
    site.plugin("two", add=fail)
    site.configure("net", "one", "two")
    with pytest.raises(errors.Internal, match=r'plugin type="two" failed \(add\): broken'):
        await site.provider.setup("s1", Path("/n"), pod())
    with pytest.raises(errors.Internal, match=r'plugin type="one" failed \(del\): broken'):
        await site.provider.teardown("s1", Path("/n"), pod())


async def test_a_plugin_that_is_not_installed(site: Site) -> None:
    """It keeps no sandbox alive that was never attached, and does keep one that was."""
    site.plugin("one")
    site.configure("net", "one")
    await site.provider.setup("s1", Path("/n"), pod())
    (site.folder / "bin/one").unlink()
    with pytest.raises(errors.Internal, match='failed to find plugin "one"'):
        await site.provider.setup("s2", Path("/n"), pod())
    await site.provider.teardown("s2", Path("/n"), pod())
    with pytest.raises(errors.Internal, match='failed to find plugin "one"'):
        await site.provider.teardown("s1", Path("/n"), pod())


def test_settings_have_the_usual_places() -> None:
    """Defaults are those of containerd and Debian."""
    found: dict[str, Any] = {name: getattr(CNISettings(), name) for name in ("conf_dir", "bin_dirs", "cache_dir")}
    assert found == {
        "conf_dir": Path("/etc/cni/net.d"),
        "bin_dirs": (Path("/opt/cni/bin"), Path("/usr/lib/cni")),
        "cache_dir": Path("/var/lib/cni"),
    }


@pytest.mark.parametrize(("first", "entered"), [("bridge", ["/n"]), ("macvlan", []), ("ptp", [])])
async def test_routers_that_announce_themselves(
    site: Site, monkeypatch: pytest.MonkeyPatch, first: str, entered: list[str]
) -> None:
    """Pods on a bridge, where all others are pods, believe none (CVE-2020-10749); other networks may have one."""
    seen: list[str] = []
    monkeypatch.setattr("runtimes.linux.syscalls.in_namespace", lambda path, function: seen.append(str(path)))
    site.plugin(first)
    site.configure("net", first)
    await site.provider.setup("s1", Path("/n"), pod())
    assert seen == entered


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (cni_errors.PluginTimeout("p", "ADD", "killed"), errors.Timeout),
        (cni_errors.Unavailable("p", "ADD", "busy"), errors.Unavailable),
        (cni_errors.NoNetwork("/etc/cni/net.d"), errors.Unavailable),
        (cni_errors.InvalidArgument("id"), errors.InvalidArgument),
        (cni_errors.NotSupported("version"), errors.NotSupported),
        (cni_errors.NotAttached("x"), errors.NotFound),
        (AlreadyAttached("x", Result(cni_version="1.0.0")), errors.AlreadyExists),
        (cni_errors.PluginNotFound("p", "ADD", "x"), errors.Internal),
        (cni_errors.PluginFailed("p", "ADD", "x"), errors.Internal),
        (cni_errors.InvalidConfig("x"), errors.Internal),
        (cni_errors.VersionRefused("p", "ADD", "x"), errors.NotSupported),
        (cni_errors.ConfigRefused("p", "ADD", "x"), errors.Internal),
        (cni_errors.UnknownContainer("p", "CHECK", "x"), errors.NotFound),
        (cni_errors.RequestRefused("p", "ADD", "x"), errors.InvalidArgument),
        (OSError("disk"), errors.Internal),
    ],
)
def test_the_class_of_an_error_is_kept(error: Exception, expected: type[errors.RuntimeFault]) -> None:
    """A time-out is no "internal" error: who may try again, and who must change the request, is told."""
    assert runtime_error(error) is expected


async def test_a_plugin_that_is_busy_is_unavailable(site: Site) -> None:
    """At setup and at teardown: the pod's event and its retry tell it from a failure."""
    busy = 'echo \'{"code": 11, "msg": "busy"}\'; exit 1'
    site.plugin("one", add=busy)
    site.configure("net", "one")
    with pytest.raises(errors.Unavailable, match=r'plugin type="one" failed \(add\): busy'):
        await site.provider.setup("s1", Path("/n"), pod())
    site.plugin("one", delete=busy)
    with pytest.raises(errors.Unavailable, match=r'plugin type="one" failed \(del\): busy'):
        await site.provider.teardown("s1", Path("/n"), pod())


async def test_a_plugin_that_does_not_answer_is_a_timeout(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed at its deadline, at setup and at teardown; "internal" would say that nobody knows what went wrong."""
    for name in ("add_timeout_seconds", "del_timeout_seconds"):
        monkeypatch.setitem(Network.__init__.__kwdefaults__, name, 0.3)
    site.plugin("one", add="sleep 1000")
    site.configure("net", "one")
    with pytest.raises(errors.Timeout, match=r'plugin type="one" failed \(add\): no answer within 0.3s, killed'):
        await site.provider.setup("s1", Path("/n"), pod())
    site.plugin("one", delete="sleep 1000")
    with pytest.raises(errors.Timeout, match=r'plugin type="one" failed \(del\): no answer within 0.3s, killed'):
        await site.provider.teardown("s1", Path("/n"), pod())


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1, errors.NotSupported), (4, errors.InvalidArgument), (7, errors.Internal), (11, errors.Unavailable)],
)
async def test_a_plugins_code_reaches_the_caller(site: Site, code: int, kind: type[errors.RuntimeFault]) -> None:
    """As the class that says what may be done, with the plugin's words."""
    site.plugin("one", add=f'echo \'{{"code": {code}, "msg": "said so"}}\'; exit 1')
    site.configure("net", "one")
    with pytest.raises(errors.RuntimeFault, match=r'plugin type="one" failed \(add\): said so') as caught:
        await site.provider.setup("s1", Path("/n"), pod())
    assert type(caught.value) is kind
