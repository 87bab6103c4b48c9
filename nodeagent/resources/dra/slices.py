"""ResourceSlices of this node whose driver is not here: nobody is to be given their devices.

Source: docs/facts/node-resources.md 12.3.
"""

import logging
from typing import Protocol

from lightkube.models.resource_v1 import ResourceSlice

from nodeagent.api.client import Listed
from nodeagent.api.errors import ApiError, NotFound, NotServed

log = logging.getLogger(__name__)


class SliceApi(Protocol):
    """Of the API client. Raises ApiError."""

    async def list(self, kind: type[ResourceSlice], *, field_selector: str) -> Listed[ResourceSlice]: ...

    async def delete(self, kind: type[ResourceSlice], name: str, *, uid: str | None = None) -> None: ...


class Slices:
    """Of one node."""

    def __init__(self, api: SliceApi, node: str) -> None:
        self._api = api
        self._node = node

    async def remove(self, driver: str = "") -> bool:
        """Delete those of a driver, or all; whether that was done. An API without them has none."""
        selector = f"spec.nodeName={self._node}" + (f",spec.driver={driver}" if driver else "")
        try:
            for each in (await self._api.list(ResourceSlice, field_selector=selector)).items:
                assert each.metadata is not None and each.metadata.name is not None
                await self._delete(each.metadata.name, each.metadata.uid)
        except (NotFound, NotServed):
            return True
        except ApiError as error:
            log.warning("ResourceSlices of %s are not removed yet: %s", driver or "drivers that are gone", error)
            return False
        return True

    async def _delete(self, name: str, uid: str | None) -> None:
        try:
            await self._api.delete(ResourceSlice, name, uid=uid)
        except NotFound:
            return
        log.info("removed ResourceSlice %s: its driver is not here", name)
