"""Statistics are a part of their own."""

from nodeagent.assembly import server
from nodeagent.assembly.parts import Part
from nodeagent.main import PARTS
from nodeagent.server.server import NodeServer
from nodeagent.stats.provider import Statistics


def test_the_server_needs_the_statistics_and_they_do_not_need_it() -> None:
    """With enableServer: false usage can be read all the same: by what they need, and by what that needs, no server is met."""
    provider = {part.provides: part for part in PARTS if part.provides is not None}

    def below(part: Part) -> set[object]:
        met = {need.type for need in part.needs}
        return met.union(*(below(provider[kind]) for kind in met if kind in provider))

    assert Statistics in {need.type for need in Part("server", server.start_server).needs}
    assert NodeServer not in below(provider[Statistics])
