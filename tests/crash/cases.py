"""The matrix: which fault strikes which pod where. Ordered, named, and the same for the same seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.crash import faults
from tests.crash.faults import BY_NAME, POINTS, Point
from tests.crash.stories import STORIES

STORY = "story"

# A container of a pod that is not restarted fails for good when its creation or start does: another end, by the rules.
_FINAL_FAILURES = frozenset(
    {"create", "start", "start-program", "conmon", "container-record", "overlay", "bundle", "images"}
)
_OF_CLAIMS = ("claim", "hold", "stage", "publish", "unpublish", "unstage", "release")
_SPECIAL = frozenset({"empty-dir", "config-map", "post-start", "pre-stop", "pull", "fetch", "unpack", *_OF_CLAIMS})
_STARTING = ("images", "create", "overlay", "bundle", "conmon", "container-record", "start", "start-program", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. With the scenario "story", `point` is the name of one of `stories.STORIES`, and `mode` its way."""

    scenario: str
    point: str
    mode: str
    nth: int = 1

    @property
    def id(self) -> str:
        return f"{self.scenario}/{self.point}/{self.mode}" + (f"@{self.nth}" if self.nth > 1 else "")

    @property
    def way(self) -> str:
        if self.scenario == STORY:
            return STORY
        if self.point in ("exit", "exit-cleared") and self.scenario in ("crash", "job"):
            return "up"
        return BY_NAME[self.point].way

    @property
    def alone(self) -> bool:
        """Whether the fault is the whole agent's, and so no other case may run beside it."""
        return self.mode in faults.KILLS or self.mode in faults.OUTAGES or self.way in ("back", STORY)

    def delay_seconds(self, seed: int) -> float:
        """How long after the work began a fault in its middle strikes."""
        return random.Random(f"{seed} {self.id}").choice((0.0, 0.001, 0.004, 0.012, 0.03))


def all_cases() -> list[Case]:
    return list(dict.fromkeys(_cases()))


def _cases() -> Iterator[Case]:
    for name, (_, modes) in STORIES.items():
        yield from (Case(scenario=STORY, point=name, mode=mode) for mode in modes)
    for point in POINTS:
        if point.name not in _SPECIAL:
            yield from _each("plain", point)
    for name in ("empty-dir", "config-map", "volumes", "cni-add", "cni-plugin", "unmount", "cni-del", "cni-plugin-del"):
        yield from _each("volumes", BY_NAME[name])
    for name in (*_OF_CLAIMS, "unmount"):
        yield from _each("claim", BY_NAME[name])
    for name in ("post-start", "start", "pre-stop", "kill-pod", "stop-container"):
        yield from _each("hooks", BY_NAME[name])
    for nth in (2, 3, 4):
        yield from _each("plain", BY_NAME["container-record"], nth=nth)
        if nth < 4:
            yield from _each("plain", BY_NAME["sandbox-record"], nth=nth)
    for name in ("images", "pull", "fetch", "unpack", "create"):
        yield from _each("pull", BY_NAME[name])
    for name in _STARTING:
        for nth in (2, 3, 4):
            yield from _each(
                "multi", BY_NAME[name], nth=nth, modes=(faults.KILL_BEFORE, *faults.KILLS[1:], faults.FAIL)
            )
    yield from _each("multi", BY_NAME["kill-pod"], modes=faults.KILLS)  # once a runtime, and a node may have only one
    for name in ("stop-container", "exit", "exit-cleared", "dismantle", "overlay-gone"):
        for nth in (1, 2):
            yield from _each("multi", BY_NAME[name], nth=nth, modes=faults.KILLS)
    yield from _each("multi", BY_NAME["cni-plugin-del"], modes=faults.KILLS)  # the native network is one plugin
    for name in ("exit", "exit-cleared", "status", "sandbox", "start", "create", "container-record", "start-program"):
        yield from _each("crash", BY_NAME[name], nth=1)
        yield from _each("job", BY_NAME[name], nth=1)
    for nth in (4, 5):
        yield from _each("crash", BY_NAME["container-record"], nth=nth)
    for nth in (2, 3, 4):
        yield from _each("job", BY_NAME["container-record"], nth=nth, modes=faults.KILLS)
    yield from _each("job", BY_NAME["status"], nth=2, modes=faults.KILLS)  # a quick job has no third one
    for name in ("sandbox", "start", "status", "stop-sandbox", "remove-sandbox", "cgroup-gone", "kill-pod"):
        yield from _each("static", BY_NAME[name], modes=(*faults.KILLS, faults.FAIL, faults.CANCEL))
    for name in ("sandbox", "create", "start", "conmon", "stop-sandbox", "kill-pod", "dismantle", "remove-sandbox"):
        yield from _each("gvisor", BY_NAME[name], modes=(*faults.KILLS[:3], faults.FAIL, faults.CANCEL))


def _each(scenario: str, point: Point, *, nth: int = 1, modes: tuple[str, ...] | None = None) -> Iterator[Case]:
    for mode in point.modes:
        if modes is not None and mode not in modes:
            continue
        case = Case(scenario=scenario, point=point.name, mode=mode, nth=nth)
        if scenario == "job" and mode in faults.IN_PROCESS and mode != faults.DELETE and point.name in _FINAL_FAILURES:
            continue
        yield case


def chosen(cases: list[Case], count: int | None, seed: int) -> list[Case]:
    """A sample of them that spreads over points and modes, the same for the same seed."""
    generator = random.Random(seed)
    shuffled = list(cases)
    generator.shuffle(shuffled)
    if count is None or count >= len(shuffled):
        return shuffled
    seen: dict[str, int] = {}

    def rarity(case: Case) -> tuple[int, int]:
        key_point, key_mode = f"p {case.point}", f"m {case.mode}"
        rank = (seen.get(key_point, 0) + seen.get(key_mode, 0) // 4, len(seen))
        seen[key_point] = seen.get(key_point, 0) + 1
        seen[key_mode] = seen.get(key_mode, 0) + 1
        return rank

    return sorted(shuffled, key=rarity)[:count]
