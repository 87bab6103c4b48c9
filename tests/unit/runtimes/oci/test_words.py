"""What the engine says to programs, and what it makes of their answers."""

import signal
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes.linux.process import Completed
from runtimes.oci import conmon, podfiles
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
