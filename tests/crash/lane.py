"""Runs cases on one node, one after the other (those that strike one pod only: side by side), and judges them.

Every case ends with the same questions: did the pod come to the status that it comes to without a fault; did its processes
begin as often as they may; does an agent that is started again find all as it was; and is nothing left once it is deleted?
A witness, a pod that no fault ever strikes, must live through everything unchanged.
"""

import contextlib
import functools
import http.client
import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.crash import faults
from tests.crash.cases import STORY, Case
from tests.crash.crash_node import CrashNode, until
from tests.crash.faults import Fault
from tests.crash.scenarios import SCENARIOS, summary
from tests.crash.stories import STORIES, Story

# where a failure, told after the process began, means a restart by the rules
_MAY_RUN_TWICE = frozenset({"start", "start-program", "post-start", "container-record"})
_SETTLED_SECONDS = 1.0
_counter = itertools.count(1)


@dataclass(slots=True, kw_only=True)
class Result:
    case: Case
    seconds: float
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(slots=True)
class _Struck:
    """One case under way."""

    case: Case
    fault: Fault
    pod: str  # the name of the pod object; a static pod's carries the node's
    begin: float
    problems: list[str] = field(default_factory=list)
    created: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """Under which a container leaves its lines."""
        return self.pod


class Lane:
    """One node and what is known of it."""

    def __init__(self, node: CrashNode, seed: int) -> None:
        self.node = node
        self._seed = seed
        self._baselines: dict[str, dict[str, Any]] = {}
        self._witness: dict[str, Any] = {}
        self._clean: set[str] = set()

    # -- set-up ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent and the witness, and remember what the machine looks like with nothing but it."""
        node = self.node
        node.start()
        node.create(SCENARIOS["plain"].build(node, "witness"))
        self._witness = until(lambda: self._ends("witness", "plain"), "the witness runs")
        self._clean = set(node.pod_leaks())

    def _baseline(self, scenario: str) -> dict[str, Any]:
        """The status without a fault, learned once."""
        if scenario not in self._baselines:
            name = self._create(scenario)
            self._baselines[scenario] = summary(
                until(lambda: self._ends(name, scenario), f"{scenario} without a fault")
            )
            self._remove(scenario, name)
            self._wait_gone([name])
        return self._baselines[scenario]

    def _create(self, scenario: str, fault: Callable[[str], Fault] | None = None) -> str:
        """Make a pod; its name in the API."""
        node, found = self.node, SCENARIOS[scenario]
        name = f"{scenario}-{next(_counter)}"
        shown = f"{name}-{node.name}" if found.static else name
        if fault is not None:
            node.arm(fault(shown))
        body = found.build(node, name)
        if found.static:
            temporary = node.directory / f"{name}.yaml"
            temporary.write_text(yaml.safe_dump(body))
            temporary.rename(node.directory / "manifests" / f"{name}.yaml")
        else:
            node.create(body)
        return shown

    def _remove(self, scenario: str, name: str) -> None:
        if SCENARIOS[scenario].static:
            (self.node.directory / "manifests" / f"{name.removesuffix(f'-{self.node.name}')}.yaml").unlink()
        else:
            self.node.delete(name)

    def _ends(self, name: str, scenario: str) -> dict[str, Any] | None:
        found = self.node.find(name)
        return found if found is not None and SCENARIOS[scenario].ends(found) else None

    # -- cases -------------------------------------------------------------------------------------------------------

    def run(self, cases: list[Case]) -> Iterator[Result]:
        """The results of a group: either one case that is alone, or some of the same way that are not."""
        if cases[0].scenario == STORY:
            yield self._tell(cases[0])
            return
        for case in cases:
            self._baseline(case.scenario)
        begun = [self._begin(case) for case in cases]
        try:
            for item in begun:
                with _problems(item):
                    self._strike(item)
            for item in begun:
                with _problems(item):
                    self._recover(item)
            if begun[0].case.way != "down":
                self._restart(begun)
            for item in begun:
                with _problems(item):
                    self._end(item)
        finally:
            self._finish(begun)
        for item in begun:
            yield Result(case=item.case, seconds=time.monotonic() - item.begin, problems=item.problems)

    def _tell(self, case: Case) -> Result:
        """A story, from its pods to their end."""
        node, begin = self.node, time.monotonic()
        story = Story(
            node=node,
            mode=case.mode,
            name=f"story-{next(_counter)}",
            random=random.Random(f"{self._seed} {case.id}"),
        )
        problems: list[str] = []
        try:
            STORIES[case.point][0](story)
            for name in story.made:
                node.delete(name)
            self._wait_gone(story.made)
            self._unchanged("witness", self._witness)
        except (AssertionError, OSError, KeyError, TypeError, http.client.HTTPException) as error:
            problems.append(f"{type(error).__name__}: {error}")
        return Result(case=case, seconds=time.monotonic() - begin, problems=problems)

    def _begin(self, case: Case) -> _Struck:
        """Make the case's pod, with its fault where that strikes on the way up."""
        made: list[Fault] = []

        def fault(pod: str) -> Fault:
            made.append(
                Fault(
                    id=f"{next(_counter)}",
                    pod="" if case.way == "back" else pod,
                    point=case.point,
                    mode=case.mode,
                    nth=case.nth,
                    delay_seconds=case.delay_seconds(self._seed),
                )
            )
            return made[0]

        begin = time.monotonic()
        name = self._create(case.scenario, fault if case.way == "up" else None)
        return _Struck(case=case, fault=made[0] if made else fault(name), pod=name, begin=begin)

    def _strike(self, item: _Struck) -> None:
        """Bring the fault about, where it is not on its way already, and see it strike."""
        node, case = self.node, item.case
        if case.way != "up":
            item.before = until(lambda: self._ends(item.pod, case.scenario), "the pod runs")
            if case.point == "back-half":
                self._half_make()
            node.arm(item.fault)
            if case.way == "down":
                # an API that dies of it may have done it and not said so: the fault has then struck
                lost = (OSError, http.client.HTTPException) if case.mode == faults.API_KILL else ()
                with contextlib.suppress(*lost):
                    self._remove(case.scenario, item.pod)
            else:
                node.kill()
                node.revive()
        if case.alone:
            self._struck(item)

    def _half_make(self) -> None:
        """Have the agent die while it makes a container of another pod."""
        name = self._create(
            "plain", lambda pod: Fault(id=f"{next(_counter)}", pod=pod, point="bundle", mode=faults.KILL_AFTER)
        )
        until(lambda: not self.node.alive(), f"the agent dies while it makes {name}")
        self.node.agent = None
        self.node.delete(name, 0)

    def _struck(self, item: _Struck) -> None:
        node, mode = self.node, item.case.mode
        until(lambda: node.struck(item.fault), "the fault strikes", 30)
        if mode in faults.KILLS:
            until(lambda: not node.alive(), "the agent ends")
            item.created = self._seen(item.pod)
            node.revive()
        elif mode in faults.OUTAGES:
            time.sleep(faults.OUTAGE_SECONDS)
            if mode == faults.API_KILL:
                node.stop_api(signal.SIGKILL)
                node.start_api()
        elif mode == faults.DELETE:
            node.delete(item.pod)

    def _seen(self, pod: str) -> dict[str, Any]:
        """The ids of the containers that the API knows to run at this moment: they may not change any more."""
        found = self.node.find(pod) or {"status": {}}
        return {
            status["name"]: status["containerID"]
            for status in found["status"].get("containerStatuses", [])
            if "running" in status["state"]
        }

    def _recover(self, item: _Struck) -> None:
        """See the pod come to its end in spite of the fault."""
        node, case = self.node, item.case
        if not case.alone:
            self._struck(item)
        if case.way == "down" or case.mode == faults.DELETE:
            return
        wanted = self._baseline(case.scenario)
        last: dict[str, Any] = {}

        def as_without_fault() -> dict[str, Any] | None:
            nonlocal last
            if not node.alive():
                raise AssertionError(f"the agent ended by itself, {node.status()}:\n{node.log()[-2000:]}")
            found = node.find(item.pod)
            last = found or {}
            return found if found and found["status"].get("conditions") and summary(found) == wanted else None

        try:
            found = until(as_without_fault, "the status of a pod without the fault", 45)
            if case.mode in (faults.CANCEL, faults.CANCEL_TWICE) and case.point in _MAY_RUN_TWICE:
                # the start that was given up may have been seen to run, before its container is removed and made anew
                time.sleep(_SETTLED_SECONDS)
                found = until(as_without_fault, "the status of a pod without the fault", 45)
        except AssertionError as error:
            got = summary(last) if last.get("status", {}).get("conditions") else last
            raise AssertionError(f"{str(error).partition(';')[0]}; {_difference(wanted, got)}") from None
        for status in found["status"].get("containerStatuses", []):
            if (
                case.scenario != "crash"
                and item.created.get(status["name"], status["containerID"]) != status["containerID"]
            ):
                raise AssertionError(f"container {status['name']} ran already and was replaced")
        self._check_counts(item, found)
        item.before = found

    def _check_counts(self, item: _Struck, found: dict[str, Any]) -> None:
        """How often processes began: once where only the agent died; never more often than the status tells."""
        status = found["status"]
        killed = item.case.mode in (*faults.KILLS, *faults.OUTAGES)
        for entry in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
            name, count = entry["name"], entry["restartCount"]
            # started is told when the process begins, and its line is written a moment later
            until(functools.partial(self.node.times_ran, item.file_name, name), f"{name} begins", 10)
            ran = self.node.times_ran(item.file_name, name)
            if item.case.scenario == "crash":
                # a start that failed is counted, and its process may not have begun
                failed_start = not killed and item.case.point in _MAY_RUN_TWICE
                fits = count <= ran <= count + 1 if failed_start else ran == count + 1
                assert fits, f"{name} ran {ran} times, and its restart count is {count}"
            elif killed or item.case.point not in _MAY_RUN_TWICE:
                assert (ran, count) == (1, 0), f"{name} ran {ran} times, and its restart count is {count}"
            else:
                assert 1 <= ran <= count + 1, f"{name} ran {ran} times, and its restart count is {count}"

    def _restart(self, items: list[_Struck]) -> None:
        """kill -9, and again: the next agent finds everything as it was. The last one has been killed where it was alone."""
        if items[0].case.mode in faults.KILLS and items[0].case.way == "up":
            return
        self.node.kill()
        self.node.start()
        for item in items:
            if item.case.mode == faults.DELETE or item.problems or item.case.scenario == "crash":
                continue
            with _problems(item):
                self._unchanged(item.pod, item.before)

    def _unchanged(self, name: str, before: dict[str, Any]) -> None:
        after = self.node.find(name)
        assert after is not None, f"pod {name} is gone"
        assert _identity(after) == _identity(before), f"{name}: {_identity(before)} became {_identity(after)}"

    def _end(self, item: _Struck) -> None:
        """Delete the pod, where the fault was not about that, and see it go."""
        if item.case.way != "down" and item.case.mode != faults.DELETE:
            self._remove(item.case.scenario, item.pod)

    def _finish(self, items: list[_Struck]) -> None:
        """All is gone, nothing is left, and the witness has noticed nothing."""
        node = self.node
        for item in items:
            with _problems(item):
                if node.find(item.pod) is not None and item.problems and not SCENARIOS[item.case.scenario].static:
                    node.delete(item.pod)
        with _problems(*items):
            self._wait_gone([item.pod for item in items])
            self._unchanged("witness", self._witness)
            assert node.times_ran("witness", "c") == 1, "the witness began again"
        node.disarm()

    def _wait_gone(self, names: list[str]) -> None:
        node = self.node
        left: list[str] = []

        def nothing_left() -> bool:
            nonlocal left
            if not node.alive():
                raise AssertionError(f"the agent ended by itself, {node.status()}:\n{node.log()[-2000:]}")
            left = [f"pod {name}" for name in names if node.find(name) is not None]
            left = left or sorted(set(node.pod_leaks()) - self._clean)
            return not left

        try:
            until(nothing_left, "nothing is left", 120)
        except AssertionError as error:
            raise AssertionError(f"{str(error).partition(';')[0]}: {left}") from None


@contextlib.contextmanager
def _problems(*items: _Struck) -> Iterator[None]:
    """What goes wrong is a case's result, not the end of the lane."""
    try:
        yield
    except (AssertionError, OSError, KeyError, TypeError) as error:
        for item in items:
            item.problems.append(
                f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error)
            )


def _identity(found: dict[str, Any]) -> tuple[Any, ...]:
    status = found["status"]
    containers = (*status.get("initContainerStatuses", []), *status.get("containerStatuses", []))
    return (
        status.get("phase"),
        status.get("podIP"),
        tuple(
            (item["name"], item.get("containerID"), item["restartCount"], sorted(item["state"])) for item in containers
        ),
    )


def _difference(wanted: dict[str, Any], got: dict[str, Any]) -> str:
    return "; ".join(
        f"{key}: wanted {wanted.get(key)}, is {got.get(key)}"
        for key in dict.fromkeys((*wanted, *got))
        if wanted.get(key) != got.get(key)
    )
