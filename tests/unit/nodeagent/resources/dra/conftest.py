"""A node's claims and drivers in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.resource_v1 import ResourceClaim

from nodeagent.api import errors
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.dra.driver import DriverError
from nodeagent.resources.dra.drivers import NotRegistered
from nodeagent.resources.dra.health import Health
from nodeagent.resources.dra.manager import DRAManager
from nodeagent.resources.dra.state import ClaimState
from proto import dra_pb2 as api


class FakeDriver:
    """Gives each claim one device, named after it. `error`: what it says instead."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.error = ""
        self._calls = calls

    async def prepare(self, claims: Sequence[api.Claim]) -> dict[str, api.NodePrepareResourceResponse]:
        self._note("prepare", claims)
        found = {}
        for claim in claims:
            cdi = [f"{self.name}/x={claim.name}"]
            device = api.Device(
                pool_name="pool", device_name=f"dev-{claim.name}", cdi_device_ids=cdi, request_names=["r"]
            )
            found[claim.uid] = api.NodePrepareResourceResponse(devices=[device])
        return found

    async def unprepare(self, claims: Sequence[api.Claim]) -> None:
        self._note("unprepare", claims)

    def _note(self, verb: str, claims: Sequence[api.Claim]) -> None:
        self._calls.append(f"{self.name} {verb} {' '.join(claim.name for claim in claims)}")
        if self.error:
            raise DriverError(self.error)


class Node:
    """`claims`: of the API, by name. `calls`: of all drivers. `manager()`: the agent's, as one that has just started has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.claims: dict[str, ResourceClaim] = {}
        self.calls: list[str] = []
        self.drivers: dict[str, FakeDriver] = {}
        self.known: set[str] = set()
        self.operations: list[tuple[str, bool]] = []
        self.health = Health(folder, now=lambda: 1000.0)

    def driver(self, name: str) -> FakeDriver:
        self.drivers[name] = FakeDriver(name, self.calls)
        return self.drivers[name]

    def get_driver(self, name: str) -> FakeDriver:
        if name not in self.drivers:
            raise NotRegistered(name)
        return self.drivers[name]

    def claim(self, name: str, *drivers: str, pods: Sequence[str] = ("u1",), owner: str = "", uid: str = "") -> None:
        results = [{"driver": driver, "device": "d", "pool": "p", "request": "r"} for driver in drivers]
        owners = [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": owner, "controller": True}]
        body = {
            "metadata": {
                "name": name,
                "namespace": "ns",
                "uid": uid or f"uid-{name}",
                "ownerReferences": owners if owner else None,
            },
            "spec": {},
            "status": {
                "reservedFor": [{"resource": "pods", "name": "web", "uid": pod} for pod in pods],
                "allocation": {"devices": {"results": results}},
            },
        }
        self.claims[name] = msgspec.convert(body, ResourceClaim)

    def manager(self, *, api: bool = True) -> DRAManager:
        state = ClaimState(self.folder)
        state.load()
        drivers: Any = type("Drivers", (), {"get": staticmethod(self.get_driver)})()
        return DRAManager(
            self if api else None,
            drivers,
            state,
            self.health,
            known=lambda: self.known,
            ready=lambda: True,
            observe=lambda operation, *, failed, seconds: self.operations.append((operation, failed)),
        )

    async def get(self, kind: type[ResourceClaim], name: str, namespace: str) -> ResourceClaim:
        assert (kind, namespace) == (ResourceClaim, "ns")
        if name not in self.claims:
            raise errors.not_found("resourceclaims", name)
        return self.claims[name]


def claiming(*claims: str, uid: str = "u1", status: Any = None, **spec: Any) -> AgentPod:
    """A pod whose container `c` uses all of its claims, which are named as their entries are."""
    entries = [{"name": name, "resourceClaimName": name} for name in claims]
    container = {"name": "c", "resources": {"claims": [{"name": name} for name in claims]}}
    return agent_pod(
        {
            "metadata": {"name": "web", "namespace": "ns", "uid": uid},
            "spec": {"containers": [container], "resourceClaims": entries, **spec},
            "status": status or {},
        }
    )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def pod_with() -> Any:
    return claiming
