"""The HTTPS endpoint of all nodes of a fleet: nothing runs there, so it has nothing to show, and says so."""

from pathlib import Path

from aiohttp import web

from nodeagent.api.certificates import serving_certificate
from nodeagent.server.bounded_site import BoundedSite
from nodeagent.server.tls import ServerTLS

# without a colon: kubectl takes a line with one for YAML, and shows nothing of it
_WHY = "this pod is one of a fleet of `nodeagent hollow`, runs nothing, "
_POD_PAGES = {
    "containerLogs": _WHY + "and has no log",
    "exec": _WHY + "and there is nothing to enter",
    "run": _WHY + "and there is nothing to enter",
    "attach": _WHY + "and there is nothing to attach to",
    "portForward": _WHY + "and nothing listens",
}
_NODE = "this node is one of a fleet of `nodeagent hollow`, and has nothing to show here"


def refusal(path: str) -> str:
    """What whoever asks for a page of a node is told: users of `kubectl logs` and `exec` read it."""
    return _POD_PAGES.get(path.strip("/").partition("/")[0], _NODE)


class HollowEndpoint:
    """Everybody gets the same answer to everything, so nobody is asked who he is."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, directory: Path) -> int:
        """The port that it listens at. `directory`: for its certificate. Raises OSError, CertificateError."""
        files = serving_certificate(directory, host)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", _refuse)
        self._runner = web.AppRunner(application, handle_signals=False, access_log=None)
        await self._runner.setup()
        await BoundedSite(self._runner, host, 0, tls=ServerTLS(files.certificate, files.key, None).context).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


async def _refuse(request: web.Request) -> web.Response:
    return web.Response(status=web.HTTPNotImplemented.status_code, text=refusal(request.path))
