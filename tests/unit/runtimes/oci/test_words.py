"""What the engine says to programs, and what it makes of their answers."""

import signal
from pathlib import Path

import pytest

from cni.process import Completed
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import conmon, podfiles
from runtimes.oci.network import capabilities, cni_args
from runtimes.oci.program import runtime_message
from runtimes.oci.signals import signal_number, stop_signal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"level":"error","msg":"exec: \\"x\\": not found","time":"t"}\n', 'exec: "x": not found'),
        ('{"msg": "first"}\n{"level":"error","msg": "last", "level": "error"}', "last"),
        ('time="t" level=error msg="runc create failed: \\"x\\" gone"', 'runc create failed: "x" gone'),
        ("2024-01-01T00:00:00Z: plain words", "2024-01-01T00:00:00Z: plain words"),
        ("{broken json", "{broken json"),
        ("", ""),
    ],
)
def test_runtime_messages(text, message):
    """The error itself, whatever it is wrapped in."""
    assert runtime_message(text) == message


def monitor(**changes):
    fields = {
        "conmon_path": "/usr/bin/conmon",
        "container_id": "abc",
        "name": "main",
        "bundle": Path("/b"),
        "exits": Path("/e"),
        "persist": Path("/p"),
        "log_path": "/log/0.log",
        "terminal": False,
        "stdin": False,
        "stdin_once": False,
        "program": "/usr/sbin/runc",
        "global_args": ("--root=/r",),
    }
    return conmon.Monitor(**fields | changes)


def test_conmon_arguments():
    """A terminal and an input only where asked for; the input is left open unless it is for one attach."""
    plain = monitor().argv()
    assert plain[-4:] == ["--log-path", "k8s-file:/log/0.log", "--runtime-arg", "--root=/r"]
    assert not {"--terminal", "--stdin", "--leave-stdin-open"} & set(plain)
    assert {"--stdin", "--leave-stdin-open"} <= set(monitor(stdin=True).argv())
    once = monitor(stdin=True, stdin_once=True, terminal=True).argv()
    assert {"--stdin", "--terminal"} <= set(once)
    assert "--leave-stdin-open" not in once
    assert "k8s-file:/dev/null" in monitor(log_path="").argv()


@pytest.mark.parametrize(
    ("line", "stderr", "code", "outcome"),
    [
        (b'{"pid": 42}\n', b"", 0, 42),
        (b'{"pid": -1, "message": "{\\"msg\\":\\"no such file\\"}"}\n', b"", 0, "no such file"),
        (b'{"pid": -1}\n', b"", 0, "without a word"),
        (b"", b"conmon: bad option\n", 1, "bad option"),
        (b"", b"", 0, "without a word"),
        (b"rubbish", b"", 0, "without a word"),
    ],
)
def test_conmon_answers(line, stderr, code, outcome):
    """A pid, or a refusal with the best words there are."""
    done = Completed(argv=("conmon",), returncode=code, stdout=b"", stderr=stderr)
    if isinstance(outcome, int):
        assert conmon._container_pid(line, done) == outcome
    else:
        with pytest.raises(conmon.ContainerRefused, match=outcome):
            conmon._container_pid(line, done)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("term", 15),
        ("9", 9),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMINPLUS3", signal.SIGRTMIN + 3),
        ("SIGRTMAXMINUS1", signal.SIGRTMAX - 1),
        ("SIGCLD", signal.SIGCHLD),
        ("SIGPOLL", signal.SIGIO),
        ("SIGNONE", None),
        ("0", None),
        ("400", None),
        ("", None),
    ],
)
def test_signals(text, number):
    """Names with and without prefix, numbers, real-time signals."""
    assert signal_number(text) == number


def test_every_signal_of_the_cri_is_known_here():
    """But for SIGSTKFLT, which nothing sends."""
    unknown = [name for name in cri.Signal.keys() if name != "RUNTIME_DEFAULT" and signal_number(name) is None]  # noqa: SIM118
    assert set(unknown) <= {"SIGSTKFLT"}


