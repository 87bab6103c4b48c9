"""`nodeagent dashboard` of a real node, in a real browser; and with names that would be a page's end if they were markup."""

import asyncio
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from browser import Page, chromium
from components import needs
from node_fixtures import demo_image, node  # noqa: F401
from node_under_test import DEMO_IMAGE, REPO, NodeUnderTest

from nodeagent.cli.dashboard.site import application

pytestmark = [pytest.mark.node, needs("chromium")]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"></td><script>document.title='owned'</script>\u202e{{7*7}}"
BUSY = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "busy", "namespace": "default"},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": DEMO_IMAGE,
                "command": ["sh", "-c", "while :; do :; done"],
                "resources": {"limits": {"cpu": "100m", "memory": "32Mi"}},
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 0,
    },
}
CELLS = (
    "[...document.querySelectorAll('#pod-table tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with chromium(tmp_path) as found:
        await found.look(1280, 900)
        yield found


async def started(node: NodeUnderTest, listen: str = "127.0.0.1:0") -> asyncio.subprocess.Process:  # noqa: F811
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nodeagent", "dashboard", f"--kubeconfig={node.kubeconfig}", f"--listen={listen}"),
        cwd=REPO,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def url_of(dashboard: asyncio.subprocess.Process) -> str:
    assert dashboard.stdout is not None
    line = (await asyncio.wait_for(dashboard.stdout.readline(), 30)).decode()
    found = re.fullmatch(r"The node is at (http://127\.0\.0\.1:\d+/[\w-]{22}/) \(stop: Ctrl-C\)\n", line)
    assert found, line
    return found[1]


def event() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "hostile", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "busy"},
        "type": "Warning",
        "reason": "Odd",
        "message": HOSTILE,
        "lastTimestamp": "2099-01-01T00:00:00Z",
    }


async def test_a_real_node(node: NodeUnderTest, page: Page) -> None:  # noqa: F811
    """The node, its pods with use that moves, its runtimes, events as text, volumes; by keyboard, and as narrow as a phone.

    Nothing is asked of anything but the dashboard, and the console says nothing. Who has the wrong Host, no secret, or wants
    to write is refused; so is a port that is taken. SIGTERM ends it with 0.
    """
    await asyncio.to_thread(node.apply, BUSY, event())
    dashboard = await started(node)
    try:
        url = await url_of(dashboard)
        await page.open(url)
        busy = "[...document.querySelectorAll('#pod-table tbody tr')].find((row) => row.innerText.startsWith('busy'))"
        await page.until(f"(row => row && row.querySelectorAll('.spark path').length === 2)({busy})")
        await assert_shown(page, node.name)
        await assert_by_keyboard(page)
        await page.look(390, 800)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.complaints == []
        assert {request.startswith(url) or request == "data:," for request in page.requests} == {True}, page.requests
        await assert_refused(url, dashboard, node)
    finally:
        dashboard.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(dashboard.communicate(), 30)
    assert (dashboard.returncode, errors) == (0, b"")


async def assert_shown(page: Page, name: str) -> None:
    assert await page.evaluate("[document.title, document.querySelector('#state').textContent]") == [
        f"{name} · nodeagent",
        "Ready",
    ]
    (row,) = [cells for cells in await page.evaluate(CELLS) if cells[0].startswith("busy")]
    assert row[:3] == ["busy\ndefault", "Running\n1/1 ready", "default"]
    assert re.fullmatch(r"\d+ m", row[4]), row
    assert re.fullmatch(r"[\d.]+ [KM]iB", row[5]), row
    signals = await page.evaluate(
        "[...document.querySelectorAll('#distance tbody tr')].map((row) => row.cells[0].innerText)"
    )
    assert {"memory.available", "nodefs.available", "nodefs.inodesFree"} <= set(signals)
    assert await page.evaluate("document.querySelectorAll('#charts figure:not([hidden]) .curve').length") >= 5
    assert await page.evaluate("document.querySelectorAll('#charts .limit').length") >= 3
    runtimes = await page.evaluate("[...document.querySelectorAll('#runtimes h3')].map((title) => title.innerText)")
    assert "runc (default)\nrunning" in runtimes
    assert "scratch" in await page.evaluate("document.querySelector('#volumes tbody').innerText")
    first = await page.evaluate("[...document.querySelector('#events li').children].map((part) => part.textContent)")
    assert first[1:] == ["Odd", "Pod busydefault", HOSTILE]
    assert await page.evaluate("document.querySelectorAll('main img, main script').length") == 0


