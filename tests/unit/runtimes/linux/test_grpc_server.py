"""What a gRPC server of ours logs."""

import importlib
import logging
from typing import Any

import pytest

from runtimes.linux.grpc_server import grpc_server

cygrpc: Any = importlib.import_module("grpc._cython.cygrpc")
_GRPC_LOG = logging.getLogger("grpc._cython.cygrpc")


@pytest.mark.parametrize(
    ("error", "levels"), [(cygrpc.ExecuteBatchError(), ["INFO"]), (ValueError("a fault"), ["ERROR"]), (None, ["ERROR"])]
)
async def test_a_caller_that_went_is_no_fault(
    error: Exception | None, levels: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that found its caller's connection ended is a line of information; faults are told as gRPC tells them."""
    caplog.set_level("INFO")
    servers = [grpc_server(), grpc_server()]
    try:
        if error is not None:
            raise error
    except Exception:
        _GRPC_LOG.exception("raised by servicer method [%s]", "/csi.v1.Node/NodePublishVolume")
    else:
        _GRPC_LOG.error("raised by servicer method [%s]", "/csi.v1.Node/NodePublishVolume")
    told = [record for record in caplog.records if "NodePublishVolume" in record.getMessage()]
    assert [record.levelname for record in told] == levels
    for server in servers:
        await server.stop(None)
