"""`nodeagent csi test` over the reference driver: what it says, and what it leaves."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from csi_driver import DriverProcess
from testers_under_test import REPO, Interrupted, nodeagent

from csi import errors
from csi.client import Client

pytestmark = [pytest.mark.node, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverProcess]:
    """One for all tests here."""
    made = DriverProcess(tmp_path_factory.mktemp("csi"))
    asyncio.run(made.start())
    yield made
    assert made.clear() == []


def test_some_cases(driver: DriverProcess, tmp_path: Path) -> None:
    """Those that were chosen, in order; what is not claimed is apart; nothing of them is left at the driver."""
    chosen = ("--run", "N12", "--run", "C31", "--run", "I2", "--skip", "X*")
    done = nodeagent("csi", "test", "--endpoint", driver.endpoint, *chosen, "-o", f"json={tmp_path}/r.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "r.json").read_text())
    verdicts = [(each["id"], each["verdict"]) for each in told["records"]]
    assert verdicts == [("C31", "not claimed"), ("I2", "passed"), ("N12", "passed")]
    assert driver.endpoint in told["subject"]
    assert list((driver.state / "volumes").iterdir()) == []


RESTART = """#!/bin/sh
kill -9 "$(cat {folder}/pid)" 2>/dev/null
cd {repo}
{python} -m csi.driver --endpoint unix://{folder}/csi.sock --node-id node-1 --state-dir {folder}/state 2>>{folder}/log &
echo $! >{folder}/pid
"""


def test_a_driver_that_is_restarted(tmp_path: Path) -> None:
    """By a command of its author, in the middle of a case: the driver outlives the run that has started it."""
    script = tmp_path / "restart"
    script.write_text(RESTART.format(folder=tmp_path, repo=REPO, python=sys.executable))
    script.chmod(0o755)
    subprocess.run([script], check=True, timeout=30)
    client = Client.at(f"unix://{tmp_path}/csi.sock")
    try:
        asyncio.run(_answers(client))
        restarting = ("--restart", str(script), "--log", f"{tmp_path}/log")
        done = nodeagent("csi", "test", "--endpoint", f"unix://{tmp_path}/csi.sock", *restarting, "--run", "N30")
        assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stderr + done.stdout
        asyncio.run(_answers(client))
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def _answers(client: Client) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(errors.CSIError):
                assert await client.identity.ready()
                return
            await asyncio.sleep(0.05)


def test_ctrl_c(driver: DriverProcess) -> None:
    """In the middle of a case: its volumes are deleted, nothing is mounted, no process and no file is left."""
    with Interrupted("csi", "test", "--endpoint", driver.endpoint, "--run", "N*") as done:
        assert done.status == 130
        assert done.left() == []
    assert list((driver.state / "volumes").iterdir()) == []


def test_a_capability_that_is_named(driver: DriverProcess) -> None:
    """An option that asks for what the driver does not claim: one line, exit status 2."""
    done = nodeagent("csi", "test", "--endpoint", driver.endpoint, "--node-only", "--parameters", "a=b")
    assert (done.returncode, done.stderr) == (
        2,
        "nodeagent: --parameters: the driver does not claim CREATE_DELETE_VOLUME\n",
    )


def test_a_socket_of_somebody_else(tmp_path: Path) -> None:
    """Who answers something else is no driver: one line, exit status 2."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        answering = threading.Thread(target=_rude, args=(listening,))
        answering.start()
        try:
            done = nodeagent("csi", "test", "--endpoint", f"unix://{path}")
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            answering.join()
    assert done.returncode == 2
    assert done.stderr.startswith(f"nodeagent: unix://{path}")
    assert done.stderr.count("\n") == 1


def _rude(listening: socket.socket) -> None:
    """Hangs up on everybody."""
    while True:
        try:
            listening.accept()[0].close()
        except OSError:
            return
