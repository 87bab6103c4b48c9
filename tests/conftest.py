"""What the whole suite shares: no test is about time, and what could not be tested on this machine is said at the end."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from components import MARK
from hypothesis import HealthCheck, settings

from nodeagent.node.kernel_defaults import KERNEL_DEFAULTS

# The plug-ins of the harnesses; where the checkout is installed they are there by their entry points, which have the same names.
pytest_plugins = ["cni.testing.plugin", "csi.testing.plugin", "runtimes.testing.plugin"]

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

KERNEL = pytest.StashKey[dict[Path, str]]()  # what the kernel's settings were before agents set them


def pytest_sessionstart(session: pytest.Session) -> None:
    """Agents set the kernel as a kubelet does; the machine gets its own values back. Once, not in each worker."""
    if hasattr(session.config, "workerinput"):
        return
    paths = [Path("/proc/sys", *name.split(".")) for name in KERNEL_DEFAULTS]
    session.config.stash[KERNEL] = {path: path.read_text() for path in paths if path.exists()}


def pytest_sessionfinish(session: pytest.Session) -> None:
    for path, text in session.config.stash.get(KERNEL, {}).items():
        with contextlib.suppress(OSError):  # not root, or a kernel that is locked: no agent has set it either
            if path.read_text() != text:
                path.write_text(text)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Short: a test's name is in the environment of what it starts, where a variable has room for 128 KiB."""
    return f"{argname} of {len(val)}" if isinstance(val, str | bytes) and len(val) > 200 else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List what was skipped for want of a component; hack/test repeats it on its last lines (NODEAGENT_NOT_TESTED)."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ()) if report.longrepr}
    found = sorted({MARK + reason.partition(MARK)[2] for reason in reasons if MARK in reason})
    for line in found:
        terminalreporter.write_line(line)
    collected = os.environ.get("NODEAGENT_NOT_TESTED")
    if collected and found:
        with open(collected, "a") as file:
            file.writelines(f"{line}\n" for line in found)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Hand reports with hostile file names on: a worker's connection takes text only, and would end the whole run."""
    return _as_text((yield))


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_as_text(key): _as_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_as_text(item) for item in value)
    return value
