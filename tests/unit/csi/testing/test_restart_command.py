"""The command of --csi-restart: what it may be, and when the driver is there again."""

from pathlib import Path

import grpc.aio
import pytest

from csi.testing.restart_command import RestartCommand, RestartError
from proto import csi_pb2 as csi


async def _probe(request: csi.ProbeRequest, _context: object) -> csi.ProbeResponse:
    return csi.ProbeResponse()


async def test_it_returns_when_the_driver_is_ready(tmp_path: Path) -> None:
    """The command has run, its words taken apart as by a shell, and Probe is answered."""
    server = grpc.aio.server()
    probe = grpc.unary_unary_rpc_method_handler(
        _probe,
        request_deserializer=csi.ProbeRequest.FromString,
        response_serializer=csi.ProbeResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("csi.v1.Identity", {"Probe": probe}),))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    try:
        await RestartCommand(f"touch '{tmp_path}/has run'", f"unix://{tmp_path}/s")()
    finally:
        await server.stop(None)
    assert (tmp_path / "has run").exists()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("ls /no/such/place", r"ls ended with 2: .*/no/such/place"),
        ("csitest-no-such-program", "csitest-no-such-program: .*No such file"),
        ("true", "the driver is not ready 0 s after it was restarted"),
    ],
)
async def test_what_went_wrong_is_told(tmp_path: Path, command: str, told: str) -> None:
    """A command that fails, with its words; one that is none; a driver that stays away."""
    with pytest.raises(RestartError, match=told):
        await RestartCommand(command, f"unix://{tmp_path}/s", ready_seconds=0)()


@pytest.mark.parametrize("command", ["", "  ", "a 'b"])
def test_commands_that_are_none(command: str) -> None:
    """Refused before anything is run."""
    with pytest.raises(ValueError, match=r"empty|quotation"):
        RestartCommand(command, "unix:///s")
