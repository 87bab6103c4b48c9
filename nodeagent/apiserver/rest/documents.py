"""Paths that are no resources: health, version, discovery, schemas, token keys."""

import platform
from collections.abc import Callable, Mapping
from functools import cached_property

import msgspec
from aiohttp import web

from nodeagent.apiserver.contract import TokenAuthority
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.metrics import ApiMetrics
from nodeagent.apiserver.rest.discovery import Discovery, Document, aggregated_version
from nodeagent.apiserver.rest.negotiation import JSON
from nodeagent.apiserver.rest.openapi import OpenApi
from nodeagent.apiserver.rest.openapi_v2 import openapi_v2
from nodeagent.apiserver.rest.request import negotiated, parse_query, respond_value

MAJOR = "1"
MINOR = "32"
METRICS_PATH = "/metrics"
_HEALTH = ("/healthz", "/livez", "/readyz")


def version(agent_version: str) -> dict[str, str]:
    """The answer of /version: the release whose clients this API is tested with."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": f"v{MAJOR}.{MINOR}.0+nodeagent-{agent_version}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": f"python{platform.python_version()}",
        "platform": f"linux/{machine}",
    }


class Documents:
    def __init__(
        self,
        discovery: Discovery,
        openapi: OpenApi,
        tokens: TokenAuthority,
        issuer: str,
        agent_version: str,
        metrics: ApiMetrics,
    ) -> None:
        self._metrics = metrics
        self._discovery = discovery
        self._openapi = openapi
        self._issuer = issuer
        self._values: Mapping[str, Callable[[], object]] = {
            "/version": lambda: version(agent_version),
            "/openid/v1/jwks": tokens.jwks,
            "/.well-known/openid-configuration": self._openid,
        }

    def counted(self, path: str) -> bool:
        """Whether requests for a path are counted: those that are asked for all the time."""
        return path in (*_HEALTH, METRICS_PATH, "/version")

    @cached_property
    def _v2(self) -> Document:
        return openapi_v2(self._openapi)

    def answer(self, http: web.BaseRequest, path: str) -> web.Response:
        """Raises `ApiError` 405, 406."""
        if http.method not in ("GET", "HEAD"):
            raise ApiError.method_not_allowed()
        path = path.rstrip("/") or "/"
        if path in _HEALTH or any(path.startswith(root + "/") for root in _HEALTH):
            return web.Response(text="ok", content_type="text/plain")
        if path == METRICS_PATH:
            body, content_type = self._metrics.exposition(http.headers.get("Accept", ""))
            return web.Response(body=body, headers={"Content-Type": content_type})
        value = self._values.get(path)
        if value is not None:
            return respond_value(200, value(), negotiated(http, parse_query(http.rel_url.raw_query_string)))
        if path == "/":
            return _send(http, Document(body=msgspec.json.encode({"paths": sorted(self._roots())})))
        document = self._document(http, path)
        if document is None:
            return web.Response(status=404, text="404 page not found\n", content_type="text/plain")
        return document

    def _roots(self) -> set[str]:
        return {"/api", "/api/v1", "/apis", *_HEALTH, METRICS_PATH, "/openapi/v2", "/openapi/v3", "/version"}

    def _openid(self) -> dict[str, object]:
        return {
            "issuer": self._issuer,
            "jwks_uri": f"{self._issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _document(self, http: web.BaseRequest, path: str) -> web.Response | None:
        if path == "/openapi/v2":
            return _send(http, self._v2)
        if path == "/openapi/v3":
            return _send(http, self._openapi.index())
        if path.startswith("/openapi/v3/"):
            return self._schema(http, path.removeprefix("/openapi/v3/"))
        if path in ("/api", "/apis") and (wanted := aggregated_version(http.headers.get("Accept", ""))):
            response = _send(http, self._discovery.aggregated(path[1:], wanted))
            response.headers["Vary"] = "Accept"
            response.headers["Cache-Control"] = "public"
            return response
        document = self._discovery.legacy(path)
        return _send(http, document) if document is not None else None

    def _schema(self, http: web.BaseRequest, name: str) -> web.Response | None:
        document = self._openapi.document(name)
        if document is None:
            return None
        asked, current = http.query.get("hash"), self._openapi.hash(name)
        if asked and asked != current:
            return web.Response(status=301, headers={"Location": f"/openapi/v3/{name}?hash={current}"})
        response = _send(http, document)
        if asked:
            response.headers["Cache-Control"] = "public, immutable"
        return response


def _send(http: web.BaseRequest, document: Document) -> web.Response:
    etag = document.etag
    if http.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    return web.Response(body=document.body, headers={"Content-Type": document.content_type or JSON, "ETag": etag})
