"""The project as others have it: out of a wheel, without a checkout, with the packages of examples/. Made once a run."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PARTS = ("nodeagent", "runtimes", "cni", "csi", "proto", "pyproject.toml", "README.md", "LICENSE")
# Without what a site's .pth files add: the checkout of an editable installation.
PYTHON = (sys.executable, "-S", "-m", "pytest", "-q", "-p", "no:cacheprovider")


def installed(factory: pytest.TempPathFactory) -> Path:
    """A folder in which this project and examples/runtime-plugin are installed, and nothing else; workers share it."""
    pytest.importorskip("setuptools", reason="pip builds with the setuptools of this environment")
    run_folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run_folder = run_folder.parent
    site = run_folder / "shipped"
    with open(run_folder / "shipped.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not site.exists():
            _install(run_folder / "shipped-sources", site)
    return site


def _install(sources: Path, site: Path) -> None:
    project, example, unfinished = sources / "nodeagent", sources / "runtime-plugin", sources / "site"
    shutil.rmtree(sources, ignore_errors=True)
    project.mkdir(parents=True)
    for part in PARTS:
        path = REPO / part
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        (shutil.copytree(path, project / part, ignore=ignored) if path.is_dir() else shutil.copy(path, project))
    shutil.copytree(REPO / "examples" / "runtime-plugin", example)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    pip += ["--no-compile", "--target", str(unfinished)]
    subprocess.run([*pip, str(project), str(example)], check=True, capture_output=True, timeout=100)
    unfinished.rename(site)
    shutil.rmtree(sources)


def run(site: Path, folder: Path, *arguments: str, timeout_seconds: float = 100) -> "subprocess.CompletedProcess[str]":
    """pytest there, with nothing of this checkout in sight, and in its own default modes."""
    environment = os.environ | {"PYTHONPATH": f"{site}:{Path(pytest.__file__).parents[1]}", "PYTEST_ADDOPTS": ""}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        [*PYTHON, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_seconds
    )
    said = (done.stdout + done.stderr).replace(f"{REPO}/.venv/", "")  # of a clone the virtualenv is inside it
    assert str(REPO) not in said
    return done


def outcomes(done: "subprocess.CompletedProcess[str]") -> dict[str, int]:
    """How many of each, of a run in which nothing failed."""
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return {outcome: int(count) for count, outcome in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
