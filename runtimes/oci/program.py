"""The OCI runtime's command line: start, kill, delete, update, state; and what its answers mean."""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from runtimes import errors
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process
from runtimes.oci.config import OCIRuntimeConfig

log = logging.getLogger(__name__)

# what a runtime started by us may know of our environment
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

# what a runtime says of a container (OCI runtime-spec, runtime.md, State)
CREATED = "created"
RUNNING = "running"

_TEXT_ERROR = re.compile(r'msg="((?:[^"\\]|\\.)*)"')


class _State(msgspec.Struct):
    """The part of `runtime state` (OCI runtime-spec, runtime.md) that is looked at."""

    status: str


class RuntimeProgram:
    """One runtime binary with its global arguments and its state directory."""

    def __init__(self, config: OCIRuntimeConfig, runtime_root: Path, *, json_log: bool) -> None:
        self.path = config.path
        self._timeout_seconds = config.call_timeout_seconds
        self.global_args = (
            *config.global_args,
            f"--root={runtime_root}",
            *(("--log-format=json",) if json_log else ()),
            *(("--systemd-cgroup",) if config.cgroup_driver == "systemd" else ()),
        )

    def argv(self, *arguments: str) -> list[str]:
        return [self.path, *self.global_args, *arguments]

    async def start(self, container_id: str) -> None:
        """Let the created container's process run. Raises Internal with the runtime's own words."""
        await self._call("start", container_id)

    async def state(self, container_id: str) -> str:
        """What the runtime says of a container: created, running, stopped; "" when it knows none."""
        done = await self.run("state", container_id)
        if not done.ok:
            return ""
        try:
            return msgspec.json.decode(done.stdout, type=_State).status
        except UNREADABLE:
            raise errors.Internal(f"{self.path} state printed something else than a state") from None

    async def kill(self, container_id: str, number: int) -> None:
        """Signal the container's first process. A container that has ended is fine."""
        done = await self.run("kill", container_id, str(number))
        if not done.ok:
            log.debug("%s kill %s: %s", self.path, container_id, error_text(done))

    async def delete(self, container_id: str) -> None:
        """Forget a container, killing it where needed. An unknown one is fine."""
        done = await self.run("delete", "--force", container_id)
        if not done.ok and "does not exist" not in error_text(done):
            # the caller removes files and cgroups all the same; only the operator can do more
            log.warning("%s delete %s: %s", self.path, container_id, error_text(done))

    async def update(self, container_id: str, resources: Mapping[str, object]) -> None:
        """Change limits of a live container; `resources` is the bundle's linux.resources."""
        await self._call("update", "--resources", "-", container_id, stdin=msgspec.json.encode(resources))

    async def _call(self, verb: str, *arguments: str, stdin: bytes = b"") -> None:
        done = await self.run(verb, *arguments, stdin=stdin)
        if not done.ok:
            raise errors.Internal(f"OCI runtime {verb} failed: {error_text(done)}")

    async def run(self, *arguments: str, stdin: bytes = b"") -> process.Completed:
        """Any command of the program's, which may fail. Raises Timeout, Unavailable."""
        try:
            return await process.run(
                self.argv(*arguments), timeout_seconds=self._timeout_seconds, stdin=stdin, env=ENVIRONMENT
            )
        except process.ProcessTimeout as error:
            raise errors.Timeout(str(error)) from error
        except process.ProcessError as error:
            raise errors.Unavailable(str(error)) from error


def error_text(done: process.Completed) -> str:
    return runtime_message(done.error_text)


def runtime_message(text: str) -> str:
    """The error itself from what a runtime printed: a JSON log line (runc, crun), a logfmt line, or plain text."""
    for line in reversed(text.strip().splitlines()):
        if line.startswith("{"):
            try:
                entry = msgspec.json.decode(line, type=dict[str, object])
            except UNREADABLE:
                continue
            if entry.get("msg"):
                return str(entry["msg"])
        if found := _TEXT_ERROR.search(line):
            return found.group(1).replace('\\"', '"')
    return text.strip()


async def missing_program(path: str) -> str | None:
    """Why `path` cannot be executed, or None."""

    def look() -> str | None:
        if not Path(path).is_file():
            return f"{path} does not exist"
        return None if os.access(path, os.X_OK) else f"{path} is not executable"

    return await asyncio.to_thread(look)
