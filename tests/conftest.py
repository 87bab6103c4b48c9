"""What the whole suite shares: no test is about time, and what could not be tested on this machine is said at the end."""

import os
from typing import Any

from hypothesis import HealthCheck, settings

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

MARK = "NOT TESTED: "


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
