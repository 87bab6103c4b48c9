"""What one run of a probe found. Source: docs/facts/pod-lifecycle.md 7.3 and 7.4."""

import enum
import os
from dataclasses import dataclass

USER_AGENT = "kube-probe/1.36"
MAX_OUTPUT_BYTES = 10 * 1024


class Verdict(enum.Enum):
    SUCCESS = "success"
    WARNING = "warning"  # a success that is worth an event
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A verdict and the text that its event shows."""

    verdict: Verdict
    output: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict is not Verdict.FAILURE


class ProbeError(Exception):
    """The probe could not be made, which says nothing of the container; it is tried again at once."""


def success(output: str = "") -> Outcome:
    return Outcome(verdict=Verdict.SUCCESS, output=output)


def warning(output: str) -> Outcome:
    return Outcome(verdict=Verdict.WARNING, output=output)


def failure(output: str) -> Outcome:
    return Outcome(verdict=Verdict.FAILURE, output=output)


def address(host: str, port: int) -> str:
    """host:port, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial_error(host: str, port: int, error: OSError | None) -> str:
    """The text of a connection that was not made; None: in time."""
    prefix = f"dial tcp {address(host, port)}: "
    if error is None or isinstance(error, TimeoutError):
        return prefix + "i/o timeout"
    return prefix + f"connect: {error_text(error)}"


def error_text(error: OSError) -> str:
    """An operating system error as probes report it: "connection refused"."""
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
