"""The demo's agent: started as a process of its own, waited for, stopped."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from kubectl import Kubectl
from settings import Settings

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05


class DemoError(Exception):
    """The demo cannot go on; the text is for the user."""


class Agent:
    """Between `start` and `stop` the agent runs; what it says goes to a file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        self._settings.log.parent.mkdir(parents=True, exist_ok=True)
        self._settings.kubeconfig.unlink(missing_ok=True)  # so that one which is there is this agent's
        program = str(Path(sys.executable).with_name("nodeagent"))
        parent = os.getpid()

        def die_with_parent() -> None:
            # Should we be killed -9, the agent hears SIGTERM: the next run does not find its ports taken.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        log = os.open(self._settings.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._settings.agent_argv(program),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to handle: pods first, agent then
                preexec_fn=die_with_parent,
            )
        finally:
            os.close(log)

    async def wait_ready(self, kubectl: Kubectl) -> None:
        """Return when the node is Ready. Raises DemoError when the agent ends before."""
        node = self._settings.config.node_name
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                while not self._settings.kubeconfig.exists() or not await kubectl.ok("get", "--raw", "/readyz"):
                    self._must_run()
                    await asyncio.sleep(_LOOK_SECONDS)
                while not await kubectl.ok("get", "node", node):
                    self._must_run()
                    await asyncio.sleep(_LOOK_SECONDS)
                await self._watched(kubectl.must("wait", "--for=condition=Ready", f"node/{node}", "--timeout=600s"))
        except TimeoutError:
            raise self._failure(f"the node was not Ready within {self._settings.timeout_seconds:g} s") from None

    async def _watched(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do `work`, but not longer than the agent lives."""
        assert self._process is not None
        task, end = asyncio.ensure_future(work), asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._must_run()
            task.result()
        finally:
            task.cancel()
            end.cancel()
            await asyncio.wait({task, end})

    async def ended(self) -> DemoError:
        """Wait until the agent ends by itself, which it should not; say what it said."""
        assert self._process is not None
        await self._process.wait()
        return self._failure(f"the agent ended with exit code {self._process.returncode}")

    async def stop(self) -> None:
        if self._process is None or not self.running:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _must_run(self) -> None:
        if not self.running:
            code = None if self._process is None else self._process.returncode
            raise self._failure(f"the agent ended with exit code {code}")

    def _failure(self, message: str) -> DemoError:
        tail = self._settings.log.read_text(errors="replace").splitlines()[-20:]
        return DemoError("\n".join([f"{message}; the end of {self._settings.log}:", *tail]))
