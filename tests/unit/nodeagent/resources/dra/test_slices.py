"""ResourceSlices whose driver is not here. docs/facts/node-resources.md 12.3."""

from typing import Any

import msgspec
import pytest
from lightkube.models.resource_v1 import ResourceSlice

from nodeagent.api import errors
from nodeagent.api.client import Listed
from nodeagent.resources.dra.slices import Slices


class Api:
    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def _next(self, asked: str) -> None:
        self.asked.append(asked)
        if self.answers and (error := self.answers.pop(0)) is not None:
            raise error

    async def list(self, kind: type[ResourceSlice], *, field_selector: str) -> Listed[ResourceSlice]:
        self._next(field_selector)
        spec = {"driver": "a", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}
        bodies = [{"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec} for name in ("s", "t")]
        return Listed(items=[msgspec.convert(body, ResourceSlice) for body in bodies], resource_version="1")

    async def delete(self, kind: type[ResourceSlice], name: str, *, uid: str | None = None) -> None:
        self._next(f"{name} {uid}")


@pytest.mark.parametrize(
    ("answers", "done"),
    [
        ((), True),
        ((errors.not_found("resourceslices", ""),), True),
        ((None, errors.not_found("resourceslices", "s")), True),
        ((errors.Unavailable("gone", errors.Fault.REFUSED),), False),
    ],
)
async def test_removed(answers: Any, done: bool) -> None:
    """Those of the driver on this node, by their UIDs; what is not there is fine. An outage is for another try."""
    api = Api(*answers)
    assert await Slices(api, "n").remove("a") is done
    assert api.asked[0] == "spec.nodeName=n,spec.driver=a"
