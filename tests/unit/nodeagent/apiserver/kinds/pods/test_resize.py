"""What a request to the `resize` subresource changes."""

from typing import Any

import pytest

from nodeagent.apiserver.kinds.pods.resize import keep_resources


@pytest.mark.parametrize(
    ("own", "asked", "kept"),
    [
        ({"medium": "Memory", "sizeLimit": "1Mi"}, {"medium": "Memory", "sizeLimit": "2Mi"}, "2Mi"),
        ({"medium": "Memory", "sizeLimit": "1Mi"}, {"medium": "", "sizeLimit": "2Mi", "mode": 511}, "2Mi"),
        ({"medium": "Memory", "sizeLimit": "1Mi"}, {"medium": "Memory"}, "1Mi"),
        ({"medium": "Memory"}, {"medium": "Memory", "sizeLimit": "2Mi"}, None),
        ({"sizeLimit": "1Mi"}, {"sizeLimit": "2Mi"}, "1Mi"),
        ({"medium": "Memory", "sizeLimit": "1Mi"}, None, "1Mi"),
    ],
)
def test_the_size_limit_of_a_volume_in_memory(own: Any, asked: Any, kept: str | None) -> None:
    """It is taken from the request where the volume has one; nothing else of volumes is."""
    old = {"spec": {"containers": [{"name": "c"}], "volumes": [{"name": "v", "emptyDir": own}]}}
    volumes = [{"name": "other", "emptyDir": {}}, {"name": "v", "emptyDir": asked}] if asked is not None else []
    new: Any = {"spec": {"containers": [{"name": "c"}], "volumes": volumes}}
    keep_resources(new, old)
    expected = {**own, "sizeLimit": kept} if kept is not None else own
    assert new["spec"]["volumes"] == [{"name": "v", "emptyDir": expected}]
