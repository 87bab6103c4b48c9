"""A server of gRPC's asyncio API whose log tells of faults, not of callers that went away."""

import logging
from typing import Any

import grpc.aio

log = logging.getLogger(__name__)
_GRPC_LOG = "grpc._cython.cygrpc"
_NOT_SENT = "ExecuteBatchError"  # gRPC has no public name for it


def grpc_server(options: tuple[tuple[str, Any], ...] = ()) -> grpc.aio.Server:
    """`options`: channel arguments of gRPC core."""
    logging.getLogger(_GRPC_LOG).addFilter(_no_lost_answer)  # the same filter again changes nothing
    return grpc.aio.server(options=options)


def _no_lost_answer(record: logging.LogRecord) -> bool:
    """False: of an answer that could not be sent, since its caller's connection had ended.

    gRPC is silent where it learns of the end first, and logs an error with a traceback where the answer is faster
    (`_handle_exceptions` of its asyncio server): that order is chance, and no fault of the server.
    """
    kind = record.exc_info[0] if record.exc_info else None
    if kind is None or kind.__name__ != _NOT_SENT:
        return True
    log.info("an answer was not sent, its caller is gone: %s", record.getMessage())
    return False
