"""What whoever asks a hollow node for something reads."""

from pathlib import Path

import aiohttp

from nodeagent.hollow.endpoint import HollowEndpoint


async def test_every_page_says_that_there_is_nothing(tmp_path: Path) -> None:
    """Over HTTPS, for any method and an upgrade, too: 501 and why, in words of what was asked for."""
    endpoint = HollowEndpoint()
    port = await endpoint.start("127.0.0.1", tmp_path)
    told = {}
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
            for method, path, upgrade in (
                ("GET", "/containerLogs/default/p/main?follow=true", False),
                ("POST", "/exec/default/p/main?command=sh", True),
                ("POST", "/portForward/default/p", True),
                ("GET", "/stats/summary", False),
            ):
                headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"} if upgrade else {}
                async with session.request(method, f"https://127.0.0.1:{port}{path}", headers=headers) as answer:
                    assert answer.status == 501
                    told[path.split("/")[1]] = await answer.text()
    finally:
        await endpoint.stop()
    why = "this pod is one of a fleet of `nodeagent hollow`, runs nothing, and "
    assert told == {
        "containerLogs": why + "has no log",
        "exec": why + "there is nothing to enter",
        "portForward": why + "nothing listens",
        "stats": "this node is one of a fleet of `nodeagent hollow`, and has nothing to show here",
    }
