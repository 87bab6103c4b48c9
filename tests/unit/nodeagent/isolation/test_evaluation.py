"""Judging, what sections are asked for, and what becomes of an experiment."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from nodeagent.isolation.bounds import limits
from nodeagent.isolation.contract import Experiment, Finding, Group, Probe, Risk, Sight, Stage, StageError, Verdict
from nodeagent.isolation.evaluation import filled, host_sections, judged, tried
from nodeagent.isolation.groups.registry import GROUPS
from nodeagent.isolation.probe.output import merged


def probe(judge: object) -> Probe:
    return Probe(id="g.p", title="t", risk=Risk.LOW, why="w", judge=judge)  # type: ignore[arg-type]


def test_a_probe_that_cannot_say_has_failed() -> None:
    """Facts come out of a pod and may be anything: the finding says what was wrong with them, and the others go on."""

    def raises(_: Sight) -> Finding:
        return Finding(probe="g.p", verdict=Verdict.OPEN, value=str(int("many")))

    found = judged(probe(raises), Sight(own={}))
    assert (found.verdict, found.probe) == (Verdict.FAILED, "g.p")
    assert "invalid literal" in found.evidence


def test_facts_that_say_nothing_give_no_verdict() -> None:
    """Empty, an error, the wrong types: FAILED, and no exception; never open or blocked out of thin air."""
    names = {section.partition("=")[0] for group in GROUPS for section in group.sections}
    errors = {name: {"error": "hung"} for name in names}
    strange = {name: {"status": 3, "nodes": "x", "some": 1} for name in names}
    for group in GROUPS:
        for each in group.probes:
            assert [judged(each, Sight(own=facts, host={})).verdict for facts in ({}, errors)] == [Verdict.FAILED] * 2
            found = judged(each, Sight(own=strange, host=strange))
            assert found.probe == each.id
            assert found.verdict in (Verdict.FAILED, Verdict.NOT_APPLICABLE, Verdict.MEASURED), found


def test_ids_are_unique_and_of_their_group() -> None:
    """They are in reports, and in --only."""
    ids = [each.id for group in GROUPS for each in group.probes]
    assert len(set(ids)) == len(ids)
    assert all(each.id.startswith(f"{group.name}.") for group in GROUPS for each in group.probes)


def test_placeholders() -> None:
    """A whole word before a colon or by itself; files keep theirs."""
    places = {"NEIGHBOUR": "NEIGHBOUR@10.1.2.3", "NODE": "NODE@10.9.9.9", "WORD": "w"}
    assert filled("reach=NEIGHBOUR:7777,NODE:1", places) == "reach=NEIGHBOUR@10.1.2.3:7777,NODE@10.9.9.9:1"
    assert filled("network=WORD", places) == "network=w"
    assert filled("files=/proc/NODE", places) == "files=/proc/NODE"
    assert filled("clocks", places) == "clocks"


def test_the_host_is_not_asked_about_pods() -> None:
    """Nor for its environment, which may hold secrets."""
    group = Group(name="g", title="", probes=(), sections=("reach=NODE:1", "network=WORD", "environment", "files=/a"))
    assert merged(host_sections([group])) == ("network", "files=/a")


def test_what_it_may_use_of_a_machine() -> None:
    """Nine tenths of the processors, half of the memory and never more than 6 GiB."""
    small, large = limits(2, 4 * 2**30), limits(64, 512 * 2**30)
    assert (small.cpu_quota_us, small.memory_limit_bytes, small.pids_limit) == (180_000, 2 * 2**30, 4096)
    assert large.memory_limit_bytes == 6 * 2**30


class Trial(Experiment):
    """An experiment that does `work`, and has no need of a stage."""

    name = about = "trial"

    def __init__(self, work: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self.work = work

    async def run(self, stage: Stage) -> Mapping[str, Any]:
        return await self.work()


async def test_an_experiment_that_cannot_read_its_pods_has_failed() -> None:
    """What a pod has written may be anything: the facts say what was wrong, and the other experiments go on."""
    answers: list[Mapping[str, Any]] = [{}]

    async def reads() -> Mapping[str, Any]:
        return {"begin": answers[0]["begin"]}

    async def refused() -> Mapping[str, Any]:
        raise StageError("pod x: refused")

    stage = cast(Stage, None)
    assert await tried(Trial(reads), stage) == {"error": "KeyError: 'begin'"}
    assert await tried(Trial(refused), stage) == {"error": "pod x: refused"}


async def test_a_clean_up_that_fails_does_not_hide_a_cancellation() -> None:
    """A pod that does not stop after Ctrl-C is no reason to go on with the next experiment."""
    begun = asyncio.Event()

    async def stays() -> Mapping[str, Any]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise StageError("pod x: does not stop")

    task = asyncio.create_task(tried(Trial(stays), cast(Stage, None)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
