"""A live server process, both kubectls, and an HTTPS client with a chosen identity."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from api_server import DEADLINE_SECONDS, ApiServer
from components import cannot_be_tested
from kubectl_under_test import KUBECTL_120, NO_120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One server for the tests of a module; each test uses its own namespace."""
    made = ApiServer(tmp_path_factory.mktemp("api") / "state")
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ApiServer]:
    """A server of the test's own, to be killed."""
    made = ApiServer(tmp_path / "state")
    made.start()
    yield made
    if made.process is not None:
        made.stop(signal.SIGKILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One kubectl program against one server, in one namespace."""

    program: str
    minor: int
    kubeconfig: Path
    namespace: str
    home: Path

    def run(self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> "Result":
        done = subprocess.run(
            [self.program, "--namespace", self.namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            env={**self.environment(), **(env or {})},
            check=False,
        )
        return Result(code=done.returncode, out=done.stdout, err=done.stderr)

    def __call__(self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
        """The output of a command that must succeed."""
        result = self.run(*arguments, stdin=stdin, env=env)
        assert result.code == 0, (arguments, result)
        return result.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on; the caller ends it."""
        return subprocess.Popen(
            [self.program, "--namespace", self.namespace, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    out: str
    err: str


def minor_of(program: str) -> int:
    out = subprocess.run(
        [program, "version", "--client", "-o", "json"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    return int("".join(c for c in json.loads(out)["clientVersion"]["minor"] if c.isdigit()))


WEBSOCKET_MINOR = 31  # by default from here on


@pytest.fixture(scope="session")
def kubectls() -> dict[str, str]:
    """The programs there are, "old" (1.20, streams over SPDY) and "new"."""
    found = {"old": str(KUBECTL_120)} if KUBECTL_120.is_file() else {}
    installed = shutil.which("kubectl")
    if installed and minor_of(installed) >= WEBSOCKET_MINOR:
        found["new"] = installed
    return found


_numbers = iter(range(1, 10_000))


@pytest.fixture(params=["old", "new"])
def kubectl(
    request: pytest.FixtureRequest, server: ApiServer, kubectls: dict[str, str], tmp_path: Path
) -> Iterator[Kubectl]:
    """kubectl 1.20 and 1.32, each test in a namespace of its own."""
    program = kubectls.get(request.param)
    if program is None:
        cannot_be_tested(
            NO_120 if request.param == "old" else "a kubectl that streams over WebSocket (Debian 12 has none)"
        )
    namespace = f"t{next(_numbers)}"
    made = Kubectl(
        program=program,
        minor=minor_of(program),
        kubeconfig=server.kubeconfig,
        namespace=namespace,
        home=tmp_path,
    )
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    assert server.request("POST", "/api/v1/namespaces", body)[0] == 201
    wait_until(lambda: server.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")[0] == 200)
    yield made
    server.request("DELETE", f"/api/v1/namespaces/{namespace}")


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    return wait_until


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
