"""Every option and argument of every command, from the commands' own definition, with bad values of its type.

Whatever an operator writes, the answer is a line that says what is wrong, and exit status 1 or 2: never a traceback, and never
an agent that runs all the same.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from nodeagent.cli.app import app

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]
REPO = Path(__file__).resolve().parents[3]

TEXTS = ("", "garbage value", "-1", "🙂=🙂,,=", "x" * 5000, "::1,127.0.0.1,::", "../..\n")
REFUSED_LABELS = (
    "node-restriction.kubernetes.io/a=b",
    "kubernetes.io/role=x",
    "a.k8s.io/b=c",
    "a=b c",
    "/a=b",
    "a/b/c=d",
)


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


class CommandLine:
    """One loaded program; each command is a fork of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, REPO / "tests" / "support" / "forking_cli.py"],
            cwd=REPO,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(REPO), "HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"argv": argv, "cwd": str(self._folder)}), file=self._process.stdin, flush=True)
        return Answer(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files and folders that are not what is wanted, and a configuration by which no agent ever gets to run."""
    path = tmp_path_factory.mktemp("bad")
    runtime = {"type": "nosuch", "path": "/bin/false"}
    documents = [
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "enableServer": False},
        {"apiVersion": "nodeagent.dev/v1alpha1", "kind": "NodeAgentConfiguration", "runtimes": {"none": runtime}},
    ]
    (path / "good.yaml").write_text(yaml.safe_dump_all(documents))
    (path / "binary").write_bytes(bytes(range(256)) * 4)
    (path / "empty").touch()
    (path / "prose").write_text("this is\n\tno: [YAML\n")
    (path / "list.yaml").write_text("- a\n- b\n")
    (path / "other.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    (path / "config.yaml").write_text("apiVersion: v1\nkind: Config\nclusters: 7\ncontexts: {}\ncurrent-context: [x]\n")
    (path / "folder").mkdir()
    (path / "around").symlink_to(path / "around")
    return path


@pytest.fixture(scope="module")
def cli(folder: Path) -> Iterator[CommandLine]:
    line = CommandLine(folder)
    yield line
    line.close()


def parameters() -> list[tuple[tuple[str, ...], Any]]:
    """(command, parameter) of every command that there is, flags aside: they have no values."""
    found: list[tuple[tuple[str, ...], Any]] = []

    def walk(command: Any, words: tuple[str, ...]) -> None:
        for name, inner in sorted(getattr(command, "commands", {}).items()):
            walk(inner, (*words, name))
        if not hasattr(command, "commands"):
            found.extend(
                (words, parameter)
                for parameter in command.params
                if not getattr(parameter, "is_flag", False) and parameter.name != "help"
            )

    walk(typer.main.get_command(app), ())
    return found


def bad_paths(folder: Path) -> list[str]:
    names = (
        "binary",
        "empty",
        "prose",
        "list.yaml",
        "other.yaml",
        "config.yaml",
        "folder",
        "nowhere",
        "around",
        "gone",
    )
    return [*map(str, map(folder.joinpath, names)), f"{folder}/empty/below", "/dev/null", "/proc/none", "x" * 300, ""]


def is_path(parameter: Any) -> bool:
    return parameter.metavar in ("FILE", "DIR", "PATH", "ARCHIVE")


def surroundings(words: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Good values for what the command needs beside the parameter in question."""
    options = {
        ("run",): ("config", "root-dir", "state-dir", "run-dir", "container-logs-dir"),
        ("check",): ("config", "root-dir", "state-dir"),
        ("runtime", "serve"): ("config", "state-dir", "run-dir", "listen"),
        ("hollow",): ("kubeconfig",),
        ("isolation",): ("config", "profile"),  # a profile that is not there: nothing is evaluated
    }.get(words, ("state-dir",))
    good = {name: str(folder / "made" / name) for name in options}
    if "kubeconfig" in good:
        good["kubeconfig"] = str(folder / "prose")
    if "config" in good:
        good["config"] = str(folder / "good.yaml")
    if "listen" in good:
        good["listen"] = f"unix://{folder}/made/cri.sock"
    return good


def arguments_of(words: tuple[str, ...], folder: Path) -> list[str]:
    return {
        ("image", "import"): [str(folder / "empty")],
        ("image", "pull"): ["127.0.0.1:1/none:1"],
        ("image", "rm"): ["none"],
    }.get(words, [])


def assert_is_told(answer: Answer, told: str) -> None:
    assert answer.status in (0, 1, 2), f"{told}: {answer}"
    for sign in ("Traceback", "During handling", "Unclosed", "never awaited", "unexpected "):
        assert sign not in answer.err + answer.out, f"{told}: {answer.err}"
    if answer.status:
        assert (answer.err + answer.out).strip(), f"{told}: says nothing"


@pytest.mark.parametrize(
    ("words", "parameter"), parameters(), ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.name
)
def test_bad_values(cli: CommandLine, folder: Path, words: tuple[str, ...], parameter: Any) -> None:
    """A parameter with all the bad values of its type: each is told, or is none; nothing hangs, nothing runs."""
    values = bad_paths(folder) if is_path(parameter) else list(TEXTS)
    if parameter.name == "node_labels":
        values += REFUSED_LABELS
    for value in values:
        good = surroundings(words, folder)
        if parameter.param_type_name == "option":
            name = parameter.opts[0].removeprefix("--")
            good.pop(name, None)
            rest = [f"--{name}={value}", *arguments_of(words, folder)]
        else:
            rest = ["--", value]
        answer = cli.run(*words, *(f"--{option}={text}" for option, text in good.items()), *rest)
        assert_is_told(answer, f"nodeagent {' '.join(words)} {rest[0]!r}")
        if words in (("run",), ("runtime", "serve"), ("hollow",), ("isolation",)):
            assert answer.status != 0, "it ran"
        if value == "" and is_path(parameter):
            assert (answer.status, answer.out) == (2, ""), answer
            assert answer.err.count("\n") == 1, answer.err


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--node-ip=127.0.0.1", "failed to validate nodeIP: nodeIP can't be loopback address: 127.0.0.1"),
        ("--node-ip=224.0.0.1", "failed to validate nodeIP: nodeIP can't be a multicast address: 224.0.0.1"),
        (
            "--node-ip=169.254.0.1",
            "failed to validate nodeIP: nodeIP can't be a link-local unicast address: 169.254.0.1",
        ),
        (
            "--node-ip=192.0.2.77",
            "failed to validate nodeIP: node IP: 192.0.2.77 not found in the host's network interfaces",
        ),
        ("--node-ip=::1", "failed to validate nodeIP: nodeIP can't be loopback address: ::1"),
        ("--node-ip=x", "Invalid value for --node-ip: 'x' does not appear to be an IPv4 or IPv6 address"),
        (
            "--node-ip=10.0.0.1,10.0.0.2",
            "Invalid value for --node-ip: 10.0.0.1,10.0.0.2: one address, or one of each family",
        ),
        (
            "--node-labels=node-restriction.kubernetes.io/a=b,a=b,x.k8s.io/y=",
            "Invalid value for --node-labels: unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: "
            "[node-restriction.kubernetes.io/a x.k8s.io/y]",
        ),
        ("--node-name=a_b", "Invalid value for --node-name: 'a_b': a lowercase RFC 1123 subdomain must consist of"),
        ("--no-such-option", "No such option: --no-such-option (see 'nodeagent run --help')"),
    ],
)
def test_the_line(cli: CommandLine, folder: Path, option: str, complaint: str) -> None:
    """One line on stderr, which says what is wrong; status 2 for what can be seen before anything is looked at."""
    good = surroundings(("run",), folder)
    answer = cli.run("run", *(f"--{name}={value}" for name, value in good.items()), option)
    lines = [line for line in answer.err.splitlines() if " INFO " not in line and " WARNING " not in line]
    assert len(lines) == 1, answer.err
    assert complaint in lines[0]
    assert answer.status == (1 if "failed to" in complaint else 2)


