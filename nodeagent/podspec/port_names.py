"""Ports that probes and hooks name: by number, by number as text, or by the name of a container's port."""

import re

from nodeagent.podspec.containers import AnyContainer
from runtimes.kube.go_quote import go_quote

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class InvalidPort(ValueError):
    """The text names none of the container's ports, or the number is none of a port."""


def resolve_port(port: int | str, container: AnyContainer) -> int:
    """The number of a port. Raises InvalidPort."""
    if isinstance(port, int):
        number = port
    else:
        named = next((item.containerPort for item in container.ports or () if item.name == port), None)
        if named is None and not _NUMBER.fullmatch(port):
            raise InvalidPort(f"strconv.Atoi: parsing {go_quote(port)}: invalid syntax")
        number = int(port) if named is None else named
    if not 0 < number < 65536:
        raise InvalidPort(f"invalid port number: {number}")
    return number
