"""Attachment: which container, namespace and interface a CNI operation is about, and what the runtime passes along."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cni.errors import CNIError, InvalidArgument
from cni.result import Result

_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_IFNAME_MAX = 15  # IFNAMSIZ - 1
_IFNAME_FORBIDDEN = re.compile(r"[/:\s]")


def is_identifier(text: str) -> bool:
    """The rule for container ids and network names."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One interface of one container.

    `netns` is the path of the pinned namespace; for a delete it may be empty or gone. `args` become CNI_ARGS in their
    order. `capabilities` maps a capability's name to its value (portMappings: [{hostPort, containerPort, protocol,
    hostIP}]); each plugin gets those that its configuration asks for.
    """

    container_id: str
    netns: str
    ifname: str = "eth0"
    args: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)

    def validate(self, *, needs_netns: bool = True) -> None:
        """Raise InvalidArgument for what no plugin may be given (specification, "Parameters")."""
        if not is_identifier(self.container_id):
            raise InvalidArgument(f"invalid container id {self.container_id!r}")
        name = self.ifname
        if not 0 < len(name.encode()) <= _IFNAME_MAX or name in (".", "..") or _IFNAME_FORBIDDEN.search(name):
            raise InvalidArgument(f"invalid interface name {name!r}")
        if needs_netns and not self.netns:
            raise InvalidArgument("a network namespace is required")
        for key, value in self.args.items():
            if not key or ";" in key or "=" in key or ";" in value:
                raise InvalidArgument(f"invalid CNI argument {key!r}={value!r}")

    @property
    def args_text(self) -> str:
        """The value of CNI_ARGS."""
        return ";".join(f"{key}={value}" for key, value in self.args.items())


class AlreadyAttached(CNIError):
    """ADD for an attachment that exists. `result` is what its ADD gave; the attachment was left alone."""

    def __init__(self, msg: str, result: Result) -> None:
        super().__init__(msg)
        self.result = result
