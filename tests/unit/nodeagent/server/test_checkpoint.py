"""/checkpoint: what the runtime is asked for, and every way to get nothing."""

import json
import stat
from datetime import UTC, datetime

import pytest

from nodeagent.server.checkpoint import Checkpoints
from proto import cri_pb2 as cri
from runtimes.errors import Internal, NotSupported, ResourceExhausted

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PATH = "/checkpoint/default/web/main"


class Pods:
    """Those of the endpoint, which is made after the page."""

    def __init__(self):
        self.endpoint = None

    def find(self, *names):
        return self.endpoint.pods.find(*names)

    def runtime_of(self, pod):
        return self.endpoint.pods.runtime_of(pod)


@pytest.fixture
async def endpoint(make_endpoint, tmp_path):
    """Its runtime makes checkpoints, or fails as `refusal` says."""
    pods = Pods()
    made = await make_endpoint(debug=(Checkpoints(pods, tmp_path / "checkpoints", lambda: NOW),))
    pods.endpoint, made.refusal = made, None

    async def checkpoint_container(request):
        made.runtime.requests.append(request)
        if made.refusal is not None:
            raise made.refusal
        return cri.CheckpointContainerResponse()

    made.runtime.checkpoint_container = checkpoint_container
    return made


@pytest.mark.parametrize(("query", "seconds"), [("", 0), ("?timeout=7", 7), ("?timeout=x&timeout=300", 300)])
async def test_an_archive(endpoint, tmp_path, query, seconds):
    """Its path is told; the folder is root's; the last time-out counts."""
    path = tmp_path / "checkpoints" / "checkpoint-web_default-main-2026-01-02T03:04:05Z.tar"
    status, text = await endpoint.get(PATH + query, method="POST")
    assert (status, json.loads(text)) == (200, {"items": [str(path)]})
    assert endpoint.runtime.requests == [
        cri.CheckpointContainerRequest(container_id="c1", location=str(path), timeout=seconds)
    ]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", PATH, (405, "405: Method Not Allowed")),
        ("POST", "/checkpoint/default/none/main", (404, "pod does not exist")),
        ("POST", "/checkpoint/default/web/none", (404, "container none does not exist")),
        ("POST", f"{PATH}?timeout=soon", (404, "cannot parse value of timeout parameter")),
        ("POST", f"{PATH}?timeout=1&timeout=", (404, "cannot parse value of timeout parameter")),
        (
            "POST",
            "/checkpoint/default/web/idle",
            (500, "checkpointing of default/web/idle failed (container idle not found)"),
        ),
    ],
)
async def test_nothing_is_asked_for(endpoint, method, path, answer):
    """What is not there, or cannot be read."""
    assert await endpoint.get(path, method=method) == answer
    assert endpoint.runtime.requests == []


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(NotSupported("no CRIU here"), 501), (Internal("no CRIU here"), 500), (ResourceExhausted("no CRIU here"), 500)],
)
async def test_the_runtime_refuses(endpoint, refusal, status):
    """501 where it never can, with its reason."""
    endpoint.refusal = refusal
    found = await endpoint.get(PATH, method="POST")
    assert found == (status, "checkpointing of default/web/main failed (no CRIU here)")
