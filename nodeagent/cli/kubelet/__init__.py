"""`nodeagent kubelet`: the agent behind a kubelet's own command line, so that a kubelet's unit files start it unchanged."""

import contextlib
import fcntl
import os
import platform
import sys
from collections.abc import Iterator, Sequence

from nodeagent.cli.kubelet.help import usage
from nodeagent.cli.kubelet.options import options_of
from nodeagent.cli.kubelet.parse import UsageError, parse
from nodeagent.config import ConfigProblem, load
from nodeagent.version import KUBERNETES_VERSION

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def run(arguments: Sequence[str]) -> int:
    """Exit code of the agent; 1, and nothing started, for a command line or a configuration with mistakes."""
    try:
        given = parse(arguments)
    except UsageError as error:
        return _failed(f"failed to parse kubelet flag: {error}")
    for line in given.deprecations():
        print(line, file=sys.stderr)
    if given.values.get("help"):
        print(usage())
        return 0
    try:
        if told := version_text(given.values.get("version", "false")):
            print(told)
            return 0
        config = load(options_of(given))
    except (UsageError, ConfigProblem) as error:
        return _failed(str(error))
    from nodeagent.main import run as run_agent

    with _locked(given.values.get("lock-file", "")):
        return run_agent(config)


def version_text(wanted: str) -> str:
    """What `--version` prints; empty: nothing, the agent is to run. Raises UsageError."""
    if wanted == "true":
        return f"Kubernetes {KUBERNETES_VERSION}"
    if wanted == "raw":
        major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
        machine = platform.machine()
        where = f"linux/{_ARCHITECTURES.get(machine, machine)}"
        fields = {"Major": major, "Minor": minor, "GitVersion": KUBERNETES_VERSION, "Platform": where}
        told = ", ".join(f'{name}:"{text}"' for name, text in fields.items())
        return f"version.Info{{{told}}}"
    if wanted == "false":
        return ""
    raise UsageError(f'invalid argument "{wanted}" for "--version" flag: true, false or raw')


def _failed(text: str) -> int:
    for line in text.splitlines():
        print(f'"command failed" err="{line}"', file=sys.stderr)
    return 1


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """The lock on a file, for as long as the agent runs; waits while somebody else holds it. Empty: none is wanted."""
    if not path:
        yield
        return
    fd = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
