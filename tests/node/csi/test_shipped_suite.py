"""The cases as others have them: out of a wheel, without a checkout, on a driver that runs out of it too."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from components import needs
from shipped import installed, outcomes, run

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("csi-shipped"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs("mkfs.ext4", "resize2fs", "e2fsck"),
]
ATTEMPTS = 1200
# keeps a driver running, as systemd does with Restart=always: arguments are a file for its pid, and the driver's
SUPERVISOR = """
import pathlib, signal, subprocess, sys
ended = []
signal.signal(signal.SIGTERM, lambda *_: (ended.append(1), driver.terminate()))
while not ended:
    driver = subprocess.Popen(sys.argv[2:], stderr=subprocess.DEVNULL)
    pathlib.Path(sys.argv[1]).write_text(str(driver.pid))
    status = driver.wait()
sys.exit(status)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the driver: its socket `s`, its process `pid`."""
    return tmp_path_factory.mktemp("d")


@pytest.fixture(scope="module")
def endpoint(site: Path, folder: Path) -> Iterator[str]:
    """The driver, as its users start it, under a supervisor."""
    argv = [sys.executable, "-m", "csi.driver", "--node-id", "n", "--endpoint", f"unix://{folder}/s"]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(folder / "pid"), *argv, "--state-dir", str(folder / "state")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    for _ in range(ATTEMPTS):
        if (folder / "s").exists():
            break
        assert supervisor.poll() is None
        time.sleep(0.05)
    yield f"unix://{folder}/s"
    supervisor.terminate()
    assert supervisor.wait(timeout=30) == 0
    assert not (folder / "s").exists()


def options(endpoint: str) -> tuple[str, ...]:
    small = ("--csi-volume-size", "16Mi", "--csi-expand-by", "16Mi")
    return ("--pyargs", "csi.testing", "--csi-endpoint", endpoint, *small)


def test_options_alone(site: Path, endpoint: str, tmp_path: Path) -> None:
    """A driver's address is enough. What is not claimed, or excepted, is told and no failure; reports have ids and sections."""
    (tmp_path / "exceptions.toml").write_text('N12 = "let us say"\n')
    chosen = "i2_ or c8_ or c31_ or n12_ or x1_ or x3_"
    reports = ("-rs", "--junitxml", "report.xml", "--csi-exceptions", "exceptions.toml")
    done = run(site, tmp_path, *options(endpoint), *reports, "-k", chosen)
    found = outcomes(done)
    assert (found["passed"], found["skipped"]) == (4, 2)
    assert "not claimed: PUBLISH_UNPUBLISH_VOLUME" in done.stdout
    assert "excepted: let us say" in done.stdout
    report = (tmp_path / "report.xml").read_text()
    assert set(re.findall(r'name="id" value="(\w+)"', report)) == {"I2", "C8", "C31", "N12", "X1", "X3"}
    assert 'name="spec" value="NodePublishVolume"' in report


def test_parameters_and_secrets(site: Path, endpoint: str, tmp_path: Path) -> None:
    """A parameter that the driver refuses fails the case, with what was asked and answered, and without the secrets."""
    (tmp_path / "secrets.yaml").write_text("CreateVolume: {password: hunter2}\n")
    given = ("--csi-parameters", "no=such", "--csi-secrets", "secrets.yaml")
    done = run(site, tmp_path, *options(endpoint), *given, "-k", "c8_")
    assert done.returncode == 1
    assert "CSI case C8, MUST, specification: CreateVolume" in done.stdout
    assert "-> INVALID_ARGUMENT: parameters: 'no' is none" in done.stdout
    assert 'key: "password" value: "***"' in done.stdout
    assert "hunter2" not in done.stdout


def test_a_command_that_restarts(site: Path, endpoint: str, folder: Path, tmp_path: Path) -> None:
    """With --csi-restart what needs a restart is looked at; a command that fails is told with what it said."""
    command = f"sh -c 'kill -9 $(cat {folder}/pid)'"
    done = run(site, tmp_path, *options(endpoint), f"--csi-restart={command}", "-k", "n30_")
    assert outcomes(done)["passed"] == 1
    done = run(site, tmp_path, *options(endpoint), "--csi-restart=ls /no/such/place", "-k", "n30_")
    assert "ls ended with 2: " in done.stdout


def test_a_node_alone(site: Path, endpoint: str, tmp_path: Path) -> None:
    """With --csi-node-only the controller is not asked; without a volume, what needs one is skipped."""
    done = run(site, tmp_path, *options(endpoint), "--csi-node-only", "-k", "n1_ or n12_ or c8_", "-rs")
    found = outcomes(done)
    assert (found["passed"], found["skipped"]) == (1, 2)
    assert "no volume: name one that is there (--csi-volume-id)" in done.stdout
    assert "not asked for: --csi-node-only" in done.stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "name the driver to test: --csi-endpoint unix:///PATH"),
        (("--csi-endpoint", "tcp://x:1"), "is not a unix socket"),
        (("--csi-endpoint", "unix:///x", "--csi-parameters", "x"), "'x' is no KEY=VALUE"),
    ],
)
def test_what_is_not_named(site: Path, tmp_path: Path, given: tuple[str, ...], told: str) -> None:
    """One line says what is missing or wrong."""
    done = run(site, tmp_path, "--pyargs", "csi.testing", *given, "-k", "i2_")
    assert (done.returncode, told in done.stdout + done.stderr) == (1, True)
