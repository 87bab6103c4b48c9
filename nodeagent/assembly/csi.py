"""CSI drivers: the volume type, and what the API is told of the drivers of this node."""

import asyncio
from dataclasses import dataclass

from lightkube.models.storage_v1 import CSIDriver

from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.api.events import Events
from nodeagent.api.informer import Informer
from nodeagent.api.tokens import Tokens
from nodeagent.assembly.host import Host
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.metrics.csi import CSIMetrics
from nodeagent.node.state import NodeState
from nodeagent.volumes.csi import selinux
from nodeagent.volumes.csi.attachments import Attachments
from nodeagent.volumes.csi.credentials import Credentials
from nodeagent.volumes.csi.driver_specs import DriverSpecs
from nodeagent.volumes.csi.drivers import Drivers
from nodeagent.volumes.csi.layout import CSILayout
from nodeagent.volumes.csi.node_records import NodeRecords
from nodeagent.volumes.csi.plugin import CSIPlugin
from nodeagent.volumes.csi.preparation import Preparation
from nodeagent.volumes.csi.recounting import Recounting
from nodeagent.volumes.csi.registration import DriverRegistration
from nodeagent.volumes.layout import Layout
from runtimes.linux.tasks import run_blocking


@dataclass(frozen=True, slots=True, kw_only=True)
class CSI:
    """`plugin`: the volume type. `registration`: takes drivers that come. `records`: what the API knows of them."""

    plugin: CSIPlugin
    registration: DriverRegistration
    records: NodeRecords


async def start_csi(
    scope: Scope,
    config: Config,
    host: Host,
    folders: Folders,
    client: ApiClient,
    cluster: InformedCluster,
    tokens: Tokens,
    events: Events,
    state: NodeState,
) -> CSI:
    """Without an API there are no such volumes: who a driver is, and what a claim leads to, is said there."""
    objects = Informer(client, CSIDriver, absent_is_empty=True)
    drivers, specs = Drivers(), DriverSpecs(objects)
    records = NodeRecords(client, config.node_name)
    recounting = Recounting(drivers, specs, records)
    objects.subscribe(lambda *_: recounting.changed())
    preparation = Preparation(
        drivers,
        specs,
        Attachments(client, cluster.node, config.node_name),
        Credentials(client, tokens),
        node_name=config.node_name,
        host=await run_blocking(selinux.read_host),
    )

    async def initialise() -> None:
        known = asyncio.Event()
        undo = cluster.node.subscribe(lambda *_: known.set())
        await known.wait()
        undo()
        await records.initialise()
        state.notify()

    scope.loop(objects.run, "informer of CSIDrivers")
    scope.loop(initialise, "CSINode")
    scope.loop(records.run, "CSINode of drivers that are gone")
    scope.loop(recounting.run, "allocatable volumes")
    return CSI(
        plugin=CSIPlugin(CSILayout(Layout(folders.root)), preparation, events, recounting.recount),
        registration=DriverRegistration(drivers, records, recounting.changed, CSIMetrics(host.metrics).ended),
        records=records,
    )
