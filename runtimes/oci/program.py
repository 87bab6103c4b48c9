"""The OCI runtime's command line: start, kill, delete, update, state; and what its answers mean."""

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runtimes import errors
from runtimes.kube.unreadable import UNREADABLE
from runtimes.linux import process
from runtimes.oci.config import Dialect, Kind, OCIRuntimeConfig

log = logging.getLogger(__name__)

# what a runtime started by us may know of our environment
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

_PROBE_SECONDS = 20.0
_TEXT_ERROR = re.compile(r'msg="((?:[^"\\]|\\.)*)"')


class _Features(msgspec.Struct):
    """The part of `runtime features` (OCI runtime-spec, features.md) that is looked at."""

    mountOptions: list[str] = []  # noqa: N815 - the document's own name


class _State(msgspec.Struct):
    """The part of `runtime state` (OCI runtime-spec, runtime.md) that is looked at."""

    status: str


class _CpuUsage(msgspec.Struct):
    total: int = 0


class _Cpu(msgspec.Struct):
    usage: _CpuUsage


class _Data(msgspec.Struct):
    cpu: _Cpu


class _Event(msgspec.Struct):
    """The part of `runsc events --stats` that is true of one container; memory and pids are the whole sandbox's."""

    data: _Data


class RuntimeProgram:
    """One runtime binary with its global arguments and its state directory."""

    def __init__(self, config: OCIRuntimeConfig, runtime_root: Path, dialect: Dialect) -> None:
        self.path = config.path
        self.dialect = dialect
        self._timeout_seconds = config.call_timeout_seconds
        self.global_args = (
            *config.global_args,
            f"--root={runtime_root}",
            *(("--log-format=json",) if dialect.json_log else ()),
            *(("--systemd-cgroup",) if config.cgroup_driver == "systemd" else ()),
        )

    def argv(self, *arguments: str) -> list[str]:
        return [self.path, *self.global_args, *arguments]

    async def start(self, container_id: str) -> None:
        """Let the created container's process run. Raises Internal with the runtime's own words."""
        await self._call("start", container_id)

    async def state(self, container_id: str) -> str:
        """What the runtime says of a container: created, running, stopped; "" when it knows none."""
        done = await self._run("state", container_id)
        if not done.ok:
            return ""
        try:
            return msgspec.json.decode(done.stdout, type=_State).status
        except UNREADABLE:
            raise errors.Internal(f"{self.path} state printed something else than a state") from None

    async def kill(self, container_id: str, number: int) -> None:
        """Signal the container's first process. A container that has ended is fine."""
        done = await self._run("kill", container_id, str(number))
        if not done.ok:
            log.debug("%s kill %s: %s", self.path, container_id, error_text(done))

    async def kill_process(self, container_id: str, pid: int, number: int) -> None:
        """Signal one process by its pid inside the container (runsc only). One that has ended is fine."""
        done = await self._run("kill", "--pid", str(pid), container_id, str(number))
        if not done.ok:
            log.debug("%s kill --pid %d %s: %s", self.path, pid, container_id, error_text(done))

    async def processes(self, container_id: str) -> dict[int, int]:
        """The container's processes, by their pids inside it, with their parents' (runsc only). None of one that has ended."""
        done = await self._run("ps", container_id)
        if not done.ok:
            log.debug("%s ps %s: %s", self.path, container_id, error_text(done))
        rows = [line.split() for line in done.stdout.decode(errors="replace").splitlines()[1:]] if done.ok else []
        return {int(row[1]): int(row[2]) for row in rows if len(row) > 2 and row[1].isdigit() and row[2].isdigit()}

    async def cpu_usage_ns(self, container_id: str) -> int | None:
        """What a container has used of its sandbox's CPU time (runsc only). None of one that has ended."""
        done = await self._run("events", "--stats", container_id)
        if not done.ok:
            log.debug("%s events %s: %s", self.path, container_id, error_text(done))
            return None
        try:
            return msgspec.json.decode(done.stdout, type=_Event).data.cpu.usage.total
        except UNREADABLE:
            raise errors.Internal(f"{self.path} events printed something else than statistics") from None

    async def delete(self, container_id: str) -> None:
        """Forget a container, killing it where needed. An unknown one is fine."""
        done = await self._run("delete", "--force", container_id)
        if not done.ok and "does not exist" not in error_text(done):
            # the caller removes files and cgroups all the same; only the operator can do more
            log.warning("%s delete %s: %s", self.path, container_id, error_text(done))

    async def update(self, container_id: str, resources: dict[str, object]) -> None:
        """Change limits of a live container; `resources` is the bundle's linux.resources."""
        await self._call("update", "--resources", "-", container_id, stdin=msgspec.json.encode(resources))

    async def _call(self, verb: str, *arguments: str, stdin: bytes = b"") -> None:
        done = await self._run(verb, *arguments, stdin=stdin)
        if not done.ok:
            raise errors.Internal(f"OCI runtime {verb} failed: {error_text(done)}")

    async def _run(self, *arguments: str, stdin: bytes = b"") -> process.Completed:
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


async def probe(config: OCIRuntimeConfig) -> Dialect:
    """Find out which runtime `config.path` is. Raises Unavailable when it cannot be run or does not know --version."""
    version = await _ask([config.path, "--version"])
    if version is None:
        raise errors.Unavailable(f"{config.path} cannot be run")
    name, _, number = version.partition("\n")[0].partition(" version ")
    kind = Kind(name) if name in (Kind.RUNC, Kind.CRUN, Kind.RUNSC) else Kind.OTHER
    numbers = _version_tuple(number)
    features: _Features | None = None
    if kind in (Kind.RUNC, Kind.OTHER) and (answer := await _ask([config.path, "features"])) is not None:
        try:
            features = msgspec.json.decode(answer, type=_Features)
        except UNREADABLE:
            log.debug("%s features: not JSON", config.path)
    options = features.mountOptions if features is not None else []
    return Dialect(
        kind=kind,
        version=number.strip() or version.strip(),
        host_pids=kind in (Kind.RUNC, Kind.CRUN),
        shared_sandbox=kind is Kind.RUNSC,
        recursive_read_only="rro" in options or (kind is Kind.CRUN and numbers >= (1, 4)),
        json_log=kind in (Kind.RUNC, Kind.CRUN),
        groups_by_name=kind in (Kind.RUNC, Kind.OTHER),  # seen with runc 1.1; of others it is not known
        read_only_superblocks=kind in (Kind.RUNC, Kind.OTHER),
    )


async def _ask(argv: Sequence[str]) -> str | None:
    try:
        done = await process.run(argv, timeout_seconds=_PROBE_SECONDS, env=ENVIRONMENT)
    except process.ProcessError as error:
        log.debug("%s", error)
        return None
    return done.stdout.decode(errors="replace") if done.ok else None


def _version_tuple(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


async def missing_program(path: str) -> str | None:
    """Why `path` cannot be executed, or None."""

    def look() -> str | None:
        if not Path(path).is_file():
            return f"{path} does not exist"
        return None if os.access(path, os.X_OK) else f"{path} is not executable"

    return await asyncio.to_thread(look)
