"""The loops that keep a cluster's promises around the stored objects, each over the LocalApi alone."""

from collections.abc import Coroutine
from typing import Any

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.kinds.controllers.certificates import CertificateController
from nodeagent.apiserver.kinds.controllers.endpoints import EndpointsController
from nodeagent.apiserver.kinds.controllers.events import EventExpiry
from nodeagent.apiserver.kinds.controllers.namespaces import NamespaceController
from nodeagent.apiserver.kinds.controllers.nodes import NodeController
from nodeagent.apiserver.kinds.controllers.protection import StorageProtection
from nodeagent.apiserver.kinds.controllers.scheduler import Scheduler
from nodeagent.apiserver.kinds.controllers.volumes import VolumeBinder


def controllers(api: LocalApi) -> list[Coroutine[Any, Any, None]]:
    """Every controller of a single-node cluster, ready to be run as tasks."""
    return [
        NamespaceController(api).run(),
        NodeController(api).run(),
        Scheduler(api).run(),
        CertificateController(api).run(),
        VolumeBinder(api).run(),
        StorageProtection(api).run(),
        EndpointsController(api).run(),
        EventExpiry(api).run(),
    ]
