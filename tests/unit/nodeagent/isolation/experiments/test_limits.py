"""What the pods of the limits' experiment are asked to be."""

import re
from collections.abc import Sequence

from nodeagent.isolation.contract import Ended, Facts, PodRequest, Stage, StageError, Usage
from nodeagent.isolation.experiments.limits import Limits
from nodeagent.isolation.probe import program


class NoNode(Stage):
    """Pods that are refused, but for the first; all that were asked for."""

    handler = "none"
    quick = True

    def __init__(self) -> None:
        self.asked: list[PodRequest] = []

    async def run(self, pod: PodRequest, *, deadline_seconds: float) -> Ended:
        self.asked.append(pod)
        raise StageError("refused")

    async def start(self, pod: PodRequest, *, deadline_seconds: float = 60.0) -> str:
        self.asked.append(pod)
        if len(self.asked) > 1:
            raise StageError("refused")
        return ""

    async def output(self, name: str) -> str:
        return ""

    async def usage(self, name: str) -> Usage:
        raise StageError("refused")

    async def stop(self, name: str) -> None:
        pass

    async def facts(self, sections: Sequence[str], *, deadline_seconds: float = 60.0) -> Facts:
        raise StageError("refused")

    async def on_host(self, arguments: Sequence[str], *, deadline_seconds: float) -> str:
        raise StageError("refused")


def named(file: str, table: str) -> set[str]:
    """The names in a table of the probe program's sources."""
    text = (program.SOURCES / file).read_text()
    return set(re.findall(r'\{"([\w-]+)",', text.partition(table)[2].partition("};")[0]))


async def test_every_role_is_one_of_the_program() -> None:
    """The program takes a name that is no role for a section, whose facts are something else."""
    stage = NoNode()
    found = await Limits().run(stage)
    roles = named("roles.c", "ROLES[] =")
    asked = {request.arguments[0] for request in stage.asked}
    assert len(stage.asked) == 7
    assert asked <= roles
    assert not roles & named("main.c", "SECTIONS[] =")
    assert {name: told for name, told in found.items() if name != "beside"} == {
        name: {"error": "refused"} for name in ("cpu", "memory", "pids", "files", "layer", "volume")
    }
