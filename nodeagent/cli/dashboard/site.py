"""The site: a page, its style and its scripts from this package, and the document. Read-only; nothing comes from elsewhere.

What the page shows was named by strangers (pods, events), so it may run its own script only, and be framed by nobody. A Host
that is a name is refused: a site that makes its own name lead here (DNS rebinding) would be the page's origin.
"""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

from nodeagent.cli.dashboard.looks import Looks

_PAGE = {"": ("index.html", "text/html"), "page.css": ("page.css", "text/css")} | {
    name: (name, "text/javascript") for name in ("page.js", "charts.js", "elements.js")
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def application(looks: Looks, secret: str) -> web.Application:
    """Everything is below /`secret`/: who does not know it gets 404."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not is_local(request.headers.get("Host", "")):
            answer: web.StreamResponse = web.Response(status=421, text="this page is reached by its IP address only\n")
        elif not hmac.compare_digest(request.path.split("/")[1].encode(), secret.encode()):
            answer = web.Response(status=404, text="open the URL that `nodeagent dashboard` has printed\n")
        else:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                answer = web.Response(status=error.status, text=f"{error.reason}\n", headers=_allowed(error))
        answer.headers.update(HEADERS)
        return answer

    async def data(request: web.Request) -> web.Response:
        tag, body = await looks.document()
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=body, content_type="application/json", headers={"ETag": tag})

    app = web.Application(middlewares=[guard], client_max_size=1024)
    app.router.add_get(f"/{secret}/data", data)
    for path, (name, kind) in _PAGE.items():
        app.router.add_get(f"/{secret}/{path}", _file((files(__package__) / "page" / name).read_bytes(), kind))
    return app


def _file(body: bytes, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def send(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8")

    return send


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


def is_local(host: str) -> bool:
    """Whether a Host header is an IP address, or localhost, which no name server is asked for; with a port or without."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name = host
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
