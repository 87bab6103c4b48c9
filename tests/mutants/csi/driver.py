"""What a driver under suspicion is: the reference driver, with one thing done otherwise.

A mutant is a class in one of the files that are named as those of csi/testing/cases: its docstring is the fault, `caught_by` the
case that must fail on it, `also` others that do. It answers calls by methods of their names (NodeStageVolume is
`node_stage_volume`); what it does not answer, `self.healthy` does. To add one, write the class; then run hack/generate-csi-proof.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from csi import errors
from csi.driver.settings import Settings
from csi.driver.store import Store

MEBIBYTE: Final = 1024 * 1024
_MEET_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the reference driver is started, and how the suite is told to ask it (fields of csi.testing.implementation)."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)


FORMS: Final[Mapping[str, Form]] = {
    "directory": Form(asked={"mutable_parameters": {"allocation": "thin"}}),
    "attach": Form(
        settings={
            "attach": True,
            "alpha": True,
            "max_volumes": 4,
            "other_nodes": frozenset({"node-2"}),
            "mount_group": True,
        },
        asked={"second_node_id": "node-2"},
    ),
    "image": Form(asked={"parameters": {"backing": "image"}}),
    "ext4": Form(asked={"fs_type": "ext4"}),
}


class Driver:
    """`form`: of FORMS. `asked`: what the suite is told beyond that. `end_seconds`: how long a restart takes to end it, in which
    it takes what has been sent.
    """

    form: ClassVar[str] = "directory"
    asked: ClassVar[Mapping[str, Any]] = {}
    end_seconds: ClassVar[float] = 0.0

    def __init__(self, healthy: Any, settings: Settings, store: Store) -> None:
        self.healthy = healthy
        self.settings = settings
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.healthy, name)


class Mutant(Driver):
    """One fault, as an author makes it. Ids are those of cases, as `csi.testing.levels.case_id` gives them.

    `control`: an odd driver that the case passes on, where the reference driver does not claim what it is about.
    """

    caught_by: ClassVar[str]
    also: ClassVar[tuple[str, ...]] = ()
    control: ClassVar[str] = ""


class Odd(Driver):
    """What nobody expects and the specification allows: nothing may be blamed on it. The docstring says what, and why it may."""


@contextlib.contextmanager
def instead(wrong: type[errors.CSIError], *right: type[errors.CSIError]) -> Iterator[None]:
    """A call inside that is refused with one of `right` is refused with another code."""
    try:
        yield
    except right as error:
        raise wrong(error.message) from error


class Meeting:
    """Calls that are under way at the same time, for who gets that wrong: not left to how busy the machine is."""

    def __init__(self) -> None:
        self._under_way = Counter[str]()
        self._met: dict[str, asyncio.Event] = {}

    @contextlib.asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[bool]:
        """Whether the call is the first one under way, which waits for a second; not for ever, where only one comes."""
        first = self._under_way[key] == 0
        self._under_way[key] += 1
        met = self._met.setdefault(key, asyncio.Event())
        try:
            if first:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(met.wait(), _MEET_SECONDS)
            else:
                met.set()
            yield first
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._met[key]
