"""How the driver makes itself known to a node's agent."""

from pathlib import Path

import grpc.aio

from csi.driver.registration import Registrar
from proto import pluginregistration_pb2 as wire
from proto.pluginregistration_pb2_grpc import RegistrationStub


async def test_what_it_says(tmp_path: Path) -> None:
    """That it is a CSI plugin of that name and version, and where it serves; an agent's answer is taken; the socket goes."""
    path = tmp_path / "reg.sock"
    registrar = Registrar(path, name="d.example", endpoint=Path("/run/d/csi.sock"))
    await registrar.start()
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        stub = RegistrationStub(channel)  # type: ignore[no-untyped-call]
        assert await stub.GetInfo(wire.InfoRequest()) == wire.PluginInfo(
            type="CSIPlugin", name="d.example", endpoint="/run/d/csi.sock", supported_versions=["1.0.0"]
        )
        for status in (
            wire.RegistrationStatus(plugin_registered=True),
            wire.RegistrationStatus(plugin_registered=False, error="no"),
        ):
            await stub.NotifyRegistrationStatus(status)
    await registrar.stop()
    assert not path.exists()
