"""The socket where device plugins register: `<root>/device-plugins/kubelet.sock`. Source: docs/facts/node-resources.md 12.1."""

import contextlib
import re
import stat
from collections.abc import Callable
from pathlib import Path

from google.protobuf.message import Message

from nodeagent.resources.grpc_socket import GRPCSocket, Refused
from proto import deviceplugin_pb2 as api

FOLDER, SOCKET, VERSION = "device-plugins", "kubelet.sock", "v1beta1"
_RESOURCE = re.compile(r"(?=.{1,317}\Z)[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def registration(folder: Path, register: Callable[[str, Path], None]) -> GRPCSocket:
    """`register(resource, socket)` is called at once for each plugin that comes."""

    async def answer(request: api.RegisterRequest) -> Message:
        if request.version != VERSION:
            raise Refused(
                f'requested API version "{request.version}" is not supported by kubelet. Supported version is ["{VERSION}"]'
            )
        if not is_extended(request.resource_name):
            raise Refused(f'the ResourceName "{request.resource_name}" is invalid')
        if request.endpoint in ("", ".", "..", SOCKET) or "/" in request.endpoint or "\0" in request.endpoint:
            raise Refused(f'the endpoint "{request.endpoint}" is not the name of a socket in this folder')
        register(request.resource_name, folder / request.endpoint)
        return api.Empty()

    service = api.DESCRIPTOR.services_by_name["Registration"]
    return GRPCSocket(folder / SOCKET, service, {"Register": answer})


def is_extended(resource: str) -> bool:
    """A name in somebody's own domain: `example.com/gpu`."""
    domain = resource.partition("/")[0]
    own = domain != "kubernetes.io" and not domain.endswith(".kubernetes.io") and not resource.startswith("requests.")
    return own and _RESOURCE.fullmatch(resource) is not None


def prepare_folder(folder: Path) -> None:
    """Make it, and delete what plugins listened on before: by that they notice, and register again. Raises OSError."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.name != SOCKET and stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
