"""A headless Chromium for tests that look at pages, driven over its DevTools websocket.

It is shown nothing but this machine: names are not resolved, and what it asked for and what its console said is kept.
"""

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

_DEADLINE_SECONDS = 30.0
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests are root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    "--remote-debugging-port=0",
)


class Page:
    """One tab. `requests`: the URLs it asked for; `complaints`: errors and warnings of its console, and exceptions."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requests: list[str] = []
        self.complaints: list[str] = []

    async def listen(self) -> None:
        """Until the browser is gone."""
        async for message in self._socket:
            found = json.loads(message.data)
            if (answer := self._answers.pop(found.get("id", 0), None)) is not None:
                answer.set_result(found)
                continue
            about = found.get("params", {})
            match found.get("method"):
                case "Network.requestWillBeSent":
                    self.requests.append(about["request"]["url"])
                case "Runtime.exceptionThrown":
                    self.complaints.append(str(about["exceptionDetails"]))
                case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                    self.complaints.append(str(about["args"]))
                case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                    self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol. Raises AssertionError with its error."""
        self._number += 1
        number = self._number
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        found = await asyncio.wait_for(self._answers[number], _DEADLINE_SECONDS)
        assert "error" not in found, f"{method}: {found['error']}"
        result: dict[str, Any] = found["result"]
        return result

    async def open(self, url: str) -> None:
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which may be a promise."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The first true value of the expression."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                if found := await self.evaluate(expression):
                    return found
                await asyncio.sleep(0.1)

    async def press(self, key: str) -> None:
        """A key by its name, as "Tab" or "ArrowLeft"; with what it does by itself."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            code = codes.get(key, 0)
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    async def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """The window's size, and the colours that its user likes."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        likes = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=likes)

    async def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextlib.asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Page]:
    """A browser whose files are in `folder`; gone afterwards, with all its processes."""
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("chromium", *_OPTIONS, f"--user-data-dir={folder}/profile", "about:blank"),
            env={**os.environ, "HOME": str(folder)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(await _address(session, folder), max_msg_size=0)
            page = Page(socket)
            listening = asyncio.create_task(page.listen())
            try:
                yield page
            finally:
                listening.cancel()
                await socket.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _address(session: aiohttp.ClientSession, folder: Path) -> str:
    """Of the first tab."""
    file = folder / "profile" / "DevToolsActivePort"
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            port = file.read_text().partition("\n")[0] if file.exists() else ""
            if not port:
                await asyncio.sleep(0.05)
                continue
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
