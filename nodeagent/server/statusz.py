"""/statusz: what this process is and what its parts do, as text for people or as JSON for programs.

The text, and the JSON that is asked for by `STRUCTURED`, are those of a cluster's other components, with our parts added.
Anything else is not acceptable: 406.
"""

import json
import platform
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from aiohttp import web

from nodeagent.server import zpages
from nodeagent.version import KUBERNETES_VERSION, agent_version

KIND = "Statusz"
STRUCTURED = zpages.structured(KIND)


class PartStatus(Protocol):
    """One part of the agent: running, failed, skipped, ... since when, and why (`reason`, where there is one)."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def since(self) -> datetime: ...

    @property
    def reason(self) -> str: ...


class Statusz:
    """`parts()`: in the order in which they are shown."""

    def __init__(
        self, parts: Callable[[], Sequence[PartStatus]], *, started_at: datetime, now: Callable[[], datetime]
    ) -> None:
        self._parts = parts
        self._started_at = started_at
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/statusz", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        match zpages.wanted(request.headers.get("Accept", ""), KIND):
            case "text":
                return web.Response(text=self._text(_paths(request.app)))
            case "json":
                body = json.dumps(self._document(_paths(request.app)))
                return web.Response(text=body, content_type="application/json")
        return zpages.not_acceptable()

    def _text(self, paths: Sequence[str]) -> str:
        seconds = self._up_seconds()
        lines = [
            "",
            f"{zpages.COMPONENT} statusz",
            zpages.WARNING,
            "",
            f"Started: {self._started_at:%a %b %e %H:%M:%S %Z %Y}",
            f"Up: {seconds // 3600} hr {seconds // 60 % 60:02d} min {seconds % 60:02d} sec",
            f"Python version: {platform.python_version()}",
            f"Binary version: {agent_version()}",
            f"Emulation version: {KUBERNETES_VERSION.removeprefix('v')}",
            f"Paths: {' '.join(paths)}",
            "Parts:",
            *(
                f"  {part.name}: {part.state} since {_stamp(part.since)}{f': {part.reason}' if part.reason else ''}"
                for part in self._parts()
            ),
        ]
        return "\n".join(lines) + "\n"

    def _document(self, paths: Sequence[str]) -> dict[str, object]:
        return {
            **zpages.head(KIND),
            "startTime": _stamp(self._started_at),
            "uptimeSeconds": self._up_seconds(),
            "pythonVersion": platform.python_version(),
            "binaryVersion": agent_version(),
            "emulationVersion": KUBERNETES_VERSION.removeprefix("v"),
            "paths": list(paths),
            "parts": [
                {"name": part.name, "state": str(part.state), "since": _stamp(part.since)}
                | ({"reason": part.reason} if part.reason else {})
                for part in self._parts()
            ],
        }

    def _up_seconds(self) -> int:
        return max(0, int((self._now() - self._started_at).total_seconds()))


def _paths(app: web.Application) -> list[str]:
    """Paths that are one page each."""
    found = {route.canonical for route in app.router.resources() if "{" not in route.canonical}
    return sorted(path for path in found if not path.endswith("/"))


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
