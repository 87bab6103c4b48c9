"""Storage of a standalone node: a driver of its own, and what makes volumes for claims. A cluster brings both itself."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from csi.client import Client
from nodeagent.api import kubeconfig
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.events import EventRecorder
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.provisioner import standard_class
from nodeagent.provisioner.controller import StorageController
from nodeagent.provisioner.driver import Driver
from nodeagent.provisioner.driver_process import DriverProcess, DriverSettings
from nodeagent.standalone import EmbeddedAPI
from runtimes.linux.retry import Backoff, RetryPolicy
from runtimes.linux.unix_socket import MAX_PATH_BYTES

# another name than the driver has where it is started by itself: somebody may want both
DRIVER: Final = "local.csi.nodeagent.dev"
_AGAIN: Final = RetryPolicy(first_seconds=1.0, cap_seconds=30.0)
log = logging.getLogger(__name__)


async def start_storage(scope: Scope, config: Config, folders: Folders, embedded: EmbeddedAPI | None) -> None:
    """The class `standard` is there from the first start on; the driver runs once somebody claims a volume of it."""
    if embedded is None:
        raise Skip("not standalone")
    if not config.agent.storage.enabled:
        raise Skip("storage.enabled: false")
    settings = driver_settings(config, folders)
    for path in (settings.socket, settings.registration):
        if len(os.fsencode(path)) > MAX_PATH_BYTES:
            raise Skip(f"{path} is too long for a unix socket: choose a shorter --root-dir")
    client = await scope.stack.enter_async_context(ApiClient(kubeconfig.load(embedded.storage_kubeconfig), qps=-1))
    events = EventRecorder(client, config.node_name, component=DRIVER)
    controller = StorageController(client, Driver(DRIVER, Client.at(settings.address)), events, config.node_name)
    process = DriverProcess(settings, scope.condition("driver"))
    scope.stack.push_async_callback(process.stop)

    async def serve() -> None:
        await controller.needed.wait()
        await process.run()

    async def provide() -> None:
        await _make_standard_class(client)
        await controller.run()

    for informer in controller.informers:
        scope.loop(informer.run, "informer")
    scope.loop(events.run, "events of volumes")
    scope.loop(serve, "storage driver")
    scope.loop(provide, "volumes for claims")


def driver_settings(config: Config, folders: Folders) -> DriverSettings:
    """Its sockets are where any driver has them; its volumes are kept with what survives the node's root folder."""
    return DriverSettings(
        name=DRIVER,
        node_name=config.node_name,
        state_dir=Path(config.agent.storage.path) if config.agent.storage.path else folders.state / "storage",
        socket=folders.root / "plugins" / DRIVER / "csi.sock",
        registration=folders.root / "plugins_registry" / f"{DRIVER}-reg.sock",
        capacity=config.agent.storage.capacity,
    )


async def _make_standard_class(client: ApiClient) -> None:
    backoff = Backoff(_AGAIN)
    while True:
        try:
            await standard_class.make_once(client, DRIVER)
            return
        except ApiError as error:
            log.warning("the storage class %s cannot be made: %s", standard_class.NAME, error)
        await asyncio.sleep(backoff.next_delay())
