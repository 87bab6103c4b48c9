"""gRPC over a unix socket: how a socket is named to gRPC, and what every client of one asks for. Needs no gRPC itself."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

MAX_MESSAGE_BYTES: Final = (
    16 * 1024 * 1024
)  # lists of some ten thousand volumes or containers; gRPC's own limit is 4 MB

Options = tuple[tuple[str, int | str], ...]


def target(path: Path) -> str:
    """The socket at an absolute path, for a channel or a server. gRPC reads it as part of a URI."""
    return f"unix:{quote(str(path))}"


def options(max_receive_bytes: int = MAX_MESSAGE_BYTES) -> Options:
    """Of a channel."""
    return (
        ("grpc.max_receive_message_length", max_receive_bytes),
        # a connection of its own: one that somebody else could not make is not tried again for a while
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        # not the path: servers written in Go refuse a percent-encoded authority
        ("grpc.default_authority", "localhost"),
    )