async def assert_by_keyboard(page: Page) -> None:
    """A chart's cursor moves; from the filter the next stop but one is the button that sorts by name."""
    await page.evaluate("document.querySelector('#charts svg').focus()")
    await page.press("ArrowLeft")
    assert await page.evaluate("document.querySelectorAll('#charts .cursor').length") == 1
    await page.evaluate("document.getElementById('filter').focus()")
    await page.press("Tab")
    await page.press("Tab")
    await page.press("Enter")
    sorted_by = "document.querySelector('#pod-table th[aria-sort]')"
    assert await page.evaluate(f"[{sorted_by}.dataset.key, {sorted_by}.ariaSort]") == ["name", "ascending"]


async def assert_refused(url: str, dashboard: asyncio.subprocess.Process, node: NodeUnderTest) -> None:  # noqa: F811
    base, port = "/".join(url.split("/")[:3]), int(url.split("/")[2].rpartition(":")[2])
    async with aiohttp.ClientSession() as session:

        async def status(method: str, path: str, **headers: str) -> int:
            async with session.request(method, path, headers=headers) as answer:
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
                return answer.status

        async with session.get(f"{url}data") as answer:
            tag = answer.headers["ETag"]
        assert await status("GET", f"{url}data", **{"If-None-Match": tag}) in (304, 200)
        assert await status("GET", url, Host=f"evil.example:{port}") == 421
        assert await status("GET", f"{base}/data") == 404
        assert await status("GET", f"{base}/{'x' * 22}/data") == 404
        assert await status("GET", f"{url}../page.js") == 404
        assert [await status(method, f"{url}data") for method in ("POST", "PUT", "DELETE")] == [405] * 3
    with socket.socket() as elsewhere:  # it listens on 127.0.0.1 alone
        assert elsewhere.connect_ex(("127.0.0.2", port)) != 0
    second = await started(node, f"127.0.0.1:{port}")
    out, errors = await asyncio.wait_for(second.communicate(), 30)
    assert (second.returncode, out, errors.count(b"\n")) == (2, b"", 1)
    assert f"cannot listen on 127.0.0.1 port {port}: ".encode() in errors


class HostileLooks:
    """A document whose every text is hostile."""

    async def document(self) -> tuple[str, bytes]:
        spark = {
            "cpu": [1, 2],
            "memory": [1, 2],
            "cpu_millicores": 1,
            "memory_bytes": 1,
            "disk_bytes": 1,
            "processes": 1,
        }
        pod = (
            dict.fromkeys(("namespace", "name", "status", "ready", "runtime", "age"), HOSTILE) | {"restarts": 0} | spark
        )
        threshold = {"signal": HOSTILE, "hard": True, "available": 1, "threshold": 2, "capacity": 3, "distance": -1}
        shown: dict[str, Any] = {
            "ready": False,
            "pressures": [HOSTILE],
            "thresholds": [threshold],
            "stalls": {},
            "cpus": 1,
        }
        shown |= dict.fromkeys(
            ("cpu_millicores", "memory_bytes", "memory_total_bytes", "processes", "max_processes"), 1
        )
        volume = dict.fromkeys(("name", "pod", "namespace", "claim"), HOSTILE) | {"used_bytes": 1, "capacity_bytes": 2}
        happening = dict.fromkeys(("type", "reason", "about", "namespace", "message"), HOSTILE) | {"at": 0, "count": 2}
        runtime: dict[str, Any] = dict.fromkeys(("name", "state", "reason"), HOSTILE)
        found = {
            "name": HOSTILE,
            "error": HOSTILE,
            "seen_at": 10,
            "node": shown,
            "about": {"words": [HOSTILE], "message": HOSTILE},
            "history": {"times": [1, 2], "series": {"cpu": [1, 2]}},
            "pods": [pod],
            "volumes": [volume],
            "events": [happening],
            "events_unknown": HOSTILE,
            "parts_unknown": HOSTILE,
            "troubles": [{"name": HOSTILE, "state": HOSTILE, "reason": HOSTILE}],
            "runtimes": [runtime | {"features": [HOSTILE], "default": True, "pods": 1}],
        }
        return '"1"', json.dumps(found).encode()


async def test_hostile_names(page: Page) -> None:
    """Whatever a text says, it is shown as it is written: no element comes of it, no script runs, nothing is asked for."""
    looks: Any = HostileLooks()
    runner = web.AppRunner(application(looks, "secret"))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/secret/"
        await page.open(url)
        await page.until("document.querySelectorAll('#events li').length")
        assert (
            await page.evaluate("document.querySelector('#alarm').textContent")
            == f"The node does not answer: {HOSTILE}"
        )
        assert await page.evaluate("document.title") == f"{HOSTILE} · nodeagent"
        shown = "document.body.textContent.split('onerror=').length - 1"
        assert await page.evaluate(shown) >= 25
        assert await page.evaluate("document.querySelectorAll('img, body script').length") == 0
        assert {request.removeprefix(url) for request in page.requests} - {"data:,"} == {
            *("", "page.css", "page.js", "charts.js", "elements.js", "data")
        }
        assert page.complaints == []
    finally:
        await runner.cleanup()
