"""The demo behind hack/run: agent, three pods, and everything torn down in the end. Runs inside .venv."""

import argparse
import asyncio
import fcntl
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from agent import Agent, DemoError
from goals import GOALS, Watch, reached_within
from kubectl import Kubectl, KubectlError
from network import remove_unused
from settings import HELLO_FOLDER, IMAGE, MANIFEST, REPO, Settings, read
from view import PodsView, Steps, final_table

from nodeagent.api.errors import ApiError
from nodeagent.config import ConfigProblem
from runtimes.linux import process

_FAILURES = (DemoError, KubectlError, ApiError, process.ProcessError, OSError)


class Demo:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._agent = Agent(settings)
        self._kubectl = Kubectl(settings.kubeconfig)
        self._steps = Steps()
        self._reached = False

    async def run(self, stop: asyncio.Event) -> int:
        """Exit code. `stop`: the user wants to leave."""
        code = 1
        work = asyncio.ensure_future(self._work(stop))
        leave = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({work, leave}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                code = work.result()
            else:
                code = 0 if self._reached else 130  # Ctrl-C is how one leaves once the pods are there
        except _FAILURES as error:
            print(f"hack/run: {error}", file=sys.stderr)
        finally:
            work.cancel()
            leave.cancel()
            await asyncio.wait({work, leave})
            if not await self._tear_down():
                code = code or 1
        return code

    async def _work(self, stop: asyncio.Event) -> int:
        await self._start()
        self._reached = await self._pods()
        if not self._reached or self._settings.once:
            return 0 if self._reached else 1
        print("\nTo go on, in another terminal:\n")
        print(f"    export KUBECONFIG={self._settings.kubeconfig}\n    kubectl get pods\n")
        print(f"The agent writes to {self._settings.log}. Ctrl-C stops it and removes the three pods.", flush=True)
        ended, leave = asyncio.ensure_future(self._agent.ended()), asyncio.ensure_future(stop.wait())
        done, _ = await asyncio.wait({ended, leave}, return_when=asyncio.FIRST_COMPLETED)
        leave.cancel()
        if ended in done:
            raise ended.result()
        ended.cancel()
        return 0

    async def _start(self) -> None:
        options = self._settings.config.options
        self._steps.say(f"starting the agent on node {self._settings.config.node_name}, state in {options.state_dir}")
        await self._agent.start()
        try:
            async with asyncio.TaskGroup() as group:
                image = group.create_task(self._image())
                group.create_task(self._agent.wait_ready(self._kubectl))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        self._steps.say(f"image {image.result()} is there, the node is Ready")

    async def _image(self) -> str:
        """Build and import the demo image; both notice by themselves when there is nothing new."""
        with tempfile.TemporaryDirectory(prefix="nodeagent-demo-") as folder:
            archive = str(Path(folder) / "demo.tar")
            program = str(Path(sys.executable).with_name("nodeagent"))
            state_dir = f"--state-dir={self._settings.config.options.state_dir}"
            for argv in (
                [sys.executable, str(REPO / "hack/demo-image"), archive, "--tag", IMAGE],
                [program, "image", "import", archive, state_dir],
            ):
                done = await process.run(argv, timeout_seconds=120.0)
                if not done.ok:
                    raise DemoError(f"{' '.join(argv)}: {done.error_text}")
        return IMAGE

    async def _pods(self) -> bool:
        # Those of a run that was killed would show old news.
        left_over = await self._kubectl.must("get", "-f", str(MANIFEST), "--ignore-not-found", "-o", "name")
        if left_over.strip():
            self._steps.say("removing the pods of an earlier run")
            await self._delete_pods()
        await self._kubectl.must("apply", "-f", str(MANIFEST))
        self._steps.say("kubectl apply -f examples/hello.yaml")
        with PodsView(self._steps) as view:
            watch = Watch(self._settings.kubeconfig, view.changed)
            reached = await reached_within(watch, self._settings.timeout_seconds)
        if reached:
            self._steps.say("all pods are where they should be")
        print()
        final_table(watch.rows())
        print("\nkubectl logs client:")
        logs = await self._kubectl.run("logs", "client")
        print(logs.stdout.decode(errors="replace") if logs.ok else f"{logs.error_text}\n", end="", flush=True)
        for name in watch.missing:
            print(f"\n{name} did not get there ({GOALS[name][0]}):", file=sys.stderr)
            described = await self._kubectl.run("describe", "pod", name)
            print(described.stdout.decode() or described.error_text, file=sys.stderr)
        return reached and logs.ok

    async def _delete_pods(self) -> None:
        await self._kubectl.must("delete", "-f", str(MANIFEST), "--ignore-not-found", "--wait", "--timeout=60s")

    async def _tear_down(self) -> bool:
        """Pods, agent, network: in reverse, all of it. Says what could not be done."""
        self._steps.say("removing the pods, stopping the agent")
        problems: list[str] = []
        if self._agent.running and self._settings.kubeconfig.exists():
            try:
                await self._delete_pods()
            except _FAILURES as error:
                problems.append(str(error))
        await self._agent.stop()
        try:
            if kept := await remove_unused(self._settings):
                self._steps.say(kept)
            shutil.rmtree(HELLO_FOLDER, ignore_errors=True)
        except _FAILURES as error:
            problems.append(str(error))
        for problem in problems:
            print(f"hack/run: {problem}", file=sys.stderr)
        return not problems


async def main(settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await Demo(settings).run(stop)


def started() -> int:
    parser = argparse.ArgumentParser(prog="hack/run", description="One Linux machine becomes a node with pods on it.")
    parser.add_argument("--once", action="store_true", help="tear everything down when the pods got there, and exit")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="for the pods (%(default)g)")
    arguments = parser.parse_args()
    try:
        settings = read(once=arguments.once, timeout_seconds=arguments.timeout)
    except ConfigProblem as problem:
        print("\n".join(problem.problems), file=sys.stderr)
        return 2
    state_dir = settings.config.options.state_dir
    state_dir.mkdir(parents=True, exist_ok=True)
    with open(state_dir / ".hack-run.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"hack/run: another hack/run is at work in {state_dir}", file=sys.stderr)
            return 1
        return asyncio.run(main(settings))


if __name__ == "__main__":
    sys.exit(started())
