"""/statusz, as components of a cluster answer it, with the agent's parts."""

import json
import platform
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from nodeagent.assembly.board import PartState, PartStatus
from nodeagent.server.statusz import STRUCTURED, Statusz
from nodeagent.version import agent_version

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PARTS = (
    PartStatus(name="pods", state=PartState.RUNNING, since=START),
    PartStatus(name="server", state=PartState.SKIPPED, since=START, reason="enableServer: false"),
)


async def answer(accept: str | None) -> web.Response:
    page = Statusz(lambda: PARTS, started_at=START, now=lambda: START + timedelta(hours=25, minutes=2, seconds=3))
    application = web.Application()
    application.add_routes([*page.routes(), web.get("/pods", page.show), web.get("/pods/", page.show)])
    application.add_routes([web.get("/logs/{path}", page.show)])
    headers = {"Accept": accept} if accept is not None else {}
    return await page.show(make_mocked_request("GET", "/statusz", headers=headers, app=application))


TEXT = f"""
nodeagent statusz
Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging \
purposes only.

Started: Fri Jan  2 03:04:05 UTC 2026
Up: 25 hr 02 min 03 sec
Python version: {platform.python_version()}
Binary version: {agent_version()}
Emulation version: 1.36.0
Paths: /pods /statusz
Parts:
  pods: running since 2026-01-02T03:04:05Z
  server: skipped since 2026-01-02T03:04:05Z: enableServer: false
""".replace("\\\n", "")


@pytest.mark.parametrize("accept", [None, "", "text/plain", "text/*", "*/*", "image/png, text/plain;q=0.5"])
async def test_the_text(accept: str | None) -> None:
    """What a component-base page says, then a line a part."""
    found = await answer(accept)
    assert (found.status, found.content_type, found.text) == (200, "text/plain", TEXT)


@pytest.mark.parametrize("accept", [STRUCTURED, "application/json; as=Statusz; g=config.k8s.io; v=v1alpha1;q=0.9"])
async def test_the_document(accept: str) -> None:
    """The fields of config.k8s.io/v1alpha1, and `parts`."""
    found = await answer(accept)
    assert (found.status, found.content_type) == (200, "application/json")
    assert json.loads(found.text or "") == {
        "kind": "Statusz",
        "apiVersion": "config.k8s.io/v1alpha1",
        "metadata": {"name": "nodeagent"},
        "startTime": "2026-01-02T03:04:05Z",
        "uptimeSeconds": 25 * 3600 + 123,
        "pythonVersion": platform.python_version(),
        "binaryVersion": agent_version(),
        "emulationVersion": "1.36.0",
        "paths": ["/pods", "/statusz"],
        "parts": [
            {"name": "pods", "state": "running", "since": "2026-01-02T03:04:05Z"},
            {
                "name": "server",
                "state": "skipped",
                "since": "2026-01-02T03:04:05Z",
                "reason": "enableServer: false",
            },
        ],
    }


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json;v=v1;g=config.k8s.io;as=Statusz", "application/yaml", "text/html"]
)
async def test_what_is_not_acceptable(accept: str) -> None:
    """JSON needs all three parameters; there is nothing else."""
    assert (await answer(accept)).status == 406
