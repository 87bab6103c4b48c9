"""How a process ended, as clients are told: a Status object, or plain text for the oldest protocols.

Source: docs/facts/api-client-and-server.md N.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """`status`: from v4 on, always. `text`: before v4; empty on success."""

    status: Mapping[str, Any]
    text: str

    @property
    def document(self) -> bytes:
        return msgspec.json.encode(self.status)


def exited(code: int) -> ExitStatus:
    """The process ran, and ended with `code`."""
    if code == 0:
        return ExitStatus(status={"metadata": {}, "status": "Success"}, text="")
    text = f"command terminated with non-zero exit code: exit status {code}"
    status = {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
    return ExitStatus(status=status, text=text)


def failed(failure: str, cause: str) -> ExitStatus:
    """There was no process, or it was lost. `failure`: what could not be done."""
    text = f"{failure}: {cause}"
    status = {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": cause}]},
        "code": 500,
    }
    return ExitStatus(status=status, text=text)
