"""The parts of a node's agent, from its /statusz."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.cli.output import human_age
from nodeagent.server.statusz import STRUCTURED

_DEADLINE_SECONDS = 5.0


class PartsUnknown(Exception):
    """The node does not answer; the text says why."""


class PartRow(msgspec.Struct, frozen=True):
    """One part, in the words of `assembly.board`."""

    name: str
    state: str
    since: Annotated[datetime, msgspec.Meta(tz=True)]
    reason: str = ""

    def cells(self, now: datetime) -> list[str]:
        return [self.name, self.state, human_age((now - self.since).total_seconds()), self.reason]

    @property
    def style(self) -> str:
        return {"running": "green", "failed": "red", "skipped": "dim"}.get(self.state, "yellow")


class _Page(msgspec.Struct):
    parts: tuple[PartRow, ...] = ()


async def read_parts(client: ApiClient, node_name: str) -> tuple[PartRow, ...]:
    """Ask the node by way of the API. Raises PartsUnknown."""
    asking = client.sharing(qps=-1, burst=1, timeout_seconds=_DEADLINE_SECONDS)
    try:
        body = await asking.request("GET", f"/api/v1/nodes/{node_name}/proxy/statusz", patient=False, accept=STRUCTURED)
        found = msgspec.json.decode(body, type=_Page).parts
    except ApiError as error:
        raise PartsUnknown(error.message) from error
    except msgspec.DecodeError as error:
        raise PartsUnknown(f"its /statusz cannot be read: {error}") from error
    if not found:
        raise PartsUnknown("its agent is another, or an older one")
    return found


def in_order(parts: Sequence[PartRow]) -> list[PartRow]:
    """What has failed first, then in the agent's order."""
    return sorted(parts, key=lambda part: part.state != "failed")
