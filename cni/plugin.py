"""Run one plugin once: environment, standard input, deadline, and what its answer means (spec, sections 2 and 5)."""

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cni.errors import BY_CODE, BadOutput, PluginError, PluginFailed, PluginNotFound, PluginTimeout
from runtimes.linux import process

_PARAMETERS = frozenset({"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"})
_BUSY_TRIES = 6
_BUSY_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One command for one attachment. `environment` holds the CNI_* variables that the command takes."""

    command: str
    environment: Mapping[str, str]
    config: Mapping[str, Any]
    timeout_seconds: float


# Told of every run: program, CNI_* variables, standard input, and how it ended (None: killed, or not to be run).
Ran: TypeAlias = Callable[[Path, Mapping[str, str], bytes, process.Completed | None], None]

# A plugin of this process, by its type: what a call's program would have printed, or a PluginError.
InProcess: TypeAlias = Callable[[Call], Awaitable[Any]]


def find(plugin: str, bin_dirs: Sequence[Path]) -> Path | None:
    """The plugin's program: the first regular file of that name in the folders."""
    return next((path for path in (folder / plugin for folder in bin_dirs) if path.is_file()), None)


def _nobody(program: Path, environment: Mapping[str, str], stdin: bytes, ended: process.Completed | None) -> None:
    """Nobody wants to know."""


async def invoke(plugin: str, bin_dirs: Sequence[Path], call: Call, *, ran: Ran = _nobody) -> Any:
    """Run a plugin; return the JSON that an ADD or VERSION printed, else None. Raises PluginError."""
    path = find(plugin, bin_dirs)
    if path is None:
        folders = ":".join(map(str, bin_dirs))
        raise PluginNotFound(plugin, call.command, f'failed to find plugin "{plugin}" in path [{folders}]')
    environment = {
        **{key: value for key, value in os.environ.items() if key not in _PARAMETERS},
        **call.environment,
        "CNI_COMMAND": call.command,
        "CNI_PATH": ":".join(map(str, bin_dirs)),
    }
    stdin, completed = json.dumps(call.config).encode(), None
    try:
        completed = await _run(plugin, path, environment, stdin, call)
    finally:
        told = {name: value for name, value in environment.items() if name in _PARAMETERS}
        ran(path, told, stdin, completed)
    if not completed.ok:
        raise _failure(plugin, call.command, completed)
    text = completed.stdout.strip()
    # the other commands have no answer: what a plugin prints after a DEL that worked must not keep a pod from ending
    if not text or call.command not in ("ADD", "VERSION"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text[:200].decode(errors="replace")
        raise BadOutput(f"the plugin printed something that is not JSON: {shown!r}").at(call.command, plugin) from error


async def _run(plugin: str, path: Path, environment: Mapping[str, str], stdin: bytes, call: Call) -> process.Completed:
    for attempt in range(_BUSY_TRIES):
        try:
            return await process.run([str(path)], timeout_seconds=call.timeout_seconds, stdin=stdin, env=environment)
        except process.ProcessTimeout as error:
            said = error.stderr.decode(errors="replace").strip()
            raise PluginTimeout(
                plugin, call.command, f"no answer within {call.timeout_seconds:g}s, killed", details=said[-512:]
            ) from error
        except process.ProgramNotFound as error:
            raise PluginNotFound(plugin, call.command, str(error)) from error
        except process.OutputTooLarge as error:
            raise BadOutput(str(error)).at(call.command, plugin) from error
        except OSError as error:
            # a plugin being replaced right now cannot be run for a moment
            if error.errno != errno.ETXTBSY or attempt == _BUSY_TRIES - 1:
                raise PluginFailed(plugin, call.command, f"cannot run {path}: {error}") from error
            await asyncio.sleep(_BUSY_PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _failure(plugin: str, command: str, completed: process.Completed) -> PluginError:
    """What a plugin that exited non-zero said: an error object on stdout, else its stderr, else its exit status."""
    text = completed.stdout.strip()
    if not text:
        said = completed.stderr.decode(errors="replace").strip()[-2048:]
        if said:
            return PluginFailed(plugin, command, f"netplugin failed: {said}")
        return PluginFailed(plugin, command, f"netplugin failed with no error message: {completed.error_text}")
    try:
        document = json.loads(text)
        code, message, details = document.get("code"), str(document["msg"]), str(document.get("details") or "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        shown = text[:200].decode(errors="replace")
        return BadOutput(f"netplugin failed but error parsing its diagnostic message {shown!r}").at(command, plugin)
    number = code if isinstance(code, int) else 0
    return BY_CODE.get(number, PluginFailed)(plugin, command, message, code=number, details=details)
