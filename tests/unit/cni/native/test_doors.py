"""The two doors to the plugin: the program's answers, and an agent's process."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cni.errors import ConfigRefused, PluginFailed, PluginTimeout, Unavailable
from cni.native.failure import Code, Failure
from cni.native.in_process import InProcess
from cni.native.plugin import Plugin
from cni.native.request import Request
from cni.plugin import Call

REPOSITORY = Path(__file__).parents[4]
ENVIRONMENT = {"CNI_CONTAINERID": "c1", "CNI_NETNS": "/x", "CNI_IFNAME": "eth0"}


def program(stdin: str, **environment: str) -> tuple[int, Any, str]:
    """Exit status, the JSON of standard output (None for nothing), standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "cni.native"],
        input=stdin,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_the_program_speaks_the_protocol() -> None:
    """VERSION answers in the version that was asked for; what is wrong is an object on standard output, and nothing else."""
    status, answer, said = program('{"cniVersion": "0.4.0"}', CNI_COMMAND="VERSION")
    assert (status, answer["cniVersion"], answer["supportedVersions"][-1], said) == (0, "0.4.0", "1.1.0", "")
    status, answer, said = program("{", CNI_COMMAND="ADD", **ENVIRONMENT)
    assert (status, answer["code"], answer["cniVersion"], said) == (1, Code.DECODING, "1.1.0", "")
    status, answer, said = program('{"cniVersion": "1.0.0", "name": "/"}', CNI_COMMAND="ADD", **ENVIRONMENT)
    assert (status, answer["code"], answer["cniVersion"], said) == (1, Code.INVALID_CONFIG, "1.0.0", "")


def test_the_program_starts_with_little() -> None:
    """It is started once a pod: no event loop and no netlink library are imported for it."""
    code = "import sys, cni.native.protocol; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"asyncio", "pyroute2", "uvloop", "concurrent", "aiohttp"}


def call(command: str = "ADD", **config: Any) -> Call:
    return Call(
        command=command,
        environment=ENVIRONMENT,
        config={"cniVersion": "1.1.0", "name": "net", "type": "nodeagent-cni", **config},
        timeout_seconds=5.0,
    )


def no_rules() -> Any:
    raise AssertionError("no packet filter is needed")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.NOT_AVAILABLE, Unavailable),
        (Code.TRY_AGAIN, Unavailable),
        (Code.INVALID_CONFIG, ConfigRefused),
        (Code.INTERNAL, PluginFailed),
    ],
)
async def test_failures_become_errors_of_plugins(
    monkeypatch: pytest.MonkeyPatch, code: Code, kind: type[Exception]
) -> None:
    """Of the class that the code of a program would have led to."""

    def run(_: Plugin, request: Request) -> None:
        raise Failure("no", code=code)

    monkeypatch.setattr(Plugin, "run", run)
    with pytest.raises(kind, match=r'plugin type="nodeagent-cni" failed \(add\): no') as caught:
        await InProcess(no_rules)(call())
    assert (type(caught.value), caught.value.code) == (kind, code)  # type: ignore[attr-defined]


async def test_a_command_that_is_given_up_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks next for the container comes after it, or is told in time; other containers do not wait."""
    done: list[str] = []
    going = threading.Event()

    def run(_: Plugin, request: Request) -> None:
        if request.command == "ADD" and request.container_id == "c1":
            going.wait(10)
        done.append(f"{request.command} {request.container_id}")

    monkeypatch.setattr(Plugin, "run", run)
    native = InProcess(no_rules)
    adding = asyncio.create_task(native(call()))
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    other = Call(
        command="ADD", environment={**ENVIRONMENT, "CNI_CONTAINERID": "c2"}, config=call().config, timeout_seconds=5
    )
    await native(other)
    short = Call(command="DEL", environment=ENVIRONMENT, config=call().config, timeout_seconds=0.01)
    with pytest.raises(PluginTimeout, match=r"no answer within 0\.01s"):
        await native(short)
    deleting = asyncio.create_task(native(call("DEL")))
    await asyncio.sleep(0)
    going.set()
    await deleting
    assert done == ["ADD c2", "ADD c1", "DEL c1"]
