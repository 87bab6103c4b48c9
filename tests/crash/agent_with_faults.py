"""The ordinary agent, with faults at chosen places of a pod's way.

    python -m tests.crash.agent_with_faults --faults DIR [--api-pid FILE] [--set MODULE:NAME=NUMBER ...] -- run ARG...

DIR/<id>.json holds one fault each (`faults.Fault`), read when a pod first comes by; DIR/<id>.hit appears when it strikes,
which it does once, whatever restarts. Everything after `--` goes to `nodeagent`. The functions named by `faults.POINTS` are
wrapped; nothing of the production code is prepared for it.
"""

import argparse
import asyncio
import contextlib
import contextvars
import functools
import importlib
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.crash import faults as modes
from tests.crash.faults import POINTS, Fault

HANG_SECONDS = 1.0
HELD_SECONDS = 30.0  # for a deletion to arrive
_pod: contextvars.ContextVar[str] = contextvars.ContextVar("pod", default="")


def errors(kind: str) -> Exception:
    """What fails like this in real life."""
    from cni.errors import PluginError
    from nodeagent.api.errors import ApiError
    from nodeagent.images.manager import ImageFailure
    from nodeagent.volumes.contract import VolumeError
    from runtimes.errors import Internal
    from runtimes.linux.cgroups.contract import CgroupError

    text = "injected fault"
    made: dict[str, Exception] = {
        "runtime": Internal(text),
        "os": OSError(5, text),
        "cgroup": CgroupError(text),
        "volume": VolumeError(text),
        "image": ImageFailure("ErrImagePull", text, retry_after_seconds=0.2),
        "cni": PluginError("bridge", "ADD", text),
        "api": ApiError(500, "InternalError", text),
        "internal": RuntimeError(text),
    }
    return made[kind]


class Faults:
    """The faults of a folder, and who has met how many points."""

    def __init__(self, folder: Path, api_pid: Path | None) -> None:
        self._folder = folder
        self._api_pid = api_pid
        self._passed: dict[str, int] = {}

    def strike(self, point: str, pod: str) -> Fault | None:
        """The fault that is due now, taken."""
        for path in self._folder.glob(f"*.{point}.json"):
            try:
                fault = msgspec.json.decode(path.read_bytes(), type=Fault)
            except (OSError, msgspec.DecodeError):
                continue
            if fault.pod not in ("", pod) or path.with_suffix(".hit").exists():
                continue
            self._passed[fault.id] = self._passed.get(fault.id, 0) + 1
            if self._passed[fault.id] >= fault.nth:
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(path.with_suffix(".hit"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                    return fault
        return None

    def signal_api(self, number: int) -> None:
        assert self._api_pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self._api_pid.read_text()), number)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_later(seconds: float) -> None:
    """SIGKILL from a thread of its own, whatever the event loop does."""

    def body() -> None:
        time.sleep(seconds)
        kill()

    threading.Thread(target=body, daemon=True).start()


async def strike_async(faults: Faults, fault: Fault, error: str, work: Callable[[], Any]) -> Any:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    match fault.mode:
        case modes.FAIL:
            raise errors(error)
        case modes.LOST:
            await work()
            raise errors(error)
        case modes.HANG:
            from runtimes.errors import Timeout

            await asyncio.sleep(HANG_SECONDS)
            raise Timeout("injected: no answer in time") if error == "runtime" else errors(error)
        case modes.DELETE:
            await asyncio.sleep(HELD_SECONDS)
        case modes.CANCEL:
            loop.call_later(fault.delay_seconds, task.cancel)
        case modes.CANCEL_TWICE:
            loop.call_later(fault.delay_seconds, task.cancel)
            loop.call_later(fault.delay_seconds + 0.01, task.cancel)
        case modes.KILL_BEFORE:
            kill()
        case modes.KILL_MIDDLE:
            kill_later(fault.delay_seconds)
        case modes.STOP:
            loop.call_later(fault.delay_seconds, os.kill, os.getpid(), signal.SIGTERM)
        case modes.API_FREEZE:
            faults.signal_api(signal.SIGSTOP)
            # by itself: whoever asked for what is struck may be waiting for the API's answer, and could not end the outage
            thaw = threading.Timer(modes.OUTAGE_SECONDS, faults.signal_api, (signal.SIGCONT,))
            thaw.daemon = True
            thaw.start()
        case modes.API_KILL:
            faults.signal_api(signal.SIGKILL)
    result = await work()
    if fault.mode in (modes.KILL_AFTER, modes.KILL_MIDDLE):
        kill()
    return result


