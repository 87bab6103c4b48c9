"""/flagz: the command line that this process was given, name by name."""

import json
from collections.abc import Mapping

from aiohttp import web

from nodeagent.server import zpages

KIND = "Flagz"


class Flagz:
    """`flags`: by name, as text. It never changes while the process runs."""

    def __init__(self, flags: Mapping[str, str]) -> None:
        self._flags = dict(sorted(flags.items()))

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/flagz", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        match zpages.wanted(request.headers.get("Accept", ""), KIND):
            case "text":
                lines = [f"{name}={value}\n" for name, value in self._flags.items()]
                return web.Response(text=f"\n{zpages.COMPONENT} flags\n{zpages.WARNING}\n\n{''.join(lines)}")
            case "json":
                body = json.dumps({**zpages.head(KIND), "flags": self._flags})
                return web.Response(text=body, content_type="application/json")
        return zpages.not_acceptable()
