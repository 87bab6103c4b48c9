"""A server of gRPC's asyncio API whose log has no tracebacks for answers that could not be sent."""

import logging
from typing import Any

import grpc.aio

log = logging.getLogger(__name__)
_GRPC_LOG = "grpc._cython.cygrpc"
_NOT_SENT = "ExecuteBatchError"  # gRPC has no public name for it


def grpc_server(options: tuple[tuple[str, Any], ...] = ()) -> grpc.aio.Server:
    """`options`: channel arguments of gRPC core."""
    logging.getLogger(_GRPC_LOG).addFilter(_in_a_line)  # the same filter again changes nothing
    return grpc.aio.server(options=options)


def _in_a_line(record: logging.LogRecord) -> bool:
    """False: of an answer that could not be sent, which is told here instead, as a warning of one line.

    Mostly its caller's connection has ended: gRPC is silent where it learns of that first, and logs an error with a traceback
    where the answer is faster (`_handle_exceptions` of its asyncio server). An answer beyond the size that may be sent ends in
    the same error, which does not say why.
    """
    kind = record.exc_info[0] if record.exc_info else None
    if kind is None or kind.__name__ != _NOT_SENT:
        return True
    why = "its caller is gone, or it is larger than may be sent"
    log.warning("an answer was not sent, %s: %s", why, record.getMessage())
    return False