def test_labels_that_a_node_may_give_itself(cli: CommandLine, folder: Path) -> None:
    """The kubelet's own prefixes, the well-known keys and everybody else's keys are taken: only the runtime is refused."""
    labels = "a=b,example.com/x=y,kubelet.kubernetes.io/a=b,x.node.kubernetes.io/c=d,topology.kubernetes.io/zone=z"
    good = surroundings(("run",), folder)
    answer = cli.run("run", *(f"--{name}={value}" for name, value in good.items()), f"--node-labels={labels}")
    assert (answer.status, "runtimes.none.type: 'nosuch' is none of" in answer.err) == (1, True), answer.err


def test_what_nobody_foresaw(cli: CommandLine, folder: Path) -> None:
    """Without arguments: the help. A folder where the store's lock is to be: a line, and with debugging also the traceback."""
    assert "Usage: nodeagent" in (answer := cli.run()).out + answer.err
    good = surroundings(("run",), folder) | {"state-dir": str(folder / "empty")}
    options = [f"--{name}={value}" for name, value in good.items()]
    quiet, loud = cli.run("run", *options), cli.run("run", *options, "--log-level=debug")
    assert f"{folder}/empty: File exists" in quiet.err
    assert ("Traceback" in quiet.err, "Traceback" in loud.err) == (False, True)
