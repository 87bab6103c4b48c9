"""What kubectl would show, for tests whose promise is not kubectl: objects straight from an API server, on one connection.

Asking again and again is how tests wait for a pod; a kubectl for every look costs more than what it looks at.
"""

import base64
import contextlib
import http.client
import json
import ssl
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

import yaml

PLACES = {
    "ConfigMap": "api/v1/namespaces/{namespace}/configmaps",
    "Pod": "api/v1/namespaces/{namespace}/pods",
    "RuntimeClass": "apis/node.k8s.io/v1/runtimeclasses",
    "Secret": "api/v1/namespaces/{namespace}/secrets",
    "Service": "api/v1/namespaces/{namespace}/services",
    "ServiceAccount": "api/v1/namespaces/{namespace}/serviceaccounts",
}
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class APIReader:
    """The API that `kubeconfig` names at the time of a request: one that comes back elsewhere is followed."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._read = b""
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """The object, or the list, at that path; None when there is none, AssertionError for any other answer."""
        status, answer = self.request("GET", path, None, **query)
        assert status in (200, 404), f"GET {path}: {status} {answer.get('message')}"
        return answer if status == 200 else None

    def create(self, wanted: dict[str, Any]) -> bool:
        """Create the object as `kubectl apply` does the first time; False when it is not as simple as that."""
        place = PLACES.get(wanted["kind"])
        metadata = wanted.get("metadata", {})
        if place is None or "name" not in metadata:
            return False
        namespace = metadata.get("namespace", "default")
        # as kubectl does: its own annotation in the object, without the annotation
        bare = {**wanted, "metadata": {"annotations": {}, **metadata, "namespace": namespace}}
        if "{namespace}" not in place:
            del bare["metadata"]["namespace"]
        text = json.dumps(bare, separators=(",", ":"), sort_keys=True) + "\n"
        body = {**bare, "metadata": {**bare["metadata"], "annotations": {**bare["metadata"]["annotations"]}}}
        body["metadata"]["annotations"][LAST_APPLIED] = text
        query = {"fieldManager": "kubectl-client-side-apply", "fieldValidation": "Strict"}
        return self.request("POST", place.format(namespace=namespace), body, **query)[0] == 201

    def request(
        self, verb: str, path: str, body: dict[str, Any] | None = None, **query: str
    ) -> tuple[int, dict[str, Any]]:
        """(status, answer). An API that is not there is an AssertionError, as it is for who calls kubectl."""
        url = f"/{path.lstrip('/')}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        try:
            kept, connection = self._connected()
            try:
                connection.request(verb, url, data, headers)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException):
                if not kept:
                    raise
                # the server, or one before it, has closed a connection that it had kept open
                self.close()
                _, connection = self._connected()
                connection.request(verb, url, data, headers)
                answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise AssertionError(f"{verb} {url}: {error!r}") from error
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            found = {"message": text.decode(errors="replace")}
        return answer.status, found

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def _connected(self) -> tuple[bool, http.client.HTTPConnection]:
        """(whether it was open before, the connection)."""
        text = self._kubeconfig.read_bytes()
        if text != self._read:
            self.close()
        if self._connection is not None:
            return True, self._connection
        config = yaml.safe_load(text)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=_decoded(cluster, "certificate-authority"))
        with tempfile.NamedTemporaryFile("w") as both:
            both.write(_decoded(user, "client-certificate") + "\n" + _decoded(user, "client-key"))
            both.flush()
            context.load_cert_chain(both.name)
        server = urllib.parse.urlsplit(cluster["server"])
        self._connection = http.client.HTTPSConnection(server.hostname or "", server.port, timeout=60, context=context)
        self._read = text
        return False, self._connection


def _decoded(entry: dict[str, str], name: str) -> str:
    data = entry.get(f"{name}-data")
    return base64.b64decode(data).decode() if data is not None else Path(entry[name]).read_text()
