"""`nodeagent csi test`: which driver, whether one listens there, and the options of `csi.testing.plugin` that say so."""

import asyncio
import shlex
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, TypeVar

from csi import errors
from csi.client import Client
from csi.endpoint import Endpoint
from csi.testing.chosen import EXPAND_BY, PATIENCE_SECONDS, VOLUME_SIZE, Chosen, implementation
from csi.values import ControllerCapability, PluginCapability
from nodeagent.testers.command import Choice, Subject
from nodeagent.testers.command import run as carry_out
from nodeagent.testers.needs import Unusable
from nodeagent.testers.suites import CSI
from proto import csi_pb2 as csi

_T = TypeVar("_T")
_MEETING_SECONDS: Final = 15.0


def options_of(driver: Chosen, prefix: str, workdir: Path | None) -> list[str]:
    """As they are given to a command line. `prefix`: of the options' names."""
    given: list[tuple[str, object]] = [
        ("endpoint", driver.endpoint),
        ("controller-endpoint", driver.controller_endpoint),
        ("volume-id", driver.volume_id),
        *(("volume-context", pair) for pair in driver.volume_context),
        *(("parameters", pair) for pair in driver.parameters),
        *(("mutable-parameters", pair) for pair in driver.mutable_parameters),
        ("secrets", driver.secrets),
        ("volume-size", driver.volume_size if driver.volume_size != VOLUME_SIZE else ""),
        ("expand-by", driver.expand_by if driver.expand_by != EXPAND_BY else ""),
        ("fs-type", driver.fs_type),
        ("workdir", workdir),
        ("second-node-id", driver.second_node_id),
        ("patience", f"{driver.patience:g}" if driver.patience != PATIENCE_SECONDS else ""),
        ("restart", driver.restart),
        ("log", driver.log),
        ("exceptions", driver.exceptions),
    ]
    found = [f"--{prefix}{name}={value}" for name, value in given if value]
    return [*found, f"--{prefix}node-only"] if driver.node_only else found


def run(driver: Chosen, choice: Choice) -> int:
    """The exit status. Raises Unusable, ValueError."""
    return carry_out(CSI, choice, lambda: _looked_at(driver))


def _looked_at(driver: Chosen) -> Subject:
    implementation(driver)
    return Subject(
        name=asyncio.run(_meet(driver)),
        again=shlex.join(["nodeagent", "csi", "test", *options_of(driver, "", driver.workdir)]),
        # --csi-strict: what counts is decided here, by the level
        options=lambda folder: [*options_of(driver, "csi-", folder), "--csi-strict"],
        parent=driver.workdir,
    )


async def _meet(driver: Chosen) -> str:
    """Its name and version. Raises Unusable, where there is no driver, or none that can what is asked for by name."""
    at_node = _client(driver.endpoint)
    plugin = await _answered(at_node.identity.get_plugin_info(csi.GetPluginInfoRequest()), driver.endpoint)
    address = driver.controller_endpoint or driver.endpoint
    at_controller = _client(address)
    claims = await _answered(at_controller.identity.capabilities(), address)
    controls = PluginCapability.CONTROLLER_SERVICE in claims and not driver.node_only
    controller: frozenset[ControllerCapability] = frozenset()
    if controls:
        controller = await _answered(at_controller.controller.capabilities(), address)
    _must_claim(driver, controls, controller)
    return f"{plugin.name} {plugin.vendor_version} at {driver.endpoint}"


def _client(address: str) -> Client:
    return Client(Endpoint(address, deadline_seconds=_MEETING_SECONDS))


async def _answered(call: Awaitable[_T], address: str) -> _T:
    try:
        return await call
    except errors.Unreachable as error:
        raise Unusable(f"{address}: {error.message}") from error
    except errors.CSIError as error:
        raise Unusable(f"{address} is no CSI driver, or none that works: {error.code}: {error.message}") from error


def _must_claim(driver: Chosen, controls: bool, claims: frozenset[ControllerCapability]) -> None:
    """What is named on the command line is to be tested. Raises Unusable."""
    if driver.controller_endpoint and not controls:
        raise Unusable("--controller-endpoint: the driver there does not claim CONTROLLER_SERVICE")
    for option, given, needed in (
        ("--parameters", driver.parameters, ControllerCapability.CREATE_DELETE_VOLUME),
        ("--mutable-parameters", driver.mutable_parameters, ControllerCapability.MODIFY_VOLUME),
    ):
        if given and needed not in claims:
            raise Unusable(f"{option}: the driver does not claim {needed.name}")
