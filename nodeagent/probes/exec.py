"""The exec probe: a command in the container. Source: docs/facts/pod-lifecycle.md 7.3."""

import asyncio
from collections.abc import Sequence

from lightkube.models.core_v1 import EnvVar

from nodeagent.podspec.expansion import expand, size_bytes
from nodeagent.probes.outcome import MAX_OUTPUT_BYTES, Outcome, ProbeError, failure, success
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import RuntimeFault, Timeout
from runtimes.kube.duration import go_duration

CALL_MARGIN_SECONDS = 120.0  # what the call may take beyond the command's own time

MAX_COMMAND_BYTES = 2 * 1024 * 1024


async def probe_exec(
    runtime: RuntimeService, container_id: str, command: Sequence[str], *, timeout_seconds: int
) -> Outcome:
    """Run the command; the runtime kills it when its time is up. Raises ProbeError."""
    request = cri.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout_seconds)
    try:
        async with asyncio.timeout(timeout_seconds + CALL_MARGIN_SECONDS):
            answer = await runtime.exec_sync(request)
    except Timeout:
        text = " ".join(command)
        return failure(f'command timed out: "{text}" timed out after {go_duration(timeout_seconds)}')
    except TimeoutError as error:
        raise ProbeError("the runtime did not answer in time") from error
    except RuntimeFault as error:
        raise ProbeError(str(error)) from error
    output = (answer.stdout + answer.stderr)[:MAX_OUTPUT_BYTES].decode(errors="replace")
    return success(output) if answer.exit_code == 0 else failure(output)


def expand_command(command: Sequence[str], env: Sequence[EnvVar] | None) -> list[str]:
    """`$(VAR)` is replaced by literal values of the container's env only; `$$` stands for `$`; others stay as they are.

    Raises TooLarge, before anything is made, for a command that no kernel would start.
    """
    values = {item.name: item.value or "" for item in env or () if item.valueFrom is None}
    words: list[str] = []
    left = MAX_COMMAND_BYTES
    for argument in command:
        words.append(expand(argument, values, max_bytes=left))
        left -= size_bytes(words[-1])
    return words
