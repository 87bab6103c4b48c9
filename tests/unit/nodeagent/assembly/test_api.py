"""How the pods' secrets and config maps are read."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from configured import config

from nodeagent.api.cluster import NoCluster
from nodeagent.api.object_reads import CachedReads, DirectReads
from nodeagent.api.objects import ObjectCache
from nodeagent.assembly import api
from nodeagent.pods.manager_handle import ManagerHandle


@pytest.mark.parametrize(
    ("strategy", "kind"), [(None, ObjectCache), ("Watch", ObjectCache), ("Cache", CachedReads), ("Get", DirectReads)]
)
async def test_how_objects_are_read(tmp_path: Path, strategy: str | None, kind: type[object]) -> None:
    """By watches unless the configuration says otherwise; nothing of it is left in the end."""
    fields = {"configMapAndSecretChangeDetectionStrategy": strategy} if strategy else {}
    client: Any = None
    async with contextlib.AsyncExitStack() as stack:
        made = api.objects(config(tmp_path, **fields), client, ManagerHandle(), NoCluster())
        if isinstance(made, ObjectCache):
            stack.push_async_callback(made.close)
        assert type(made) is kind
