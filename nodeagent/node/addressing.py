"""The node's addresses as they are now, also after a link was down or a lease has run out."""

import ipaddress
from collections.abc import Callable, Sequence

from lightkube.models.core_v1 import Node, NodeAddress

from nodeagent.api.outage import Outage
from nodeagent.node.addresses import NoNodeAddress, node_addresses, node_ips
from nodeagent.node.state import NodeState


class Addressing:
    """Keeps the `NodeState`'s addresses. `node_ip`: what the operator wants, as `addresses.node_ips` takes it.

    `cloud_node`: the own Node as it is known, where a cloud controller writes its addresses. Those stay; until they are there,
    only what the operator wants is shown.
    """

    def __init__(
        self,
        state: NodeState,
        *,
        node_name: str,
        node_ip: str,
        cloud_node: Callable[[], Node | None] | None = None,
    ) -> None:
        self._cloud_node = cloud_node
        self._state = state
        self._node_name = node_name
        self._node_ip = node_ip
        self._outage = Outage("addresses of this node")

    async def read(self) -> Sequence[NodeAddress]:
        """Those of now, as the status shows them; those of before while there are none."""
        try:
            ips = await node_ips(self._node_name, self._node_ip)
        except NoNodeAddress as error:
            self._outage.failed(f"{error}; keeping {', '.join(self._state.host_ips)}")
            ips = [ipaddress.ip_address(ip) for ip in self._state.host_ips]
        else:
            self._outage.works()
        self._state.set_host_ips([str(ip) for ip in ips])
        if self._cloud_node is not None:
            node = self._cloud_node()
            written = list((node.status.addresses if node is not None and node.status else None) or ())
            if written or not self._node_ip:
                return written
        return node_addresses(ips, self._node_name)
