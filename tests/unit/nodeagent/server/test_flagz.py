"""/flagz, as components of a cluster answer it."""

import json

import pytest
from aiohttp.test_utils import make_mocked_request

from nodeagent.server.flagz import KIND, Flagz
from nodeagent.server.zpages import structured

TEXT = """
nodeagent flags
Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging \
purposes only.

config=/etc/kubelet.yaml
v=4
"""


async def answer(accept: str):
    page = Flagz({"v": "4", "config": "/etc/kubelet.yaml"})
    return await page.show(make_mocked_request("GET", "/flagz", headers={"Accept": accept}))


async def test_the_text() -> None:
    """Flags by name."""
    found = await answer("*/*")
    assert (found.status, found.content_type, found.text) == (200, "text/plain", TEXT.replace("\\\n", ""))


async def test_the_document() -> None:
    """The fields of config.k8s.io/v1alpha1."""
    found = await answer(structured(KIND))
    assert json.loads(found.text or "") == {
        "kind": "Flagz",
        "apiVersion": "config.k8s.io/v1alpha1",
        "metadata": {"name": "nodeagent"},
        "flags": {"config": "/etc/kubelet.yaml", "v": "4"},
    }


@pytest.mark.parametrize("accept", ["application/json", "application/json;v=v1alpha1;g=config.k8s.io;as=Statusz"])
async def test_nothing_else(accept: str) -> None:
    """Another page's document is not to be had here."""
    assert (await answer(accept)).status == 406
