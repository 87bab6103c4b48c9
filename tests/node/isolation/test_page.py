"""The page of an evaluation, looked at in a headless Chromium."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Page, chromium
from components import needs
from isolation_reports import HOST_COLUMN, HOSTILE, RUNC, finding, hostile, report, with_findings

from nodeagent.isolation.report.comparison import compare
from nodeagent.isolation.report.html import write as html

pytestmark = [pytest.mark.node, pytest.mark.asyncio, needs("chromium")]

SHOWN = HOSTILE.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")
OPEN_PAIRS = (
    "[...document.querySelectorAll('.pair')].filter(one => one.open && !one.hidden).map(one => one.dataset.pair)"
)


async def visible(page: Page, selector: str) -> int:
    found: int = await page.evaluate(
        f"[...document.querySelectorAll({selector!r})].filter(one => one.checkVisibility()).length"
    )
    return found


async def choose(page: Page, left: str, right: str) -> None:
    for name, value in (("left", left), ("right", right)):
        await page.evaluate(f"(one('{name}').value = '{value}', one('{name}').onchange())")


async def test_two_are_compared_and_probes_found(tmp_path: Path) -> None:
    """Scores first, then the pair with the most differences; any other two can be chosen; a word narrows the probes."""
    file = tmp_path / "report.html"
    worse = report(HOST_COLUMN, with_findings(RUNC, finding("surface.bpf")), *report().columns[2:])
    file.write_text(html.write(report(), comparison=compare(worse, report())))
    async with chromium(tmp_path) as page:
        await page.look(1000, 900)
        await page.open(file.as_uri())
        await page.until("document.readyState === 'complete' && !!document.querySelector('#matrix')")
        rows = await page.evaluate("[...document.querySelectorAll('#matrix tbody tr')].map(row => row.innerText)")
        assert rows[0].split() == ["Attack", "surface", "0", "75", "94", "(1", "failed)", "-"]
        assert "better\trunc\tsurface.bpf\topen\tblocked (seccomp)" in await page.evaluate(
            "document.querySelector('#changes').innerText"
        )
        assert await page.evaluate(OPEN_PAIRS) == ["1 2"]
        told = "[...document.querySelectorAll('.pair:not([hidden]) tbody tr')].map(row => row.lastChild.innerText)"
        assert await page.evaluate(told) == [
            "gvisor gives less away",
            "runc costs less (95 times)",
            "blocked by something else",
            "of another kind",
        ]
        await choose(page, "1", "0")
        assert await page.evaluate(OPEN_PAIRS) == ["0 1"]
        await choose(page, "1", "1")
        assert (await page.evaluate(OPEN_PAIRS), await visible(page, "#same")) == ([], 1)
        await page.evaluate("(one('search').value = 'RAW net_raw', one('search').oninput())")
        assert await visible(page, ".probe") == 1
        await page.evaluate("location.hash = '#surface.bpf'")
        assert await page.until("one('surface.bpf').open && one('surface.bpf').checkVisibility()")
        drawn = await page.evaluate(
            "[...document.querySelectorAll('figure')].map(one => one.innerText.split('\\n')[0])"
        )
        assert drawn == ["a system call, ns (logarithmic)", "requests, 1/s"]
        places = await page.evaluate("[...document.querySelectorAll('.median')].map(line => +line.getAttribute('x1'))")
        assert places[0] < places[1] and places[2] > places[3]
        if picture := os.environ.get("NODEAGENT_PICTURES"):
            await page.screenshot(Path(picture) / "isolation.png")
        await nothing_else(page, file)


async def test_hostile_texts_without_a_script(tmp_path: Path) -> None:
    """What pods said is text; with scripts refused, every pair and every probe is there to be opened."""
    file = tmp_path / "report.html"
    bad = hostile()
    old = replace(bad, machine={HOSTILE: "1"}, columns=tuple(replace(each, findings=()) for each in bad.columns))
    file.write_text(html.write(bad, comparison=compare(old, bad)))
    async with chromium(tmp_path) as page:
        await page.call("Emulation.setScriptExecutionDisabled", value=True)
        await page.open(file.as_uri())
        await page.until("document.readyState === 'complete' && !!document.querySelector('#matrix')")
        assert SHOWN in await page.evaluate("document.querySelector('.probe b').textContent")
        assert SHOWN in await page.evaluate("document.title")
        assert await page.evaluate("document.querySelectorAll('img').length") == 0
        assert await page.evaluate("document.querySelectorAll('script').length") == 1
        assert (await visible(page, ".pair summary"), await visible(page, ".probe summary")) == (3, 5)
        assert await visible(page, "#choice, #searching") == 0
        for width in (1000, 400):
            await page.look(width, 900)
            assert not await page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        await nothing_else(page, file)


async def nothing_else(page: Page, file: Path) -> None:
    """It has asked for nothing but itself, and its console complains of nothing."""
    assert {url.partition("#")[0] for url in page.requests} == {file.as_uri()}
    assert page.complaints == []
