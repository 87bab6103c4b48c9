"""The page of a report, looked at in a headless Chromium."""

import os
from pathlib import Path

import pytest
from browser import chromium
from components import needs
from tester_records import record, run

from nodeagent.testers.record import Verdict
from nodeagent.testers.report import html

pytestmark = [pytest.mark.node, pytest.mark.asyncio, needs("chromium")]
HOSTILE = "<img src=http://127.0.0.1:1/x onerror=alert(1)><script>document.title = 'taken'</script></style></svg>"


async def test_a_page_of_its_own(tmp_path: Path) -> None:
    """It asks for nothing but itself, and complains of nothing; what plugins said is text; each check has a row and a bar."""
    records = [
        record("D1"),
        record("D2", Verdict.FAILED, reason=HOSTILE, evidence=HOSTILE, reproduce=HOSTILE, title=HOSTILE, seconds=2.0),
        record("T1", figures={HOSTILE: 1.5}),
    ]
    file = tmp_path / "report.html"
    file.write_text(html.write(run(*records)))
    async with chromium(tmp_path) as page:
        await page.look(1000, 900)
        await page.open(file.as_uri())
        await page.until("document.readyState === 'complete' && !!document.querySelector('#checks')")
        assert await page.evaluate("document.title") == "cni: mine"
        assert await page.evaluate("document.querySelectorAll('#checks tbody tr').length") == 3
        assert await page.evaluate("document.querySelectorAll('img, script').length") == 0
        assert HOSTILE in await page.evaluate("document.querySelector('details pre').textContent")
        widths = await page.evaluate("[...document.querySelectorAll('rect')].map(bar => bar.getBBox().width)")
        assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)
        sideways = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        for width in (1000, 400):
            await page.look(width, 900)
            assert not await page.evaluate(sideways)
        if picture := os.environ.get("NODEAGENT_PICTURES"):
            await page.look(1000, 900)
            await page.screenshot(Path(picture) / "testers.png")
        assert (page.requests, page.complaints) == ([file.as_uri()], [])
