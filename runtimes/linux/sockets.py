"""Options of sockets that Python's socket module does not name."""

import socket

# linux/in.h IP_FREEBIND, linux/in6.h IPV6_FREEBIND
_FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}


def allow_any_address(unbound: socket.socket) -> None:
    """Let it be bound to an address that this machine does not have yet (ip(7)). Raises OSError."""
    level, option = _FREEBIND[unbound.family]
    unbound.setsockopt(level, option, 1)
