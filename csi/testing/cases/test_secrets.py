"""Where secrets must not be."""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csi import errors
from csi.testing.levels import must
from csi.testing.subject import Subject
from csi.values import ControllerCapability, NodeCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_MOST_BYTES = 1024 * 1024  # of a file that is looked through
_JOIN_SECONDS = 10.0


@must("Secrets Requirements")
async def test_x18_secrets_stay_secret(driver: Subject) -> None:
    """One more secret goes with every call of a volume's life, two that are refused among them. It is in no command line
    meanwhile, in no mount table, in no file beside the volume, in no error, and not in what the driver writes (--csi-log).
    """
    secret = f"csitest-{secrets.token_hex(16)}"
    log = driver.implementation.log
    logged = log.stat().st_size if log is not None else 0
    with _command_lines(secret) as shown:
        await _a_life_with(driver, secret)
    assert shown == []
    if log is not None:
        assert secret not in _text(log, logged), f"it is in {log}"


async def _a_life_with(driver: Subject, secret: str) -> None:
    def knowing(request: Any) -> Any:
        request.secrets["csitest"] = secret
        return request

    if driver.can(ControllerCapability.CREATE_DELETE_VOLUME) and not driver.implementation.node_only:
        volume = await driver.create(knowing(driver.create_request()))
        await _refused(driver.controller.create_volume(knowing(csi.CreateVolumeRequest())))
    else:
        volume = await driver.volume()
    await driver.attach(volume)
    if driver.can(NodeCapability.STAGE_UNSTAGE_VOLUME):
        volume.staging = driver.staging_path()
        await driver.node.stage_volume(knowing(driver.stage_request(volume, volume.staging)))
    target = driver.path()
    volume.targets.append(target)
    request = knowing(driver.publish_request(volume, target))
    await driver.node.publish_volume(request)
    assert secret not in Path("/proc/self/mountinfo").read_text(), "it is in the mount table"
    request.volume_id = "csitest-no-such-volume"
    await _refused(driver.node.publish_volume(request))
    beside = [file for folder in (target.parent, driver.directory / "staging") for file in folder.glob("*")]
    await driver.take_down(volume)
    for file in (*beside, *driver.directory.rglob("*")):
        assert not file.is_file() or secret not in _text(file), f"it is in {file}"


async def _refused(call: Any) -> None:
    try:
        await call
    except errors.CSIError as error:  # the client has put HIDDEN where the secret was
        assert errors.HIDDEN not in error.message, f"it was in the message of {error.method}: {error.message}"


def _text(file: Path, at: int = 0) -> str:
    with file.open("rb") as content:
        content.seek(at)
        return content.read(_MOST_BYTES).decode(errors="replace")


@contextlib.contextmanager
def _command_lines(secret: str) -> Iterator[list[str]]:
    """Those in which the secret is, of any process while this goes on: a mount helper lives for milliseconds."""
    found, ended = list[str](), threading.Event()

    def watch() -> None:
        while not ended.is_set() and not found:
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if secret.encode() in process.read_bytes():
                        found.append(f"it is in the command line of process {process.parent.name}")
            ended.wait(0.001)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join(_JOIN_SECONDS)
