"""nodeagent.resources.devices.registration: the socket itself, and what it refuses."""

import socket
from pathlib import Path

import grpc.aio
import pytest

from nodeagent.plugin_registration.contract import DEVICE_PLUGIN, Plugin, PluginRefused
from nodeagent.resources.devices.plugin_handler import DevicePluginHandler
from nodeagent.resources.devices.registration import prepare_folder, registration
from proto import deviceplugin_pb2 as api


async def told(folder: Path, **fields: str) -> tuple[list[tuple[str, Path]], str]:
    """What was registered, and the refusal."""
    found: list[tuple[str, Path]] = []
    server = registration(folder, lambda resource, path: found.append((resource, path)))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{folder}/kubelet.sock") as channel:
            call = channel.unary_unary(
                "/v1beta1.Registration/Register",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=api.Empty.FromString,
            )
            wanted = {"version": "v1beta1", "endpoint": "d.sock", "resource_name": "x.org/d", **fields}
            await call(api.RegisterRequest(**wanted), timeout=10)  # type: ignore[arg-type]
    except grpc.aio.AioRpcError as error:
        return found, error.details() or ""
    finally:
        await server.stop()
    return found, ""


async def test_a_plugin_registers(tmp_path: Path) -> None:
    """By its resource and the name of its socket; the socket goes with the agent."""
    assert await told(tmp_path) == ([("x.org/d", tmp_path / "d.sock")], "")
    assert not (tmp_path / "kubelet.sock").exists()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"version": "v1"},
            'requested API version "v1" is not supported by kubelet. Supported version is ["v1beta1"]',
        ),
        ({"resource_name": "cpu"}, 'the ResourceName "cpu" is invalid'),
        ({"resource_name": "kubernetes.io/d"}, 'the ResourceName "kubernetes.io/d" is invalid'),
        ({"resource_name": "x.org/d\n"}, 'the ResourceName "x.org/d\n" is invalid'),
        ({"endpoint": "../d.sock"}, 'the endpoint "../d.sock" is not the name of a socket in this folder'),
        ({"endpoint": "kubelet.sock"}, 'the endpoint "kubelet.sock" is not the name of a socket in this folder'),
        ({"endpoint": ""}, 'the endpoint "" is not the name of a socket in this folder'),
    ],
)
async def test_refused(tmp_path: Path, fields: dict[str, str], text: str) -> None:
    """Another version, a resource that is nobody's, a path that leads elsewhere."""
    assert await told(tmp_path, **fields) == ([], text)


async def test_as_long_a_path_as_a_socket_can_have(tmp_path: Path) -> None:
    """gRPC alone would not listen there."""
    folder = tmp_path / ("x" * (107 - len(f"{tmp_path}//kubelet.sock")))
    folder.mkdir()
    assert (await told(folder))[1] == ""


def test_old_sockets_go(tmp_path: Path) -> None:
    """So plugins notice that the agent has started; other files stay."""
    folder = tmp_path / "device-plugins"
    prepare_folder(folder)
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(folder / "old.sock"))
    (folder / "kubelet_internal_checkpoint").write_text("{}")
    prepare_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["kubelet_internal_checkpoint"]


class Written:
    def __init__(self) -> None:
        self.told: list[str] = []

    def register(self, resource: str, socket: Path) -> None:
        self.told.append(f"{resource} at {socket}")

    def leave(self, resource: str, socket: Path) -> None:
        self.told.append(f"{resource} left {socket}")


def found(name: str = "x.org/d", version: str = "v1beta1") -> Plugin:
    """As the watched folder of plugins finds it."""
    return Plugin(
        type=DEVICE_PLUGIN, name=name, endpoint="/p/d.sock", versions=("v1", version), socket=Path("/p/reg.sock")
    )


async def test_a_plugin_of_the_watched_folder() -> None:
    """Registered by the name of its resource; one of another version, or of nobody's resource, is refused."""
    written = Written()
    handler = DevicePluginHandler(written)
    handler.validate(found())
    await handler.register(found())
    await handler.deregister(found())
    assert written.told == ["x.org/d at /p/d.sock", "x.org/d left /p/d.sock"]
    for wrong in (found(version="v2"), found(name="cpu")):
        with pytest.raises(PluginRefused):
            handler.validate(wrong)
