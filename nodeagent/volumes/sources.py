"""What volumes need from the rest of the agent, as they see it."""

from collections.abc import Callable, Mapping
from typing import Protocol

from lightkube.models.core_v1 import ConfigMap, Node, Secret

from nodeagent.api.tokens import Token, TokenKey


class ObjectSource(Protocol):
    """ConfigMaps and Secrets that registered pods refer to. What it hands out is shared: never changed.

    Raises `nodeagent.api.errors.NotFound` when there is no such object, anything else when that is not known.
    """

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap: ...

    async def get_secret(self, namespace: str, name: str) -> Secret: ...


class TokenSource(Protocol):
    """Service account tokens, cached and renewed by the source."""

    async def get(self, key: TokenKey) -> Token:
        """A token that is valid now. Raises ApiError."""
        ...

    def forget(self, pod_uid: str) -> None:
        """The pod's token volumes are gone."""
        ...


# resource name -> quantity, as in node.status.allocatable, now
Allocatable = Callable[[], Mapping[str, str]]

# this node as the API shows it; None: it does not, or not yet
OwnNode = Callable[[], Node | None]