def strike_sync(fault: Fault, error: str, work: Callable[[], Any]) -> Any:
    if fault.mode == modes.FAIL:
        raise errors(error)
    if fault.mode == modes.KILL_BEFORE:
        kill()
    if fault.mode == modes.KILL_MIDDLE:
        kill_later(fault.delay_seconds)
    result = work()
    if fault.mode in (modes.KILL_AFTER, modes.KILL_MIDDLE):
        kill()
    return result


def owner(arguments: tuple[Any, ...]) -> str:
    """The name of the pod that a call is made for: told by a container or sandbox among its arguments, else by the task."""
    for argument in arguments[:3]:
        argument = getattr(argument, "pod", argument)  # a Desired
        labels = getattr(getattr(argument, "config", None), "labels", None)
        if labels is not None and (name := labels.get("io.kubernetes.pod.name")):
            return str(name)
        metadata = getattr(argument, "metadata", None)
        if type(argument).__name__ in ("Pod", "AgentPod") and metadata is not None:
            return str(metadata.name)
    return _pod.get()


def wrap(faults: Faults, target: str, points: list[tuple[str, str]]) -> None:
    """Put a wrapper around one function; `points`: (name, error) of those that lie there."""
    module_name, _, path = target.partition(":")
    holder: Any = importlib.import_module(module_name)
    *classes, name = path.split(".")
    for part in classes:
        holder = getattr(holder, part)
    original = getattr(holder, name)

    def due(arguments: tuple[Any, ...]) -> tuple[Fault, str] | None:
        pod = owner(arguments)
        for point, error in points:
            if fault := faults.strike(point, pod):
                return fault, error
        return None

    @functools.wraps(original)
    async def asynchronous(*arguments: Any, **keywords: Any) -> Any:
        found = due(arguments)
        if found is None:
            return await original(*arguments, **keywords)
        return await strike_async(faults, *found, lambda: original(*arguments, **keywords))

    @functools.wraps(original)
    def synchronous(*arguments: Any, **keywords: Any) -> Any:
        found = due(arguments)
        if found is None:
            return original(*arguments, **keywords)
        return strike_sync(*found, lambda: original(*arguments, **keywords))

    setattr(holder, name, asynchronous if inspect.iscoroutinefunction(original) else synchronous)


def know_pods() -> None:
    """Tasks that work for a pod carry its name; what they start inherits it."""
    from nodeagent.pods.orphans import OrphanCollector
    from nodeagent.pods.supervisor import PodSupervisor

    run, take_down = PodSupervisor.run, OrphanCollector._take_down

    async def supervised(self: PodSupervisor) -> None:
        _pod.set(self.desired.pod.name)
        await run(self)

    async def taken_down(self: OrphanCollector, uid: str, pod: Any) -> None:
        _pod.set(pod.name)
        await take_down(self, uid, pod)

    PodSupervisor.run = supervised  # type: ignore[method-assign]
    OrphanCollector._take_down = taken_down  # type: ignore[method-assign]


def main() -> None:
    cut = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--api-pid", type=Path)
    parser.add_argument("--set", action="append", default=[], help="MODULE:NAME=NUMBER, to shorten a pause")
    options = parser.parse_args(sys.argv[1:cut])
    for setting in options.set:
        target, _, value = setting.partition("=")
        module, _, name = target.partition(":")
        setattr(importlib.import_module(module), name, float(value))
    faults = Faults(options.faults, options.api_pid)
    targets: dict[str, list[tuple[str, str]]] = {}
    for point in POINTS:
        targets.setdefault(point.target, []).append((point.name, point.error))
    for target, points in targets.items():
        wrap(faults, target, points)
    know_pods()
    sys.argv = ["nodeagent", *sys.argv[cut + 1 :]]
    from nodeagent.cli import main as agent

    agent()


if __name__ == "__main__":
    main()
