"""The embedded API of standalone mode: a process of its own, started and watched by the agent, used only over HTTPS."""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.os_error_retry import UNREPORTED, LoopHealth
from nodeagent.standby import Standby
from nodeagent.tls_policy import TLSPolicy

log = logging.getLogger(__name__)

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
RESTART_SECONDS = 1.0


class APINotStarted(Exception):
    """The embedded API did not come up; the text says what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedAPISettings:
    """Port 0 takes a free one at the first start; later starts take the same again.

    `service_ranges`, `node_ports`: what Services are given. `pod_address`: where pods reach the API; empty: nowhere.
    """

    state_dir: Path
    node_name: str
    address: str
    port: int
    service_ranges: Sequence[str] = ()
    node_ports: str = ""
    pod_address: str = ""
    tls: TLSPolicy = field(default_factory=TLSPolicy)


class EmbeddedAPI:
    """Starts the server, starts it again when it dies, stops it last. `condition`: is told when it is down, and up again.

    `standby`: a process that waits to be the first one.
    """

    def __init__(
        self, settings: EmbeddedAPISettings, condition: LoopHealth = UNREPORTED, standby: Standby | None = None
    ) -> None:
        self._settings = settings
        self._condition = condition
        self._standby = standby
        self._process: asyncio.subprocess.Process | Standby | None = None
        self._port = settings.port

    @property
    def port(self) -> int:
        """Where it listens, once it is started."""
        return self._port

    @property
    def admin_kubeconfig(self) -> Path:
        return self._settings.state_dir / "admin.kubeconfig"

    @property
    def node_kubeconfig(self) -> Path:
        return self._settings.state_dir / "node.kubeconfig"

    @property
    def storage_kubeconfig(self) -> Path:
        """Of what makes volumes for claims."""
        return self._settings.state_dir / "storage.kubeconfig"

    @property
    def client_ca(self) -> Path:
        """Signs the certificate that the API shows to the node's HTTPS endpoint."""
        return self._settings.state_dir / "pki" / "ca.crt"

    async def start(self) -> None:
        """Return when the API answers. Raises APINotStarted."""
        self._process = await self._begun()
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError:
            await self.stop()
            raise APINotStarted(f"the embedded API was not ready within {READY_SECONDS:g}s") from None
        if not line:
            status = await self._process.wait()
            raise APINotStarted(f"the embedded API ended with status {status}; see its messages above")
        url = json.loads(line)["url"]
        self._port = int(url.rpartition(":")[2])
        log.info("embedded API at %s, kubeconfig %s", url, self.admin_kubeconfig)

    async def _begun(self) -> asyncio.subprocess.Process | Standby:
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.begin(self._arguments())
            await standby.watch()
            return standby
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nodeagent.apiserver", *self._arguments()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C at the agent's terminal is the agent's: it still needs the API for its last words
            start_new_session=True,
        )

    def _arguments(self) -> tuple[str, ...]:
        settings = self._settings
        return (
            f"--state-dir={settings.state_dir}",
            "--exit-with-parent",
            f"--node-name={settings.node_name}",
            f"--address={settings.address}",
            f"--port={self._port}",
            "--log-level=WARNING",
            *([f"--service-cluster-ip-range={','.join(settings.service_ranges)}"] if settings.service_ranges else ()),
            *([f"--service-node-port-range={settings.node_ports}"] if settings.node_ports else ()),
            *([f"--pod-address={settings.pod_address}"] if settings.pod_address else ()),
            *settings.tls.as_arguments(),
        )

    async def watch(self) -> None:
        """Start the server again whenever it dies, until cancelled."""
        while True:
            assert self._process is not None
            status = await self._process.wait()
            log.error("the embedded API ended with status %d; starting it again", status)
            self._condition.failed(f"ended with status {status}; is started again")
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self.start()
            except APINotStarted as error:
                log.error("%s", error)
                self._condition.failed(str(error))
            else:
                self._condition.works()

    async def stop(self) -> None:
        """Ask it to end, and make it end."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