def test_stop_signals():
    """The container's own, else the image's, else SIGTERM."""
    assert stop_signal(cri.SIGUSR1, "SIGINT") == signal.SIGUSR1
    assert stop_signal(cri.RUNTIME_DEFAULT, "SIGINT") == signal.SIGINT
    assert stop_signal(cri.RUNTIME_DEFAULT, "nonsense") == signal.SIGTERM


def test_resolv_conf(monkeypatch, tmp_path):
    """The request's words; the host's file only when there is no request."""
    host = tmp_path / "resolv.conf"
    host.write_text("nameserver 1.1.1.1\n")
    monkeypatch.setattr(podfiles, "_HOST_RESOLV_CONF", host)
    config = cri.PodSandboxConfig()
    assert podfiles.resolv_conf(config) == "nameserver 1.1.1.1\n"
    config.dns_config.SetInParent()
    assert podfiles.resolv_conf(config) == ""
    config.dns_config.servers.extend(["10.0.0.1", "10.0.0.2"])
    config.dns_config.searches.extend(["a", "b"])
    config.dns_config.options.extend(["ndots:5", "edns0"])
    expected = "search a b\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5 edns0\n"
    assert podfiles.resolv_conf(config) == expected


def pod(**annotations):
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name="web", uid="u1", namespace="shop"),
        annotations={key.replace("_", "-"): value for key, value in annotations.items()},
    )


def test_cni_args():
    """The keys that plugins look for, in their order."""
    assert list(cni_args("id1", pod()).items()) == [
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", "shop"),
        ("K8S_POD_NAME", "web"),
        ("K8S_POD_INFRA_CONTAINER_ID", "id1"),
        ("K8S_POD_UID", "u1"),
    ]


def test_cni_capabilities():
    """Host ports only, bandwidth in bits, DNS and cgroup of the pod."""
    config = pod()
    config.annotations["kubernetes.io/ingress-bandwidth"] = "10M"
    config.annotations["kubernetes.io/egress-bandwidth"] = "1Gi"
    config.port_mappings.add(container_port=80, host_port=8080)
    config.port_mappings.add(container_port=53, host_port=53, protocol=cri.UDP, host_ip="127.0.0.1")
    config.port_mappings.add(container_port=443)
    config.dns_config.servers.append("10.0.0.1")
    config.linux.cgroup_parent = "/kubepods/pod1"
    assert capabilities(config) == {
        "io.kubernetes.cri.pod-annotations": dict(config.annotations),
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"},
        ],
        "bandwidth": {
            "ingressRate": 10_000_000,
            "ingressBurst": 4294967295,
            "egressRate": 1024**3,
            "egressBurst": 4294967295,
        },
        "dns": {"servers": ["10.0.0.1"], "searches": [], "options": []},
        "cgroupPath": "/kubepods/pod1",
    }
    assert capabilities(pod()) == {"io.kubernetes.cri.pod-annotations": {}}


@pytest.mark.parametrize("text", ["999", "2P", "fast", "-5M", "1.2.3M"])
def test_bandwidths_that_are_none(text):
    """Below 1k, above 1P, or no quantity: the pod is refused."""
    config = pod()
    config.annotations["kubernetes.io/ingress-bandwidth"] = text
    with pytest.raises(errors.InvalidArgument, match="ingress-bandwidth"):
        capabilities(config)


@pytest.mark.parametrize(
    ("text", "rate"), [("1k", 1000), ("1e6", 10**6), ("1.5M", 1_500_000), ("2000", 2000), ("1Ki", 1024)]
)
def test_bandwidths(text, rate):
    """Kubernetes quantities in all their forms."""
    config = pod()
    config.annotations["kubernetes.io/egress-bandwidth"] = text
    assert capabilities(config)["bandwidth"]["egressRate"] == rate
