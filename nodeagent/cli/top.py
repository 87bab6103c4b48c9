"""`nodeagent top`: what the node and its pods use, and how far it is from evicting any; live on a terminal."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.kubeconfig import Connection, KubeconfigError, load
from nodeagent.cli.output import Output, print_error, print_json
from nodeagent.cli.top_view import document, lines
from nodeagent.cli.usage import NodeUse, UsageUnknown, read, which_node

MIN_INTERVAL_SECONDS = 1.2  # the node's figures are up to a second old, and CPU is the mean since the last reading
_DEADLINE_SECONDS = 15.0
# another screen, no cursor; and back
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _LINE_END, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


def run(kubeconfig: Path, node_name: str, output: Output, *, once: bool, interval_seconds: float, sort: str) -> int:
    """`once`, JSON or no terminal: one answer. Else until interrupted. Returns 1 when the API or the node does not answer."""
    if not kubeconfig.exists():
        print_error(f"{kubeconfig} does not exist; an agent in standalone mode writes it, else give --kubeconfig")
        return 1
    live = not once and output is Output.TABLE and sys.stdout.isatty()
    try:
        connection = load(kubeconfig)
        if live:
            asyncio.run(_live(connection, node_name, max(interval_seconds, MIN_INTERVAL_SECONDS), sort))
            return 0
        use = asyncio.run(_once(connection, node_name))
    except (KubeconfigError, OSError, UsageUnknown) as error:
        print_error(str(error))
        return 1
    except ApiError as error:
        print_error(f"the API at {connection.server} says: {error.message}")
        return 1
    except KeyboardInterrupt:  # how one leaves it
        return 0
    if output is Output.JSON:
        print_json(document(use, sort))
    else:
        print("\n".join(lines(use, sort, colours=sys.stdout.isatty())))
    return 0


async def _once(connection: Connection, node_name: str) -> NodeUse:
    async with ApiClient(connection, timeout_seconds=_DEADLINE_SECONDS) as client:
        name = await which_node(client, node_name)
        await read(client, name)  # what the CPU is measured from
        await asyncio.sleep(MIN_INTERVAL_SECONDS)
        return await read(client, name)


async def _live(connection: Connection, node_name: str, interval_seconds: float, sort: str) -> None:
    async with ApiClient(connection, timeout_seconds=_DEADLINE_SECONDS) as client:
        name = await which_node(client, node_name)
        leave = asyncio.Event()
        with _screen(leave):
            looking = asyncio.create_task(_look(client, name, interval_seconds, sort), name="top")
            leaving = asyncio.create_task(leave.wait(), name="leave top")
            await asyncio.wait((looking, leaving), return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            looking.cancel()
            await asyncio.wait((looking, leaving))
        if not looking.cancelled():
            looking.result()


async def _look(client: ApiClient, name: str, interval_seconds: float, sort: str) -> None:
    while True:
        try:
            shown = lines(await read(client, name), sort, colours=True)
        except (UsageUnknown, ApiError) as error:  # an agent that restarts; the figures come back
            shown = [f"{name}: {error}"]
        print(frame(shown, *shutil.get_terminal_size()), end="", flush=True)
        await asyncio.sleep(interval_seconds)


def frame(shown: list[str], columns: int, rows: int) -> str:
    """The lines in the place of those before, as many and as much of each as the terminal has room for; the last says how
    many there are besides."""
    if len(shown) >= rows > 1:
        kept = rows - 2
        shown = [*shown[:kept], f"... {len(shown) - kept} lines more than this terminal has room for"]
    return _HOME + f"{_LINE_END}\r\n".join(_cut(line, columns) for line in shown[: rows - 1]) + _LINE_END + _REST


def _cut(line: str, columns: int) -> str:
    """Colours are around whole lines and take no room."""
    before, text, after = "", line, ""
    if line.startswith("\x1b"):
        start, end = line.index("m") + 1, line.rindex("\x1b")
        before, text, after = line[:start], line[start:end], line[end:]
    return before + text[:columns] + after


@contextlib.contextmanager
def _screen(leave: asyncio.Event) -> Iterator[None]:
    """A screen of its own, without echo, as it was before afterwards. `leave` is set by q, Ctrl-C and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave.set)
    keyboard = sys.stdin.fileno() if sys.stdin.isatty() else -1
    before = termios.tcgetattr(keyboard) if keyboard >= 0 else None
    print(_ENTER, end="", flush=True)
    try:
        if before is not None:
            tty.setcbreak(keyboard)
            loop.add_reader(keyboard, _key, keyboard, leave)
        yield
    finally:
        if before is not None:
            loop.remove_reader(keyboard)
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        print(_LEAVE, end="", flush=True)


def _key(keyboard: int, leave: asyncio.Event) -> None:
    try:
        pressed = os.read(keyboard, 64)
    except OSError:
        pressed = b""
    if not pressed or b"q" in pressed:  # a terminal that is gone, too
        leave.set()
