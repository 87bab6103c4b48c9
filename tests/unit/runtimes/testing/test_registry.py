"""The suite's own registry: what a client that pulls asks for."""

import hashlib
import http.client
import json
from collections.abc import Iterator

import pytest

from runtimes.testing import images
from runtimes.testing.registry import Registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setattr(images, "layer_of", lambda **_: b"a plain tar")
    made = Registry({})
    yield made
    made.close()


def ask(registry: Registry, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    """Status, media type and body."""
    connection = http.client.HTTPConnection(registry.host, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    found = answer.status, answer.headers["Content-Type"], answer.read()
    connection.close()
    return found


def test_an_image_by_tag_and_by_digest(registry: Registry) -> None:
    """The manifest is the same one; its configuration and its layers are there, each as its digest says."""
    reference, image_id, digest = registry.push("team/app:1", b"another layer", User="web")
    assert reference == f"{registry.host}/team/app:1"
    status, kind, manifest = ask(registry, "/v2/team/app/manifests/1")
    assert (status, kind) == (200, "application/vnd.oci.image.manifest.v1+json")
    assert ask(registry, f"/v2/team/app/manifests/{digest}") == (status, kind, manifest)
    assert ask(registry, "/v2/team/app/manifests/1", "HEAD") == (status, kind, b"")
    described = json.loads(manifest)
    assert described["config"]["digest"] == image_id
    assert len(described["layers"]) == 2
    for part in (described["config"], *described["layers"]):
        content = ask(registry, f"/v2/team/app/blobs/{part['digest']}")[2]
        assert (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)) == (part["digest"], part["size"])
    assert json.loads(ask(registry, f"/v2/team/app/blobs/{image_id}")[2])["config"]["User"] == "web"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/team/app/manifests/2", "MANIFEST_UNKNOWN"),
        ("/v2/team/other/manifests/1", "MANIFEST_UNKNOWN"),
        (f"/v2/team/app/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("/v2/team/app/tags/list", "UNSUPPORTED"),
    ],
)
def test_what_is_not_there(registry: Registry, path: str, code: str) -> None:
    """404, with the specification's word for it."""
    registry.push("team/app:1")
    status, _, body = ask(registry, path)
    assert (status, json.loads(body)["errors"][0]["code"]) == (404, code)


def test_the_version_is_answered(registry: Registry) -> None:
    """How a client finds that this is a registry, and without a login."""
    assert ask(registry, "/v2/")[0] == 200
