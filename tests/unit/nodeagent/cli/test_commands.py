"""The command line itself: usage, exit codes, what is imported when."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nodeagent.cli.app import app
from nodeagent.config import Config

RUNNER = CliRunner()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "--log-level", "loud"], "'loud' is none of debug, info, warning, error"),
        (["run", "--log-format", "xml"], "'xml' is none of text, json"),
        (["run", "--node-ip", "nowhere"], "'nowhere' does not appear to be an IPv4 or IPv6 address"),
        (["run", "--node-labels", "a"], "'a' is not a label such as disk=ssd"),
        (["run", "--node-labels", "a=b,-=c"], "'-=c' is not a label such as disk=ssd"),
        (["run", "--node-labels", "a=b c"], "'a=b c' is not a label such as disk=ssd"),
        (["run", "--no-such-option"], "No such option: --no-such-option"),
        (["image", "rm"], "Missing argument 'names'"),
        (["status", "--output", "yaml"], "'yaml' is not one of 'table', 'json'"),
    ],
)
def test_wrong_usage(arguments: list[str], complaint: str) -> None:
    """Exit code 2, and what is wrong on stderr."""
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_a_configuration_with_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mistake is a line on stderr; exit code 2; the agent's code is not even loaded."""
    file = tmp_path / "config.yaml"
    file.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPod: 1\nports: 2\n")
    monkeypatch.setitem(sys.modules, "nodeagent.main", None)
    for command in ("run", "check"):
        result = RUNNER.invoke(app, [command, "--config", str(file)])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"{file}:3: maxPod: unknown field\n{file}:4: ports: unknown field\n"


def test_run_hands_everything_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option arrives in the configuration that the agent is started with, and its API's process; its exit code is ours."""
    seen: list[Config] = []

    class Main:
        @staticmethod
        def run(config: Config, embedded: object) -> int:
            assert embedded == "forked"
            seen.append(config)
            return 1

    monkeypatch.setitem(sys.modules, "nodeagent.main", Main)
    monkeypatch.setattr("nodeagent.standby.fork", lambda: "forked")
    arguments = ["run", "--standalone", "--root-dir", "/r", "--state-dir", "/s", "--run-dir", "/x"]
    arguments += ["--container-logs-dir", "/c", "--node-name", "N1", "--node-ip", "192.0.2.1,fd00::1"]
    arguments += ["--node-labels", "a=b, example.org/c=", "--log-level", "debug", "--log-format", "json"]
    arguments += ["--kubeconfig", "/k"]
    assert RUNNER.invoke(app, arguments).exit_code == 1
    (config,) = seen
    options = config.options
    assert (options.standalone, options.root_dir, options.state_dir) == (True, Path("/r"), Path("/s"))
    assert (options.run_dir, options.container_logs_dir, options.kubeconfig) == (Path("/x"), Path("/c"), Path("/k"))
    assert (config.node_name, options.node_ip) == ("n1", "192.0.2.1,fd00::1")
    assert options.node_labels == (("a", "b"), ("example.org/c", ""))
    assert (options.log_level, options.log_format) == ("debug", "json")


def test_status_without_an_agent(tmp_path: Path) -> None:
    """No kubeconfig: one line that says what is missing and what to do; exit code 1."""
    result = RUNNER.invoke(app, ["status", "--state-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    expected = (
        f"{tmp_path}/admin.kubeconfig does not exist; an agent in standalone mode writes it, else give --kubeconfig"
    )
    assert result.stderr == f"nodeagent: {expected}\n"


def test_the_version_loads_nothing() -> None:
    """`nodeagent version` answers without loading the agent, gRPC, or the Kubernetes models."""
    script = (
        "import sys\nfrom nodeagent.cli import main\nsys.argv = ['nodeagent', 'version']\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert leave.code in (0, None), leave.code\n"
        "loaded = {'grpc', 'lightkube.models', 'aiohttp', 'yaml', 'nodeagent.config', 'nodeagent.api'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nodeagent ")


def test_the_agent_is_without_the_parser() -> None:
    """The command line of `run` is read by another process: options arrive, the libraries that read them do not."""
    script = (
        "import sys\nfrom nodeagent.cli import main, run\n"
        "def agent(options):\n"
        "    print(options.node_name, options.node_labels, {'typer', 'pydantic'} & set(sys.modules))\n"
        "    return 7\n"
        "run.run = agent\nsys.argv = ['nodeagent', 'run', *sys.argv[1:]]\nmain()"
    )

    def answer(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    assert answer("--node-name=N", "--node-labels=a=b") == (7, "N (('a', 'b'),) set()\n", "")
    assert answer("--node-ip=x")[:2] == (2, "")
    status, out, _ = answer("--help")
    assert (status, out.startswith("Usage: nodeagent run")) == (0, True)
