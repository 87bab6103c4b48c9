"""`nodeagent runtime serve`: its options, and which runtimes it serves."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nodeagent import cri_server
from nodeagent.cli.app import app
from nodeagent.config import Config, KubeletConfiguration, NodeAgentConfiguration, Options, RuntimeSettings
from nodeagent.cri_server import READ_ONLY, Listen, ServeError, local
from runtimes.serve.older_peer import Feature

RUNNER = CliRunner()


def test_serve_hands_everything_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option arrives; the server's exit code is ours. Writable is the default: the state has no other owner."""
    seen: list[Any] = []

    def run(config: Config, listen: Listen, handlers: list[str]) -> int:
        seen.append((config.options, listen, list(handlers)))
        return 1

    monkeypatch.setattr(cri_server, "run", run)
    arguments = ["runtime", "serve", "--listen", "unix:///x.sock", "--handler", "a", "--handler", "b", "--read-only"]
    arguments += ["--state-dir", "/s", "--run-dir", "/x", "--log-level", "debug", "--log-format", "json"]
    arguments += ["--without", "events", "--without", "strict-groups"]
    assert RUNNER.invoke(app, arguments).exit_code == 1
    options = Options(state_dir=Path("/s"), run_dir=Path("/x"), log_level="debug", log_format="json")
    assert RUNNER.invoke(app, ["runtime", "serve"]).exit_code == 1
    assert seen == [
        (
            options,
            Listen(address="unix:///x.sock", denial=READ_ONLY, without=(Feature.EVENTS, Feature.STRICT_GROUPS)),
            ["a", "b"],
        ),
        (Options(), Listen(address="unix:///run/nodeagent/cri.sock"), []),
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--listen", "/run/x.sock"], "'/run/x.sock' is not a unix socket such as"),
        (["--without", "bugs"], "'bugs' is none of runtime-config, events"),
        (["--log-level", "loud"], "'loud' is none of"),
        (["--config", "/nowhere/at/all"], "/nowhere/at/all:1: cannot be read"),
    ],
)
def test_wrong_usage(arguments: list[str], complaint: str) -> None:
    """Exit code 2, nothing started."""
    result = RUNNER.invoke(app, ["runtime", "serve", *arguments])
    assert (result.exit_code, complaint in result.stderr) == (2, True)


def config(default: str, **types: str) -> Config:
    runtimes = {name: RuntimeSettings(type=kind, endpoint=f"unix:///{name}") for name, kind in types.items()}
    agent = NodeAgentConfiguration(runtimes=runtimes, defaultRuntime=default)
    return Config(options=Options(), kubelet=KubeletConfiguration(), agent=agent)


@pytest.mark.parametrize(
    ("default", "handlers", "served", "first"),
    [
        ("runc", [], ["runc", "own"], "runc"),
        ("containerd", [], ["runc", "own"], "runc"),
        ("runc", ["own"], ["own"], "own"),
        ("runc", ["own", "runc"], ["own", "runc"], "runc"),
    ],
)
def test_which_runtimes_are_served(default: str, handlers: list[str], served: list[str], first: str) -> None:
    """Those named, or all that have no socket of their own; the configured default if it is among them."""
    found = local(config(default, runc="oci", containerd="cri", own="plug-in"), handlers).agent
    assert (list(found.runtimes), found.defaultRuntime) == (served, first)


@pytest.mark.parametrize(
    ("types", "handlers", "complaint"),
    [
        ({"runc": "oci"}, ["kata"], "--handler kata: none of the runtimes runc"),
        ({"containerd": "cri"}, ["containerd"], "--handler containerd: its runtime is served at unix:///containerd"),
        ({"containerd": "cri"}, [], "no runtime to serve"),
        ({}, [], "no runtime to serve"),
    ],
)
def test_nothing_to_serve(types: dict[str, str], handlers: list[str], complaint: str) -> None:
    """One line that says what to do."""
    with pytest.raises(ServeError, match=complaint):
        local(config("", **types), handlers)
