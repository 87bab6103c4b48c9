"""/healthz: named checks, as kube components answer them (docs/facts/api-client-and-server.md J.3)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from aiohttp import web

# Called with the name of a check and whether it passed, for each that /healthz has made.
CheckObserver = Callable[[str, bool], None]
NO_CHECKS: Mapping[str, Callable[[], bool]] = MappingProxyType({})


def unobserved(name: str, passed: bool) -> None:
    return


class HealthHandlers:
    """`sync_loop()`: whether the pod engine is moving. `more`: further checks by name. `observe` hears how they came out."""

    def __init__(
        self,
        sync_loop: Callable[[], bool],
        more: Mapping[str, Callable[[], bool]] = NO_CHECKS,
        observe: CheckObserver = unobserved,
    ) -> None:
        self._observe = observe
        self._checks: Mapping[str, Callable[[], bool]] = {
            "ping": lambda: True,
            "log": lambda: True,
            "syncloop": sync_loop,
            **more,
        }

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self.all), web.get("/healthz/", self.all), web.get("/healthz/{check}", self.one)]

    async def all(self, request: web.Request) -> web.Response:
        excluded = set(request.query.getall("exclude", []))
        results = {name: check() for name, check in self._checks.items() if name not in excluded}
        for name, passed in results.items():
            self._observe(name, passed)
        lines = "".join(
            f"[+]{name} excluded: ok\n"
            if name not in results
            else f"[+]{name} ok\n"
            if results[name]
            else f"[-]{name} failed: reason withheld\n"
            for name in self._checks
        )
        if not all(results.values()):
            return web.Response(status=500, text=f"{lines}healthz check failed\n")
        return web.Response(text=f"{lines}healthz check passed\n" if "verbose" in request.query else "ok")

    async def one(self, request: web.Request) -> web.Response:
        check = self._checks.get(request.match_info["check"])
        if check is None:
            raise web.HTTPNotFound
        if not check():
            return web.Response(status=500, text="internal server error: reason withheld\n")
        return web.Response(text="ok")
