"""The loops that keep a cluster's promises around the stored objects, each over the LocalApi alone."""

from collections.abc import Callable, Coroutine
from typing import Any

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.kinds.controllers.attachments import AttachmentController
from nodeagent.apiserver.kinds.controllers.certificates import CertificateController
from nodeagent.apiserver.kinds.controllers.disruption import DisruptionController
from nodeagent.apiserver.kinds.controllers.endpoints import EndpointsController
from nodeagent.apiserver.kinds.controllers.ephemeral_claims import EphemeralClaims
from nodeagent.apiserver.kinds.controllers.events import EventExpiry
from nodeagent.apiserver.kinds.controllers.expiry import Expiry
from nodeagent.apiserver.kinds.controllers.namespaces import NamespaceController
from nodeagent.apiserver.kinds.controllers.nodes import NodeController
from nodeagent.apiserver.kinds.controllers.protection import StorageProtection
from nodeagent.apiserver.kinds.controllers.resource_claims import ResourceClaimController
from nodeagent.apiserver.kinds.controllers.scheduler import Scheduler
from nodeagent.apiserver.kinds.controllers.volumes import VolumeBinder

Controller = Callable[[], Coroutine[Any, Any, None]]


def controllers(api: LocalApi) -> dict[str, Controller]:
    """Every controller of a single-node cluster, by name: what starts it, each time from the beginning."""
    return {
        "namespaces": lambda: NamespaceController(api).run(),
        "nodes": lambda: NodeController(api).run(),
        "scheduler": lambda: Scheduler(api).run(),
        "certificates": lambda: CertificateController(api).run(),
        "volumes": lambda: VolumeBinder(api).run(),
        "storage protection": lambda: StorageProtection(api).run(),
        "attachments": lambda: AttachmentController(api).run(),
        "disruption budgets": lambda: DisruptionController(api).run(),
        "ephemeral claims": lambda: EphemeralClaims(api).run(),
        "resource claims": lambda: ResourceClaimController(api).run(),
        "endpoints": lambda: EndpointsController(api).run(),
        "events": lambda: EventExpiry(api).run(),
        "expiry": lambda: Expiry(api).run(),
    }
