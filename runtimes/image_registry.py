"""A registry of images: plain HTTP at a loopback address, in a thread of this process, read-only from outside."""

import http.server
import json
import re
import threading
from typing import Any

from typing_extensions import override

from runtimes.image_archive import Image

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>manifests|blobs)/(?P<reference>[\w.:-]+)")


class ImageRegistry:
    """What OCI's distribution specification asks of a registry that is only pulled from. Serves from its making until `close`."""

    def __init__(self) -> None:
        self._tags: dict[tuple[str, str], str] = {}  # (name, tag) -> digest of a manifest
        self._manifests: dict[tuple[str, str], tuple[str, bytes]] = {}  # (name, digest) -> media type and content
        self._blobs: dict[str, bytes] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="registry", daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, image: Image) -> str:
        """Serve an image as `name:tag`; return the reference that it is pulled by."""
        digest = str(image.manifest["digest"])
        repository, _, tag = name.partition(":")
        self._blobs |= image.blobs
        self._manifests[repository, digest] = (str(image.manifest["mediaType"]), image.blobs[digest])
        self._tags[repository, tag] = digest
        return f"{self.host}/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a GET."""
        if path in ("/v2/", "/v2"):
            return 200, {"Content-Type": "application/json"}, b"{}"
        found = _PATH.fullmatch(path)
        if found is None:
            return _problem("UNSUPPORTED")
        name, reference = found["name"], found["reference"]
        if found["kind"] == "blobs":
            if reference not in self._blobs:
                return _problem("BLOB_UNKNOWN")
            return 200, {"Content-Type": "application/octet-stream"}, self._blobs[reference]
        digest = self._tags.get((name, reference), reference)
        if (name, digest) not in self._manifests:
            return _problem("MANIFEST_UNKNOWN")
        kind, content = self._manifests[name, digest]
        return 200, {"Content-Type": kind, "Docker-Content-Digest": digest}, content

    def _handler(registry) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805  # `self` is the handler's
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # the standard library's name
                self._send(with_body=True)

            def do_HEAD(self) -> None:
                self._send(with_body=False)

            def _send(self, *, with_body: bool) -> None:
                status, headers, body = registry._answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            @override
            def log_message(self, format: str, *args: Any) -> None:
                """Who pulls says what is missing."""

        return Handler


def _problem(code: str) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
    return 404, {"Content-Type": "application/json"}, body
