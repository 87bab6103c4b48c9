"""/configz: the configuration that is in effect."""

from collections.abc import Callable

import msgspec
from aiohttp import web


class Configz:
    """`config()`: the KubeletConfiguration, as it is in effect."""

    def __init__(self, config: Callable[[], object]) -> None:
        self._config = config

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/configz", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        body = msgspec.json.encode({"kubeletconfig": self._config()})
        return web.Response(body=body, content_type="application/json")
